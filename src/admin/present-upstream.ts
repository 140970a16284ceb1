// An upstream as people and programs see it in the admin API (design 11). Pure.

import type { UpstreamRecord } from '../store/records.ts'
import type { Load } from './control-parts.ts'
import type { UpstreamShape } from './shapes.ts'

/** @param load  null while Redis is away */
export function presentUpstream(record: UpstreamRecord, load: Load | null): UpstreamShape {
  const { id, name, provider, zone, state, host, port } = record
  const { egressIp, labels, ejected, quarantined, credentials } = record
  return {
    id,
    name,
    provider,
    zone,
    state,
    host,
    port,
    egressIp,
    labels,
    ejected,
    quarantined,
    credentials,
    pins: load && (load.pins.get(id) ?? 0),
    tunnels: load && (load.tunnels.get(id) ?? 0),
    createdAt: new Date(record.createdAtMs).toISOString(),
    updatedAt: new Date(record.updatedAtMs).toISOString(),
    deletedAt: record.deletedAtMs === null ? null : new Date(record.deletedAtMs).toISOString(),
  }
}
