// Invariant 8: the same idempotency key never acts twice. Every try with a key gets the same answer, no two keys get each
// other's, and the ledger has no more rows of people than keys were used.

import type { LedgerEntry } from '../../src/store/records.ts'
import type { AdminRecord } from './records.ts'
import type { Findings } from './verdict.ts'

type Answered = AdminRecord & { readonly key: string }

/** The request was not acted on, and may be made again: 5xx, and 409 while the first try is still under way. */
function isFinal({ status }: AdminRecord): boolean {
  return status !== null && status < 500 && status !== 409 && status !== 429
}

export function checkKeys(
  records: readonly AdminRecord[],
  entries: readonly LedgerEntry[],
  findings: Findings,
): void {
  const first = new Map<string, Answered>()
  const keys = new Set<string>()
  for (const record of records) {
    const { key } = record
    if (key === null) {
      findings.undecided('changes that were asked for without a key')
      continue
    }
    keys.add(key)
    if (!isFinal(record)) continue
    const before = first.get(key)
    if (!before) first.set(key, { ...record, key })
    else if (before.asks !== record.asks) {
      if (record.status !== 422) findings.violated(8, `key ${key} was taken for two requests`, before, record)
    } else if (before.status !== record.status || before.answer !== record.answer)
      findings.violated(8, `key ${key} was answered in two ways`, before, record)
  }
  if (records.length === 0 || entries.length === 0) return
  if (records.some(({ key }) => key === null)) return
  const byPeople = entries.filter(({ actor }) => actor.startsWith('admin'))
  if (byPeople.length > keys.size)
    findings.violated(8, `${keys.size} keys came to ${byPeople.length} changes by people`, byPeople.at(-1))
}
