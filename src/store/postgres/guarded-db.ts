// A Db whose failures the program knows: tables and columns that are not there yet, and texts that PostgreSQL cannot keep. Without
// it they would be SQL errors, and the admin API's answer a 500.

import { ControlError } from '../../errors.ts'
import type { Db, Row, Statements } from './db.ts'
import { queries } from './queries.ts'

const undefinedTable = '42P01'
/** Of tables that this program's migrations have not reached. */
const undefinedColumn = '42703'
/** A NUL in a text, a NUL in JSON; what a type does not take, such as half a surrogate pair in JSON. */
const unstorable = ['22021', '22P05', '22P02']

/** Looks for the fleet's row before anything else, until it was there once. */
export function guardDb(db: Db, fleet: string): Db {
  let isThere = false

  async function guarded<T>(ask: () => Promise<T>): Promise<T> {
    try {
      if (!isThere) await find()
      return await ask()
    } catch (error) {
      throw knownFailure(error)
    }
  }

  async function find(): Promise<void> {
    const rows = await db.query(queries['read-head'], [fleet])
    if (rows.length === 0) throw notThereYet(`it has no fleet "${fleet}"`)
    isThere = true
  }

  return {
    transaction: (work, options) =>
      guarded(() => db.transaction((statements) => work(checked(statements)), options)),
    query: <R extends Row>(sql: string, values: readonly unknown[] = []) =>
      guarded(() => {
        refuseHalfCharacters(values)
        return db.query<R>(sql, values)
      }),
    close: () => db.close(),
  }
}

export function notThereYet(what: string): ControlError {
  const detail = `PostgreSQL answers, but ${what} yet. Run \`lanekeeper migrate\`, or start a control.`
  return new ControlError('database_unavailable', detail)
}

function checked(statements: Statements): Statements {
  return {
    query<R extends Row>(sql: string, values: readonly unknown[] = []) {
      refuseHalfCharacters(values)
      return statements.query<R>(sql, values)
    },
    exec: (sql) => statements.exec(sql),
  }
}

/** On the way to the server they would become U+FFFD, and the ledger's hash would be of another text than the row's. */
function refuseHalfCharacters(values: readonly unknown[]): void {
  if (values.some((value) => typeof value === 'string' && !value.isWellFormed())) throw cannotKeep()
}

function knownFailure(error: unknown): unknown {
  if (!(error instanceof Error && 'code' in error)) return error
  if (error.code === undefinedTable) return notThereYet('its tables are not there')
  if (error.code === undefinedColumn) return notThereYet('its tables are not up to date')
  return unstorable.includes(String(error.code)) ? cannotKeep(error) : error
}

function cannotKeep(cause?: unknown): ControlError {
  const detail =
    'PostgreSQL cannot keep one of the values. A text must have no NUL, and no half of a surrogate pair.'
  return new ControlError('bad_request', detail, { cause })
}
