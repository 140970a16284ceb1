// Upstreams as rows: how they read, and the lists that people ask for. They change in apply-steps.ts alone.

import type { NewUpstream, Origin, UpstreamFields, UpstreamRecord, UpstreamRecords } from '../records.ts'
import type { Labels, UpstreamState } from '../../types.ts'
import type { Db } from './db.ts'
import { pageOf } from './pages.ts'
import { queries } from './queries.ts'

export type UpstreamRow = {
  readonly id: string
  readonly name: string
  readonly provider: string
  readonly state: UpstreamState
  readonly host: string
  readonly port: number
  readonly egress_ip: string | null
  readonly labels: Labels
  readonly ejected: boolean
  readonly quarantined: boolean
  readonly credentials: string | null
  readonly zone: string | null
  readonly added_by: Origin
  readonly row_version: number
  readonly created_at: Date
  readonly updated_at: Date
  readonly deleted_at: Date | null
  readonly deleted_by: Origin | null
}

export function makeUpstreamRecords({ db, fleet }: { db: Db; fleet: string }): UpstreamRecords {
  return {
    async list({ after, limit, state }) {
      const values = [fleet, state, after, limit + 1]
      const rows = await db.query<UpstreamRow>(queries['list-upstreams'], values)
      return pageOf(rows, { limit, item: upstreamRecord, after: ({ id }) => id })
    },

    async read(id) {
      const [row] = await db.query<UpstreamRow>(queries['read-upstream'], [fleet, id])
      return row ? upstreamRecord(row) : null
    },
  }
}

export function upstreamRecord(row: UpstreamRow): UpstreamRecord {
  return {
    id: row.id,
    name: row.name,
    provider: row.provider,
    state: row.state,
    host: row.host,
    port: row.port,
    egressIp: row.egress_ip,
    labels: row.labels,
    ejected: row.ejected,
    quarantined: row.quarantined,
    credentials: row.credentials,
    zone: row.zone,
    addedBy: row.added_by,
    rowVersion: row.row_version,
    createdAtMs: row.created_at.getTime(),
    updatedAtMs: row.updated_at.getTime(),
    deletedAtMs: row.deleted_at?.getTime() ?? null,
    deletedBy: row.deleted_by,
  }
}

/** As add-upstreams.sql reads it. */
export function newRow({ egressIp, addedBy, ...same }: NewUpstream) {
  return { ...same, egress_ip: egressIp, added_by: addedBy }
}

/** As change-upstreams.sql reads it: a field that is not named keeps its value. */
export function fieldsRow({ egressIp, ...same }: UpstreamFields) {
  return { ...same, egress_ip: egressIp }
}
