// Upstreams as rows: how they read, and the lists that people ask for. They change in apply-steps.ts alone.

import {
  unlived,
  type Drain,
  type LifeFields,
  type NewUpstream,
  type Origin,
  type UpstreamFields,
  type UpstreamRecord,
  type UpstreamRecords,
} from '../records.ts'
import type { Labels, Upstream, UpstreamState } from '../../types.ts'
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
  readonly instance_id: string
  readonly incarnation: string | null
  readonly zone: string | null
  readonly listed_ip: string | null
  readonly request_id: string | null
  readonly attempts: number
  readonly retry_at: Date | null
  readonly problem: string | null
  readonly drain: Drain | null
  readonly replaced_by: string | null
  readonly ejections: number
  readonly ejected_until: Date | null
  readonly added_by: Origin
  readonly row_version: number
  readonly state_version: number
  readonly state_since: Date
  readonly claim_fence: number
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

    async at({ host, port }) {
      const rows = await db.query<UpstreamRow>(queries['upstreams-at'], [fleet, host, port])
      return rows.map(upstreamRecord)
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
    instanceId: row.instance_id,
    incarnation: row.incarnation,
    zone: row.zone,
    listedIp: row.listed_ip,
    requestId: row.request_id,
    attempts: row.attempts,
    retryAtMs: row.retry_at?.getTime() ?? null,
    problem: row.problem,
    drain: row.drain,
    replacedBy: row.replaced_by,
    ejections: row.ejections,
    ejectedUntilMs: row.ejected_until?.getTime() ?? null,
    addedBy: row.added_by,
    rowVersion: row.row_version,
    stateVersion: row.state_version,
    stateSinceMs: row.state_since.getTime(),
    claimFence: row.claim_fence,
    createdAtMs: row.created_at.getTime(),
    updatedAtMs: row.updated_at.getTime(),
    deletedAtMs: row.deleted_at?.getTime() ?? null,
    deletedBy: row.deleted_by,
  }
}

/** As add-upstreams.sql reads it. */
export function newRow({ addedBy, ...fields }: NewUpstream) {
  return { ...columnsOf({ ...unlived, instanceId: fields.id, ...fields }), added_by: addedBy }
}

/** As change-upstreams.sql and note-step.sql read it: a field that is not named keeps its value. */
export function fieldsRow(fields: UpstreamFields) {
  return columnsOf(fields)
}

function columnsOf({
  egressIp,
  instanceId,
  listedIp,
  requestId,
  retryAtMs,
  replacedBy,
  ejectedUntilMs,
  ...same
}: Partial<Upstream & LifeFields>) {
  return {
    ...same,
    egress_ip: egressIp,
    instance_id: instanceId,
    listed_ip: listedIp,
    request_id: requestId,
    retry_at: timeOf(retryAtMs),
    replaced_by: replacedBy,
    ejected_until: timeOf(ejectedUntilMs),
  }
}

/** ISO 8601; what is not named stays so. */
function timeOf(ms: number | null | undefined): string | null | undefined {
  return ms === null || ms === undefined ? ms : new Date(ms).toISOString()
}
