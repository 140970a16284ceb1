// The ledger: appended to by each change, read by people, followed from end to end by `ledger verify`.

import { ControlError } from '../../errors.ts'
import type { Head, Ledger, LedgerCheck, LedgerEntry, Step } from '../records.ts'
import type { Db, Statements } from './db.ts'
import { ledgerFormat, ledgerHash } from './ledger-hash.ts'
import { nextVersion } from './next-head.ts'
import { afterNumber, pageOf } from './pages.ts'
import { queries } from './queries.ts'
import { readHead } from './read-head.ts'
import { subjectsOf } from './subjects.ts'

type LedgerRow = {
  readonly version: number
  readonly format: number
  readonly at: Date
  readonly actor: string
  readonly reason: string | null
  readonly steps: readonly Step[]
  readonly subjects: readonly string[]
  readonly previous_hash: string
  readonly hash: string
}

/** The end of the chain so far. */
type End = { readonly version: number; readonly hash: string; readonly entries: number }

const pageLength = 1000

export function makeLedger({ db, fleet }: { db: Db; fleet: string }): Ledger {
  return {
    async list({ after, limit, about }) {
      const values = [fleet, afterNumber(after), about, limit + 1]
      const rows = await db.query<LedgerRow>(queries['list-ledger'], values)
      return pageOf(rows, { limit, item: readable, after: ({ version }) => String(version) })
    },

    async read(version) {
      const [row] = await db.query<LedgerRow>(queries['read-ledger'], [fleet, version])
      return row ? readable(row) : null
    },

    // Of one moment: a change made meanwhile must not look like a row too many.
    verify: () =>
      db.transaction((statements) => verify(statements, fleet), {
        isolation: 'repeatable read',
        readOnly: true,
      }),
  }
}

/** Inside the transaction of the change. @returns its hash */
export async function appendLedger(
  statements: Statements,
  fleet: string,
  entry: Omit<LedgerEntry, 'hash'>,
): Promise<string> {
  const hash = ledgerHash({ fleet, ...entry })
  await statements.query(queries['append-ledger'], [
    fleet,
    entry.version,
    ledgerFormat,
    new Date(entry.atMs).toISOString(),
    entry.actor,
    entry.reason,
    JSON.stringify(entry.steps),
    JSON.stringify(subjectsOf(entry.steps)),
    entry.previousHash,
    hash,
  ])
  return hash
}

async function verify(statements: Statements, fleet: string): Promise<LedgerCheck> {
  const head = await readHead(statements, fleet)
  let end: End = { version: 0, hash: '', entries: 0 }
  for (;;) {
    const values = [fleet, end.version, pageLength]
    const rows = await statements.query<LedgerRow>(queries['follow-ledger'], values)
    for (const row of rows) {
      const problem = problemOf(row, { fleet, end })
      if (problem !== null) return { ok: false, version: row.version, problem }
      end = { version: row.version, hash: row.hash, entries: end.entries + 1 }
    }
    if (rows.length < pageLength) return compare(end, head)
  }
}

/** Null where the row follows the one before. */
function problemOf(row: LedgerRow, { fleet, end }: { fleet: string; end: End }): string | null {
  if (row.format !== ledgerFormat) return unreadable(row)
  const entry = entryOf(row)
  const expected = nextVersion(end.version, entry.steps)
  if (row.version !== expected) return `Version ${expected} should follow ${end.version}; rows are missing.`
  if (row.previous_hash !== end.hash) return 'Its previous hash is not the hash of the row before.'
  if (row.hash !== ledgerHash({ fleet, ...entry }))
    return 'Its hash does not fit what it says: it was changed.'
  // Not in the hash, since it follows from the steps; a row that lost one could not be found.
  if (!isSame(row.subjects, subjectsOf(entry.steps))) return 'Its subjects are not those of its steps.'
  return null
}

function compare({ version, hash, entries }: End, head: Head): LedgerCheck {
  if (version === head.version && hash === head.ledgerHash) return { ok: true, entries, version, hash }
  const problem =
    version === head.version
      ? 'The last row is another than the one that the fleet knows.'
      : `The ledger ends at version ${version}, but the fleet is at ${head.version}.`
  return { ok: false, version: Math.min(version, head.version) + (version === head.version ? 0 : 1), problem }
}

/** @throws ControlError database_unavailable where a newer program wrote the row */
function readable(row: LedgerRow): LedgerEntry {
  if (row.format === ledgerFormat) return entryOf(row)
  throw new ControlError('database_unavailable', unreadable(row))
}

function unreadable({ version, format }: LedgerRow): string {
  return `The ledger's row ${version} is of format ${format}; this program reads format ${ledgerFormat}. Update it.`
}

function entryOf(row: LedgerRow): LedgerEntry {
  return {
    version: row.version,
    atMs: row.at.getTime(),
    actor: row.actor,
    reason: row.reason,
    steps: row.steps,
    previousHash: row.previous_hash,
    hash: row.hash,
  }
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((item, n) => item === b[n])
}
