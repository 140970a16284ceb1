// The fleet's own row, plain or locked, with the database's clock.

import type { Head } from '../records.ts'
import type { Statements } from './db.ts'
import { notThereYet } from './guarded-db.ts'
import { queries } from './queries.ts'

type HeadRow = {
  readonly version: number
  readonly ledger_hash: string
  readonly eviction_asked: number | null
  readonly wanted_size: number | null
  readonly configured_size: number | null
  readonly now_ms: number
}

/**
 * @param query  `lock-fleet` waits for a change under way, and keeps others out until the transaction ends
 * @throws ControlError database_unavailable where the fleet is not there
 */
export async function readHead(
  statements: Pick<Statements, 'query'>,
  fleet: string,
  query: 'read-head' | 'lock-fleet' = 'read-head',
): Promise<Head & { readonly nowMs: number }> {
  const [row] = await statements.query<HeadRow>(queries[query], [fleet])
  if (!row) throw notThereYet(`it has no fleet "${fleet}"`)
  return {
    version: row.version,
    ledgerHash: row.ledger_hash,
    evictionAsked: row.eviction_asked,
    wantedSize: row.wanted_size,
    configuredSize: row.configured_size,
    nowMs: row.now_ms,
  }
}
