// The life of an upstream (design 9) as one table, and the steps that move one through it. Pure.
//
//   provisioning -> running <-> draining -> deleting -> deleted
//        |             |           |                       ^
//        +-> failed    +-----------+---- gone -------------+

import { ControlError } from '../errors.ts'
import type { Instance } from '../provider/provider.ts'
import {
  unlived,
  type NewUpstream,
  type Origin,
  type Step,
  type UpstreamFields,
  type UpstreamRecord,
} from '../store/records.ts'
import type { UpstreamState } from '../types.ts'

/**
 * `admit`: its probes are good; `fail`: it never came up, and its machine is gone; `drain`; `cancel`: of a drain;
 * `delete`: empty, at its deadline, or by force; `gone`: its machine is no more, or its egress IP is another;
 * `removed`: the provider says that nothing is left of it.
 */
export type LifeEvent = 'admit' | 'fail' | 'drain' | 'cancel' | 'delete' | 'gone' | 'removed'

type Row = { readonly [Event in LifeEvent]?: UpstreamState }

export const lifeTable: { readonly [State in UpstreamState]: Row } = {
  provisioning: { admit: 'running', fail: 'failed', delete: 'deleting', gone: 'deleted' },
  running: { drain: 'draining', delete: 'deleting', gone: 'deleted' },
  // Drained again: its deadline changes.
  draining: { drain: 'draining', cancel: 'running', delete: 'deleting', gone: 'deleted' },
  // Only the provider's word ends it, so a list that still shows it (or shows it no more) changes nothing.
  deleting: { removed: 'deleted' },
  failed: { delete: 'deleting' },
  deleted: {},
}

/** What an event begins anew: the notes of the step before are over. */
export const freshNotes = { attempts: 0, retryAtMs: null, problem: null } as const

/**
 * The step that an event makes of a record.
 * @throws ControlError conflict where its state does not know the event
 */
export function move(
  record: UpstreamRecord,
  event: Exclude<LifeEvent, 'gone' | 'removed'>,
  fields: UpstreamFields = {},
): Step {
  const to: UpstreamFields = { ...freshNotes, ...fields, state: nextState(record, event) }
  return changeOf(record, to)
}

/** The step that leaves a tombstone. @throws ControlError conflict */
export function end(record: UpstreamRecord, event: 'gone' | 'removed', by: Origin): Step {
  nextState(record, event)
  return { kind: 'upstream_deleted', id: record.id, by }
}

/** Of what changes only. */
export function changeOf(record: UpstreamRecord, to: UpstreamFields): Step {
  const from = Object.fromEntries(
    Object.keys(to).map((field) => [field, record[field as keyof UpstreamFields]]),
  )
  return { kind: 'upstream_changed', id: record.id, from, to }
}

/** The id of a life: the first has the id that the provider lists, the second `<id>.2`. */
export function lifeId(instanceId: string, life: number): string {
  return life === 1 ? instanceId : `${instanceId}.${life}`
}

/**
 * A machine that the provider lists, as one of its lives.
 * @param life  1 for the first
 * @param probes  false: it runs at once
 */
export function newLife(
  instance: Instance,
  { provider, life, probes }: { readonly provider: string; readonly life: number; readonly probes: boolean },
): NewUpstream {
  const { id, name, labels } = instance
  return {
    ...addressFields(instance),
    id: lifeId(id, life),
    instanceId: id,
    name,
    labels,
    provider,
    state: probes ? 'provisioning' : 'running',
    ejected: false,
    quarantined: false,
    addedBy: 'provider',
  }
}

/** Where a machine is found, and as which one, as its record keeps it. */
export function addressFields(instance: Instance) {
  const { host, port, egressIp, zone, incarnation, credentials } = instance
  return { host, port, egressIp, listedIp: egressIp, zone, incarnation, credentials }
}

/** As one that is added will be read. */
export function newRecord(
  upstream: NewUpstream,
  { version, nowMs }: { readonly version: number; readonly nowMs: number },
): UpstreamRecord {
  return {
    ...unlived,
    instanceId: upstream.id,
    ...upstream,
    rowVersion: 1,
    stateVersion: version,
    stateSinceMs: nowMs,
    claimFence: 0,
    createdAtMs: nowMs,
    updatedAtMs: nowMs,
    deletedAtMs: null,
    deletedBy: null,
  }
}

/** As the record will stand after the step: for answers that are given before it is read again. */
export function afterStep(
  record: UpstreamRecord,
  step: Step,
  at: { readonly version: number; readonly nowMs: number },
): UpstreamRecord {
  if (step.kind === 'upstream_changed') return stamped(record, { ...record, ...step.to }, at)
  if (step.kind !== 'upstream_deleted') return record
  const gone = { ...record, state: 'deleted', deletedAtMs: at.nowMs, deletedBy: step.by } as const
  return stamped(record, gone, at)
}

function stamped(
  before: UpstreamRecord,
  after: UpstreamRecord,
  { version, nowMs }: { readonly version: number; readonly nowMs: number },
): UpstreamRecord {
  const moved = before.state !== after.state ? { stateVersion: version, stateSinceMs: nowMs } : {}
  return { ...after, ...moved, rowVersion: before.rowVersion + 1, updatedAtMs: nowMs }
}

function nextState({ id, state }: UpstreamRecord, event: LifeEvent): UpstreamState {
  const next = lifeTable[state][event]
  if (next !== undefined) return next
  throw new ControlError('conflict', `Upstream "${id}" is ${state}: ${hints[state]}`)
}

const hints: { readonly [State in UpstreamState]: string } = {
  provisioning: 'it has no jobs yet; wait until it is running, or delete it.',
  running: 'it is not being drained.',
  draining: 'it is being drained; cancel that, or wait.',
  deleting: 'its machine is being deleted, which cannot be undone.',
  failed: 'it never came up; delete it, and create another.',
  deleted: 'it is gone for good.',
}
