// A pin as lua/pin-record.lua keeps it, and as the program knows it. Pure.

import type { Pin } from '../../types.ts'
import type { RememberedPin } from '../store.ts'
import { recordFormat, refuseUnreadable } from './format.ts'

export type PinRecord = { f: number; u: string; t?: string; i?: string; at: number; by?: string }

/** @throws GatewayError store_unavailable where the record is of a format that this program cannot read */
export function pinOf(jobId: string, record: string | PinRecord, expiresAtMs: number): Pin {
  const { f, u, t, i, at, by } = typeof record === 'string' ? (JSON.parse(record) as PinRecord) : record
  refuseUnreadable('pin record', f)
  return {
    job: { id: jobId, type: t ?? null, institution: i ?? null },
    upstreamId: u,
    freshBy: by ?? null,
    pinnedAtMs: at,
    expiresAtMs,
  }
}

export function recordOf({ job, upstreamId, freshBy, pinnedAtMs }: RememberedPin): PinRecord {
  return {
    f: recordFormat,
    u: upstreamId,
    ...(job.type !== null && { t: job.type }),
    ...(job.institution !== null && { i: job.institution }),
    at: pinnedAtMs,
    ...(freshBy !== null && { by: freshBy }),
  }
}
