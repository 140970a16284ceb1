// How many upstreams the provider is to keep: which ones are ordered, and which leave. Part of the plan (plan.ts). Pure.

import type { UpstreamRecord } from '../store/records.ts'
import type { Load } from './traffic.ts'

/** One pass orders at most so many: a wrong digit must not cost a fleet. */
const atOnce = 50

export type SizeFacts = {
  /** By the database's clock. */
  readonly nowMs: number
  readonly wanted: number | null
  readonly provider: string
  /** Null where the provider has but one. */
  readonly place: string | null
  /** Null: the store of pins does not answer, so nobody knows who is emptiest. */
  readonly load: Load | null
  /** After one has failed no other is ordered in its place for this long: what failed once may fail a hundred times. */
  readonly coolDownMs: number
}

export type SizePlan = {
  /** How many to order. */
  readonly order: number
  /** The emptiest first; those that never ran before them. */
  readonly leave: readonly UpstreamRecord[]
  readonly reason: string
}

export function planSize(upstreams: readonly UpstreamRecord[], facts: SizeFacts): SizePlan {
  const { wanted, nowMs, coolDownMs } = facts
  if (wanted === null) return { order: 0, leave: [], reason: 'no size is wanted' }
  const own = upstreams.filter((upstream) => isOwn(upstream, facts))
  const standing = own.filter(stands)
  const failed = own.filter(
    ({ state, stateSinceMs }) => state === 'failed' && nowMs - stateSinceMs < coolDownMs,
  )
  const missing = wanted - standing.length
  return {
    order: Math.min(atOnce, Math.max(0, missing - failed.length)),
    leave: missing < 0 ? emptiest(standing, facts.load).slice(0, -missing) : [],
    reason: `${standing.length} of ${wanted} wanted upstreams`,
  }
}

/** Made by this provider, at this place; machines that operators registered are not counted. */
export function isOwn(
  { provider, addedBy, zone }: Pick<UpstreamRecord, 'provider' | 'addedBy' | 'zone'>,
  { provider: name, place }: Pick<SizeFacts, 'provider' | 'place'>,
): boolean {
  return provider === name && addedBy !== 'operator' && (place === null || zone === place)
}

/** Here to stay. One that has a replacement is on its way out; one that is only drained comes back. */
export function stands({ state, replacedBy, drain }: UpstreamRecord): boolean {
  if (state === 'draining') return drain?.thenDelete === false
  return state === 'provisioning' || (state === 'running' && replacedBy === null)
}

function emptiest(standing: readonly UpstreamRecord[], load: Load | null): UpstreamRecord[] {
  // Of those that were made together, the last name first.
  const byAge = (a: UpstreamRecord, b: UpstreamRecord) =>
    b.createdAtMs - a.createdAtMs || b.name.localeCompare(a.name, 'en', { numeric: true })
  const coming = standing.filter(({ state }) => state === 'provisioning').toSorted(byAge)
  if (!load) return coming
  const carried = ({ id }: UpstreamRecord) => (load.pins.get(id) ?? 0) + (load.tunnels.get(id) ?? 0)
  const running = standing.filter(({ state }) => state === 'running')
  return [...coming, ...running.toSorted((a, b) => carried(a) - carried(b) || byAge(a, b))]
}
