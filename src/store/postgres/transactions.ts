// Transactions on whatever can begin and end them: what is rolled back, what runs again, what is thrown.

import { setTimeout as delay } from 'node:timers/promises'
import { ControlError, isControlError } from '../../errors.ts'
import type { Db, Row, Statements, TransactionOptions } from './db.ts'
import { databaseUnavailable, isLostRace } from './failure.ts'

/** A connection for the time of one transaction. What it throws is translated already. */
export interface Connection extends Statements {
  /** In one round trip. @throws ControlError database_unavailable where this is no place to decide anything */
  begin(): Promise<void>
  /** @param clean  no transaction is open on it. Else nothing is known of it. */
  release(clean: boolean): void
}

type Options = {
  /** For one transaction with these options. @throws ControlError database_unavailable */
  readonly connect: (options: TransactionOptions) => Promise<Connection>
  /** Of a statement, unless its transaction says otherwise. */
  readonly statementMs: number
  readonly close: () => Promise<void>
}

type Work<T> = (statements: Statements) => Promise<T>

const timesAgain = 3
const pauseMs = 50
/** A transaction that may write ends within this many times what a statement may take. */
const statementTimes = 2

export function makeDb({ connect, statementMs, close }: Options): Db {
  async function transaction<T>(work: Work<T>, options: TransactionOptions = {}): Promise<T> {
    const limitMs = limitOf(options, statementMs)
    const untilMs = performance.now() + limitMs
    /** Of a COMMIT: from here on the caller is told nothing else, unless it is known how that ended. */
    let unknown: ControlError | null = null
    for (let again = 0; ; again += 1) {
      try {
        return await runOnce(await connect(options), work, limitMs)
      } catch (error) {
        const lost = error instanceof Lost ? error : null
        if (lost?.what === 'answer') unknown ??= unknownOutcome(lost)
        if (unknown && !options.isRepeatable) throw unknown
        if (lost === null && !(unknown && isAway(error))) throw error
        if (again >= timesAgain || performance.now() >= untilMs) throw unknown ?? inTheWay(lost)
        // Two that stopped each other would do so again, if they began again at the same time.
        await delay(Math.random() * pauseMs * 2 ** again)
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

/** Stays in this file: to run again is no error of anybody's. Lost is a race with others, or the answer to a COMMIT. */
class Lost extends Error {
  readonly what: 'race' | 'answer'

  constructor(what: 'race' | 'answer', cause: unknown) {
    super(what, { cause })
    this.what = what
  }
}

/** Who only reads keeps nobody waiting, and may have much to read. */
function limitOf({ readOnly, statementTimeoutMs }: TransactionOptions, statementMs: number): number {
  return readOnly ? Infinity : (statementTimeoutMs ?? statementMs) * statementTimes
}

function isAway(error: unknown): boolean {
  return isControlError(error, 'database_unavailable')
}

function unknownOutcome({ cause }: Lost): ControlError {
  return databaseUnavailable('its last answer is missing, so a change may have been made or not', cause)
}

function inTheWay(lost: Lost | null): ControlError {
  const detail = 'PostgreSQL answers, but other transactions are in the way: they hold what this one needs.'
  return new ControlError('database_busy', detail, { cause: lost?.cause })
}

async function runOnce<T>(connection: Connection, work: Work<T>, limitMs: number): Promise<T> {
  const life = oneTransaction(connection, limitMs)
  let clean = false
  try {
    await life.begin()
    const result = await work(life.statements)
    // PostgreSQL answers a commit after a failed statement by rolling back, without an error.
    if (life.failure !== null) throw life.failure
    await commit(life.last)
    clean = true
    return result
  } catch (error) {
    // Of a connection that answered nothing in time, nothing more is asked.
    if (!isControlError(life.failure)) clean = await rollBack(life.last)
    if (error === life.failure && isLostRace(error)) throw new Lost('race', error)
    throw error
  } finally {
    life.end()
    connection.release(clean)
  }
}

type Last = (sql: 'commit' | 'rollback') => Promise<void>

async function commit(last: Last): Promise<void> {
  try {
    await last('commit')
  } catch (error) {
    throw isControlError(error) ? new Lost('answer', error) : error
  }
}

async function rollBack(last: Last): Promise<boolean> {
  try {
    await last('rollback')
    return true
  } catch {
    return false
  }
}

/** Statements one after the other, until the transaction is over: the connection is somebody else's then. */
function oneTransaction(connection: Connection, limitMs: number) {
  const untilMs = performance.now() + limitMs
  let before: Promise<unknown> = Promise.resolve()
  let isOver = false
  const life = {
    /** Of the first statement that failed. */
    failure: null as unknown,
    begin: () => inTurn(() => connection.begin()),
    statements: {
      query: <R extends Row>(sql: string, values?: readonly unknown[]) =>
        inTurn(() => inTime(() => connection.query<R>(sql, values))),
      exec: (sql) => inTurn(() => inTime(() => connection.exec(sql))),
    } satisfies Statements,
    last: (sql: 'commit' | 'rollback') => inTurn(() => connection.exec(sql)),
    end() {
      isOver = true
    },
  }

  function inTurn<T>(send: () => Promise<T>): Promise<T> {
    const answer = before.then(async () => {
      if (isOver) throw new Error('The transaction of this statement is over')
      try {
        return await send()
      } catch (error) {
        life.failure ??= error
        throw error
      }
    })
    before = answer.catch(() => null)
    return answer
  }

  async function inTime<T>(send: () => Promise<T>): Promise<T> {
    if (performance.now() < untilMs) return send()
    throw databaseUnavailable(`a transaction was not done within ${limitMs} ms`)
  }

  return life
}
