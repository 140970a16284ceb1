// The ledger's chain. Each row carries a hash over what it says and the hash of the row before, so a row that was
// changed, taken out or moved no longer fits, nor does what follows. Pure.
//
// It tells of changes behind the program's back. Whoever may rewrite the whole chain and the fleet's row with it
// is told by a hash that was noted elsewhere (each snapshot in Redis carries one).

import { createHash } from 'node:crypto'
import { canonicalJson } from '../../canonical-json.ts'
import type { LedgerEntry } from '../records.ts'

/** Of `steps`, and of the hash below. A newer program may write another. */
export const ledgerFormat = 1

export type Unhashed = Omit<LedgerEntry, 'hash'> & { readonly fleet: string }

/** SHA-256 in hex over the canonical JSON of a row: keys sorted, no spaces, time as ISO 8601 in ms. */
export function ledgerHash({ fleet, version, atMs, actor, reason, steps, previousHash }: Unhashed): string {
  const at = new Date(atMs).toISOString()
  const text = canonicalJson({ fleet, version, at, actor, reason, steps, previousHash })
  return createHash('sha256').update(text).digest('hex')
}
