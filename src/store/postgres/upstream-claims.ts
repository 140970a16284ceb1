// The right to take an upstream's next step, so that no two controllers take it (design 9). A claim is a few columns of
// its row: nothing of it is in the ledger, since no state changes by it.

import type { ClaimedUpstream, StepNotes, UpstreamClaim, UpstreamClaims } from '../records.ts'
import type { Db } from './db.ts'
import { queries } from './queries.ts'
import { fieldsRow, upstreamRecord, type UpstreamRow } from './upstreams.ts'

/** The clock comes with each row, and alone where there is no other. */
type TimedRow = { readonly now_ms: number } & (UpstreamRow | { readonly id: null })

export function makeUpstreamClaims({ db, fleet }: { db: Db; fleet: string }): UpstreamClaims {
  async function write(claim: UpstreamClaim, notes: StepNotes, isRelease: boolean): Promise<boolean> {
    const values = [...keysOf(claim), JSON.stringify(fieldsRow(notes)), isRelease]
    return (await db.query(queries['note-step'], [fleet, ...values])).length > 0
  }

  return {
    async waiting({ provider, place, limit }) {
      const values = [fleet, provider, place, limit]
      const rows = await db.query<TimedRow>(queries['waiting-upstreams'], values)
      return { nowMs: rows[0]!.now_ms, upstreams: rows.filter(isUpstream).map(upstreamRecord) }
    },

    async take(ids, { holder, forMs }) {
      const rows = await db.query<TimedRow>(queries['take-upstreams'], [fleet, ids, holder, forMs])
      return { nowMs: rows[0]!.now_ms, claimed: rows.filter(isUpstream).map((row) => claimedOf(row, holder)) }
    },

    async extend(claim, forMs) {
      return (await db.query(queries['extend-claim'], [fleet, ...keysOf(claim), forMs])).length > 0
    },

    note: (claim, notes) => write(claim, notes, false),

    release: (claim, notes = {}) => write(claim, notes, true),
  }
}

function isUpstream(row: TimedRow): row is TimedRow & UpstreamRow {
  return row.id !== null
}

function claimedOf(row: UpstreamRow, holder: string): ClaimedUpstream {
  return { record: upstreamRecord(row), claim: { id: row.id, holder, fence: row.claim_fence } }
}

function keysOf({ id, holder, fence }: UpstreamClaim) {
  return [id, holder, fence]
}
