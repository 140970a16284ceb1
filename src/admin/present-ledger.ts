// A row of the ledger as the admin API tells it. Pure.

import type { LedgerEntry } from '../store/records.ts'
import type { LedgerEntryShape } from './ledger-shapes.ts'

export function presentLedgerEntry(entry: LedgerEntry): LedgerEntryShape {
  const { version, atMs, actor, reason, steps, previousHash, hash } = entry
  return { version, at: new Date(atMs).toISOString(), actor, reason, steps: [...steps], previousHash, hash }
}
