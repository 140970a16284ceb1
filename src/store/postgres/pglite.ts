// The embedded PostgreSQL: PGlite in a thread of its own, its files under the data folder. It has one connection, so
// transactions follow each other. Its work cannot be interrupted: a statement that takes too long is given up by us, and
// whoever comes next waits until it is done. It outlives the end of its process, not that of the machine (no fsync).

import pg from 'pg'
import type { Db, DbTimeouts, Row, TransactionOptions } from './db.ts'
import { within } from './deadline.ts'
import { databaseUnavailable, statementFailure } from './failure.ts'
import { lockFolder } from './folder-lock.ts'
import { startThread } from './pglite-thread.ts'
import type { PgliteThread, Question } from './pglite-thread.ts'
import type { WorkerAnswer } from './pglite-worker.ts'
import { makeDb } from './transactions.ts'
import type { Connection } from './transactions.ts'
import { makeTurns } from './turns.ts'
import { parserOf, toText } from './values.ts'

export type PgliteOptions = {
  /** The data folder. Made where it is missing, and kept from others until `close`. */
  readonly folder: string
  readonly timeouts: DbTimeouts
}

/** 2 s for a new database on a machine that does nothing else (2026-11, 2 cores). */
const startMs = 60_000
/** A statement that was given up and is still not done after this long will never be. */
const hungMs = 60_000
/** What a server does by itself, this one does when told. Takes 0.1 s. */
const transactionsBetweenCleanings = 2000

/**
 * Resolves once the folder is ours. PGlite starts in the background, and calls wait for it.
 * @throws Error, for people, where the folder is in use or cannot be used
 */
export async function openPglite({ folder, timeouts }: PgliteOptions): Promise<Db> {
  const lock = lockFolder(folder)
  const thread = startThread(folder)
  const turns = makeTurns()
  let isStarted = false
  let transactions = 0
  let closing: Promise<void> | null = null
  const noteStart = () => {
    isStarted = true
  }
  void thread.started.then(noteStart, () => null)

  async function connect(options: TransactionOptions): Promise<Connection> {
    if (closing !== null) throw isClosed()
    if (!isStarted) await within(startMs, thread.started, () => databaseUnavailable('it is still starting'))
    const endTurn = await turns.take(timeouts.lockMs, isBusy)
    const release = (clean: boolean) => void afterTransaction(clean).finally(endTurn)
    const deadlineMs = options.statementTimeoutMs ?? timeouts.statementMs
    return connectionOn(thread, { deadlineMs, begin: beginSql(options), release })
  }

  async function afterTransaction(clean: boolean): Promise<void> {
    try {
      if (!clean) await rollBack()
      transactions += 1
      if (transactions % transactionsBetweenCleanings > 0) return
      await tell(thread, 'vacuum')
      await tell(thread, 'checkpoint')
    } catch {
      // The thread has ended: the next call is told so.
    }
  }

  /** Done once the statement is that was given up. */
  async function rollBack(): Promise<void> {
    const hung = () => new Error(`a statement is not done after ${hungMs} ms`)
    await within(hungMs, tell(thread, 'rollback'), hung).catch((error: Error) => {
      thread.giveUp(error.message)
      throw error
    })
  }

  async function end(): Promise<void> {
    if (isStarted) await farewell().catch(() => null)
    await thread.end()
    lock.release()
  }

  /** Those who wait are served first, but not for ever. */
  async function farewell(): Promise<void> {
    await turns.take(timeouts.statementMs, isBusy)
    await within(timeouts.statementMs, thread.ask({ kind: 'close' }), isBusy)
  }

  return makeDb({ connect, statementMs: timeouts.statementMs, close: () => (closing ??= end()) })
}

function isBusy(): Error {
  return databaseUnavailable('others are still using it')
}

function isClosed(): Error {
  return databaseUnavailable('the connection to it was closed')
}

/** Its time limits do not work there. */
function beginSql({ isolation = 'read committed', readOnly = false }: TransactionOptions): string {
  return `begin isolation level ${isolation}${readOnly ? ' read only' : ''}`
}

async function tell(thread: PgliteThread, sql: string): Promise<void> {
  await thread.ask({ kind: 'exec', sql })
}

type Limits = {
  readonly deadlineMs: number
  readonly begin: string
  readonly release: (clean: boolean) => void
}

function connectionOn(thread: PgliteThread, { deadlineMs, begin, release }: Limits): Connection {
  async function ask(question: Question): Promise<Row[]> {
    const late = () => databaseUnavailable(`it did not answer within ${deadlineMs} ms`)
    return rowsOf(await within(deadlineMs, thread.ask(question), late))
  }

  return {
    async begin() {
      await ask({ kind: 'exec', sql: begin })
    },

    query: async <R extends Row>(sql: string, values: readonly unknown[] = []) =>
      (await ask({ kind: 'query', sql, values: values.map(toText) })) as R[],

    async exec(sql) {
      await ask({ kind: 'exec', sql })
    },

    release,
  }
}

function rowsOf(answer: WorkerAnswer): Row[] {
  if ('error' in answer) {
    const { message, ...fields } = answer.error
    throw statementFailure(Object.assign(new pg.DatabaseError(message, 0, 'error'), fields), (text) => text)
  }
  const columns = answer.columns.map(({ name, dataTypeID }) => ({ name, parse: parserOf(dataTypeID) }))
  return answer.rows.map((row) =>
    Object.fromEntries(
      columns.map(({ name, parse }, n) => {
        const text = row[n] ?? null
        return [name, text === null ? null : parse(text)]
      }),
    ),
  )
}
