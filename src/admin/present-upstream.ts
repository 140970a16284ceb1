// An upstream as people and programs see it in the admin API (design 11). Pure.

import type { Drain, UpstreamRecord } from '../store/records.ts'
import type { Load } from './control-parts.ts'
import type { UpstreamShape } from './shapes.ts'

/** @param load  null while Redis is away */
export function presentUpstream(record: UpstreamRecord, load: Load | null): UpstreamShape {
  const { id, name, provider, zone, state, egressIp, listedIp, labels, ejected, quarantined } = record
  const { credentials, drain, replacedBy, problem, attempts, instanceId, incarnation, addedBy } = record
  return {
    id,
    name,
    provider,
    zone,
    state,
    ...addressOf(record),
    egressIp,
    listedIp,
    labels,
    ejected,
    quarantined,
    credentials,
    pins: load && (load.pins.get(id) ?? 0),
    tunnels: load && (load.tunnels.get(id) ?? 0),
    drain: drain && presentDrain(drain),
    replacedBy,
    problem,
    attempts,
    retryAt: timeOrNull(record.retryAtMs),
    ejectedUntil: record.ejected ? timeOrNull(record.ejectedUntilMs) : null,
    instanceId,
    incarnation,
    addedBy,
    stateSince: time(record.stateSinceMs),
    createdAt: time(record.createdAtMs),
    updatedAt: time(record.updatedAtMs),
    deletedAt: timeOrNull(record.deletedAtMs),
  }
}

/** The records know no address as an empty one. */
function addressOf({ host, port }: UpstreamRecord): Pick<UpstreamShape, 'host' | 'port'> {
  return host === '' ? { host: null, port: null } : { host, port }
}

function presentDrain({ sinceMs, deadlineMs, thenDelete, drainedAtMs, shut }: Drain): UpstreamShape['drain'] {
  return {
    since: time(sinceMs),
    deadline: time(deadlineMs),
    thenDelete,
    drainedAt: timeOrNull(drainedAtMs),
    shut: shut && { at: time(shut.atMs), pins: shut.pins, tunnels: shut.tunnels },
  }
}

function time(ms: number): string {
  return new Date(ms).toISOString()
}

function timeOrNull(ms: number | null): string | null {
  return ms === null ? null : time(ms)
}
