// Brings the tables of a database up to date: migrations/0001_name.sql and so on, each in a transaction of its own, in
// order, once. Several processes may do it at the same time, and an older program may run beside a newer one.

import { createHash } from 'node:crypto'
import { readFileSync, readdirSync } from 'node:fs'
import { isControlError } from '../../errors.ts'
import type { Db, Statements } from './db.ts'

export type Migration = {
  readonly number: number
  /** `0001_upstreams` */
  readonly name: string
  readonly sql: string
}

/** Any number, as long as it stays: of those who migrate a database one works, the others wait. */
const lockKey = 7_105_121_101
const timeoutMs = 30_000

/**
 * @returns the names of those that it applied
 * @throws Error where an applied one has changed since, or where one fails; ControlError database_unavailable
 */
export async function migrate(db: Db, migrations: readonly Migration[] = ours()): Promise<string[]> {
  const applied: string[] = []
  for (;;) {
    const name = await db.transaction((statements) => applyNext(statements, migrations), {
      statementTimeoutMs: timeoutMs,
    })
    if (name === null) return applied
    applied.push(name)
  }
}

/** @throws Error where a file is not named like `0001_name.sql`, or two have one number */
export function readMigrations(folder: URL): Migration[] {
  const files = readdirSync(folder).filter((file) => file.endsWith('.sql'))
  const migrations = files.sort().map((file) => {
    const [, name, digits] = file.match(/^((\d{4})_[a-z0-9-]+)\.sql$/) ?? []
    if (name === undefined) throw new Error(`A migration must be named like 0001_name.sql, not ${file}`)
    return { number: Number(digits), name, sql: readFileSync(new URL(file, folder), 'utf8') }
  })
  for (const [n, { number, name }] of migrations.entries()) {
    const before = migrations[n - 1]
    if (before?.number === number)
      throw new Error(`The migrations ${before.name} and ${name} have one number`)
  }
  return migrations
}

let known: Migration[] | null = null

function ours(): Migration[] {
  return (known ??= readMigrations(new URL('migrations/', import.meta.url)))
}

/** @returns its name; null where nothing is left to do */
async function applyNext(statements: Statements, migrations: readonly Migration[]): Promise<string | null> {
  // Whoever waits here waits for the migration of another process.
  await statements.exec(`set local lock_timeout = ${timeoutMs}`)
  await statements.query('select pg_advisory_xact_lock($1)', [lockKey])
  const applied = await readApplied(statements)
  const next = migrations.find(({ number }) => !applied.has(number))
  for (const migration of migrations) check(migration, applied.get(migration.number))
  if (next === undefined) return null
  await apply(statements, next)
  return next.name
}

/** Checksums by number. Those of a newer program may be among them. */
async function readApplied(statements: Statements): Promise<Map<number, string>> {
  // Not `create table if not exists`: that asks for the right to create also where there is nothing to do.
  const [{ exists } = { exists: false }] = await statements.query<{ exists: boolean }>(
    `select to_regclass('schema_migrations') is not null as exists`,
  )
  if (!exists) await statements.exec(ownTable)
  const rows = await statements.query<{ number: number; checksum: string }>(
    'select number, checksum from schema_migrations',
  )
  return new Map(rows.map(({ number, checksum }) => [number, checksum]))
}

const ownTable = `
  create table schema_migrations (
    number integer primary key,
    name text not null,
    checksum text not null,
    applied_at timestamptz not null default now()
  )`

async function apply(statements: Statements, migration: Migration): Promise<void> {
  const { number, name, sql } = migration
  try {
    await statements.exec(sql)
  } catch (error) {
    if (isControlError(error)) throw error
    const message = error instanceof Error ? error.message : String(error)
    throw new Error(`The migration ${name} failed and changed nothing: ${message}`, { cause: error })
  }
  await statements.query('insert into schema_migrations (number, name, checksum) values ($1, $2, $3)', [
    number,
    name,
    checksum(migration),
  ])
}

function check(migration: Migration, applied: string | undefined): void {
  if (applied === undefined || applied === checksum(migration)) return
  throw new Error(
    `The migration ${migration.name} was changed after it was applied to this database. ` +
      'Put its text back, and make the change in a new migration.',
  )
}

function checksum({ sql }: Migration): string {
  // A checkout may have changed the ends of lines.
  return createHash('sha256').update(sql.replaceAll('\r\n', '\n')).digest('hex')
}
