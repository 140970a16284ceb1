// What happens to an upstream next: wanted + recorded + observed + now -> one action, with its reason. Nothing else in
// the program decides that; the steps (launch.ts, admit.ts, drain.ts, remove.ts) only do it. How many there should be is
// plan-size.ts, what a comparison with the provider's list means is plan-sync.ts. Pure.

import type { UpstreamRecord } from '../store/records.ts'

/** What gateways and the store of pins say (traffic.ts). */
export type ObservedTraffic = {
  /** Every gateway that could still pin knows the fleet at this version, or a newer one. */
  readonly confirmedVersion: number
  use(
    id: string,
    sinceVersion: number,
  ): { readonly pins: number; readonly tunnels: number; readonly isEmpty: boolean }
}

export type LifeFacts = {
  /** By the database's clock, as all times of the record. */
  readonly nowMs: number
  /** Null: the store of pins does not answer, so nothing is known. */
  readonly traffic: ObservedTraffic | null
  /** The record that `replacedBy` names; null where there is none. */
  readonly replacement: UpstreamRecord | null
  /** A machine of ours that has not come up within this time has failed. */
  readonly launchMs: number
}

export type Action = { readonly reason: string } & (
  | { readonly kind: 'wait' }
  /** Have its machine made. */
  | { readonly kind: 'launch' }
  /** Probe it, and let it run. */
  | { readonly kind: 'admit' }
  /** Have what there is of its machine deleted, and say that it failed. */
  | { readonly kind: 'give-up' }
  /** Its replacement runs. */
  | { readonly kind: 'drain' }
  /** Its replacement never came up: it stays. */
  | { readonly kind: 'keep' }
  /** Its drain is over. */
  | { readonly kind: 'drained' }
  /** The deadline of its drain has come: close what is left. */
  | { readonly kind: 'shut'; readonly pins: number; readonly tunnels: number }
  | { readonly kind: 'delete'; readonly shut: { readonly pins: number; readonly tunnels: number } | null }
  /** Have its machine deleted: no ring, pin or tunnel has it any more. */
  | { readonly kind: 'remove' }
)
export type ActionKind = Action['kind']

export function planLife(record: UpstreamRecord, facts: LifeFacts): Action {
  switch (record.state) {
    case 'provisioning':
      return planProvisioning(record, facts)
    case 'running':
      return planReplacement(record, facts)
    case 'draining':
      return planDrain(record, facts)
    case 'deleting':
      return planRemoval(record, facts)
    default:
      return wait(`it is ${record.state}`)
  }
}

/** Whether its next action depends on what jobs do. */
export function needsTraffic({ state }: UpstreamRecord): boolean {
  return state === 'draining' || state === 'deleting'
}

function planProvisioning(record: UpstreamRecord, { nowMs, launchMs }: LifeFacts): Action {
  // Machines that others made and listed may take their time: they are not ours to give up.
  // And one that nobody has tried yet (control was away, say) is tried.
  const isTried = record.attempts > 0
  if (record.addedBy === 'control' && isTried && nowMs - record.stateSinceMs >= launchMs) {
    const why = record.problem === null ? '' : `: ${record.problem}`
    return { kind: 'give-up', reason: `it did not come up within ${seconds(launchMs)}${why}` }
  }
  if (record.host === '') return { kind: 'launch', reason: 'its machine is to be made' }
  return { kind: 'admit', reason: 'it runs once its probes are good' }
}

function planReplacement({ replacedBy }: UpstreamRecord, { replacement }: LifeFacts): Action {
  if (replacedBy === null) return wait('it is running')
  const state = replacement?.state ?? 'deleted'
  if (state === 'provisioning') return wait(`"${replacedBy}" is not running yet`)
  if (state !== 'running') return { kind: 'keep', reason: `"${replacedBy}" is ${state}, so it stays` }
  if (replacement?.ejected) return wait(`"${replacedBy}" is ejected`)
  return { kind: 'drain', reason: `"${replacedBy}" has taken its place` }
}

function planDrain(record: UpstreamRecord, { nowMs, traffic }: LifeFacts): Action {
  const { drain, stateVersion } = record
  // Only a tampered row is without: keep what it may carry.
  if (drain === null) return wait('nobody knows why it is drained')
  if (drain.drainedAtMs !== null && !drain.thenDelete) return wait('it is drained')
  if (drain.shut !== null) return { kind: 'delete', shut: null, reason: 'what was left on it is closed' }
  // Also at the deadline: without the store no gateway hears that it is closed, and nobody can count what was.
  if (!traffic) return wait('the store of pins does not answer')
  const { pins, tunnels, isEmpty } = traffic.use(record.id, stateVersion)
  const isConfirmed = traffic.confirmedVersion >= stateVersion
  if (isConfirmed && isEmpty) {
    return drain.thenDelete
      ? { kind: 'delete', shut: null, reason: 'it is drained' }
      : { kind: 'drained', reason: 'no job is left on it' }
  }
  if (nowMs >= drain.deadlineMs) {
    const reason = 'the deadline of its drain has come'
    return drain.thenDelete
      ? { kind: 'delete', shut: { pins, tunnels }, reason }
      : { kind: 'shut', pins, tunnels, reason }
  }
  if (!isConfirmed) return wait('some gateways have not confirmed its drain')
  if (pins + tunnels > 0) return wait(`${pins} jobs and ${tunnels} tunnels are left`)
  return wait('some gateways still know jobs of it, or have yet to report')
}

/** The machine outlives what gateways know of it: they have heard that it is leaving, and closed what was left. */
function planRemoval({ stateVersion }: UpstreamRecord, { traffic }: LifeFacts): Action {
  if (!traffic) return wait('the store of pins does not answer')
  if (traffic.confirmedVersion < stateVersion) return wait('some gateways do not know yet that it is leaving')
  return { kind: 'remove', reason: 'no gateway uses it' }
}

function wait(reason: string): Action {
  return { kind: 'wait', reason }
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`
}
