// Restrictions as rows: how they read, and the list that people ask for. They change in apply-steps.ts alone.

import type { Restriction, RestrictionKind, UpstreamSelector } from '../../types.ts'
import type { RestrictionRecord, RestrictionRecords, RestrictionSource } from '../records.ts'
import type { Db } from './db.ts'
import { afterNumber, pageOf } from './pages.ts'
import { queries } from './queries.ts'

export type RestrictionRow = {
  readonly id: string
  readonly kind: RestrictionKind
  readonly type: string
  readonly institution: string
  readonly selector: UpstreamSelector
  readonly overflow: boolean
  readonly targets: readonly string[] | null
  readonly report: boolean
  readonly source: RestrictionSource
  readonly place: number
  readonly created_at: Date
  readonly updated_at: Date
}

export function makeRestrictionRecords({ db, fleet }: { db: Db; fleet: string }): RestrictionRecords {
  return {
    async list({ after, limit }) {
      const values = [fleet, afterNumber(after) ?? 0, limit + 1]
      const rows = await db.query<RestrictionRow>(queries['list-restrictions'], values)
      return pageOf(rows, { limit, item: restrictionRecord, after: ({ place }) => String(place) })
    },

    async read(id) {
      const [row] = await db.query<RestrictionRow>(queries['read-restriction'], [fleet, id])
      return row ? restrictionRecord(row) : null
    },
  }
}

export function restrictionRecord(row: RestrictionRow): RestrictionRecord {
  return {
    id: row.id,
    kind: row.kind,
    type: row.type,
    institution: row.institution,
    upstreams: row.selector,
    overflow: row.overflow,
    ...(row.targets === null ? {} : { targets: row.targets, report: row.report }),
    source: row.source,
    createdAtMs: row.created_at.getTime(),
    updatedAtMs: row.updated_at.getTime(),
  }
}

/** As add-restrictions.sql and replace-restrictions.sql read it. */
export function restrictionRow(
  { upstreams, targets = null, report = false, ...same }: Restriction,
  source: RestrictionSource,
) {
  return { ...same, selector: upstreams, targets, report, source }
}
