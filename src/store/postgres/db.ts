// A database that speaks PostgreSQL's SQL: a server (pg.ts) or PGlite in this process (pglite.ts). The same on both:
// int8 is a number, timestamptz a Date, json and arrays are values. Everything runs in a transaction, with
// timeouts set for it alone: behind PgBouncer a session is not ours to keep.
//
// Values are text, numbers, bigints, booleans, Dates, null, and arrays of those for array columns. An object, and
// whatever is meant for a json column, goes through JSON.stringify first; `undefined` and bare objects are refused.

export type Row = { readonly [column: string]: unknown }

export interface Statements {
  /**
   * One statement; `$1` and so on stand for values. One that fails rolls its transaction back, caught or not.
   * @returns its rows
   * @throws SQL errors that the caller may understand as they are, with SQLSTATE as `code` and `constraint`
   */
  query<R extends Row = Row>(sql: string, values?: readonly unknown[]): Promise<R[]>
  /** Several statements without values, such as a migration. */
  exec(sql: string): Promise<void>
}

export type TransactionOptions = {
  readonly isolation?: 'read committed' | 'repeatable read'
  readonly readOnly?: boolean
  /** Instead of the usual one, in ms. */
  readonly statementTimeoutMs?: number
  /**
   * Where the answer to its COMMIT is lost, it runs again: `work` finds what it did before, or does it. Without this the
   * caller is told that nobody knows.
   */
  readonly isRepeatable?: boolean
}

export type DbTimeouts = {
  /** To connect, and to get a free connection of the pool. */
  readonly connectMs: number
  readonly statementMs: number
  readonly lockMs: number
}

export interface Db {
  /**
   * Rolled back where `work` throws, and then its error is thrown. A transaction that only lost a race (lock timeout,
   * deadlock, serialization) runs again, three times at most. One that may write ends within twice the time of a
   * statement: it holds locks.
   * @throws ControlError database_unavailable; database_busy where others were always in the way
   */
  transaction<T>(work: (statements: Statements) => Promise<T>, options?: TransactionOptions): Promise<T>
  /** A transaction of one statement. */
  query<R extends Row = Row>(sql: string, values?: readonly unknown[]): Promise<R[]>
  close(): Promise<void>
}
