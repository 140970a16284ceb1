// Transactions on whatever can begin and end them: what is rolled back, what runs again, what is thrown.

import { setTimeout as delay } from 'node:timers/promises'
import { isControlError } from '../../errors.ts'
import type { Db, Row, Statements, TransactionOptions } from './db.ts'
import { databaseUnavailable, isLostRace } from './failure.ts'

/** A connection for the time of one transaction. What it throws is translated already. */
export interface Connection extends Statements {
  /** @param clean  no transaction is open on it. Else nothing is known of it. */
  release(clean: boolean): void
}

type Options = {
  /** @throws ControlError database_unavailable */
  readonly connect: (options: TransactionOptions) => Promise<Connection>
  /** One text: it costs one round trip. */
  readonly begin: (options: TransactionOptions) => string
  readonly close: () => Promise<void>
}

type Work<T> = (statements: Statements) => Promise<T>

const timesAgain = 3
const pauseMs = 50

export function makeDb({ connect, begin, close }: Options): Db {
  async function transaction<T>(work: Work<T>, options: TransactionOptions = {}): Promise<T> {
    for (let lost = 0; ; lost += 1) {
      try {
        return await runOnce(await connect(options), begin(options), work)
      } catch (error) {
        if (!(error instanceof LostRace)) throw error
        if (lost === timesAgain) throw databaseUnavailable('other transactions are in the way', error.cause)
        // Two that stopped each other would do so again, if they began again at the same time.
        await delay(Math.random() * pauseMs * (lost + 1))
      }
    }
  }

  return {
    transaction,
    query: <R extends Row>(sql: string, values?: readonly unknown[]) =>
      transaction((statements) => statements.query<R>(sql, values)),
    close,
  }
}

/** Stays in this file: to run again is no error of anybody's. */
class LostRace extends Error {}

async function runOnce<T>(connection: Connection, begin: string, work: Work<T>): Promise<T> {
  const life = oneTransaction(connection)
  let clean = false
  try {
    await life.statements.exec(begin)
    const result = await work(life.statements)
    // PostgreSQL answers a commit after a failed statement by rolling back, without an error.
    if (life.failure !== null) throw life.failure
    await commit(life.statements)
    clean = true
    return result
  } catch (error) {
    // Of a connection that answered nothing in time, nothing more is asked.
    if (!isControlError(life.failure)) clean = await rollBack(life.statements)
    if (error === life.failure && isLostRace(error)) throw new LostRace('', { cause: error })
    throw error
  } finally {
    life.end()
    connection.release(clean)
  }
}

async function commit(statements: Statements): Promise<void> {
  try {
    await statements.exec('commit')
  } catch (error) {
    if (!isControlError(error)) throw error
    throw databaseUnavailable('its last answer is missing, so a change may have been made or not', error)
  }
}

async function rollBack(statements: Statements): Promise<boolean> {
  try {
    await statements.exec('rollback')
    return true
  } catch {
    return false
  }
}

/** Statements one after the other, until the transaction is over: the connection is somebody else's then. */
function oneTransaction(connection: Connection) {
  let last: Promise<unknown> = Promise.resolve()
  let isOver = false
  const life = {
    /** Of the first statement that failed. */
    failure: null as unknown,
    statements: {
      query: <R extends Row>(sql: string, values?: readonly unknown[]) =>
        inTurn(() => connection.query<R>(sql, values)),
      exec: (sql) => inTurn(() => connection.exec(sql)),
    } satisfies Statements,
    end() {
      isOver = true
    },
  }

  function inTurn<T>(send: () => Promise<T>): Promise<T> {
    const answer = last.then(async () => {
      if (isOver) throw new Error('The transaction of this statement is over')
      try {
        return await send()
      } catch (error) {
        life.failure ??= error
        throw error
      }
    })
    last = answer.catch(() => null)
    return answer
  }

  return life
}
