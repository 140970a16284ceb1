// What the provider lists and what the configuration says -> the steps that bring the records in line with it. Done
// when control starts. A tombstone stays one: what an operator deleted is not taken in again, and what the provider
// lists anew after it was gone is a new upstream with a new id. What is off a list is drained, since its machine may well
// be there; what was on this machine has ended with the process that kept it. Pure.

import { canonicalJson } from '../canonical-json.ts'
import { ControlError } from '../errors.ts'
import type { Instance } from '../provider/provider.ts'
import type { FleetContent, Origin, Step, UpstreamFields, UpstreamRecord } from '../store/records.ts'
import type { Restriction } from '../types.ts'
import { newDrain } from './drain.ts'
import { changeOf, end, lifeId, move, newLife } from './life.ts'
import { restrictionOf } from './publish.ts'

export type Listing = {
  readonly provider: string
  /** The provider's own, where it has one. */
  readonly place: string | null
  readonly instances: readonly Instance[]
}

/** By the id that the provider lists: all its lives in the records, the newest last. */
export type Lives = ReadonlyMap<string, readonly UpstreamRecord[]>

export type Adoption = {
  readonly steps: readonly Step[]
  /** What is listed but not taken in, and why. */
  readonly left: readonly { readonly id: string; readonly detail: string }[]
}

/** @param records  all of the fleet by id, tombstones too */
export function livesOf(listedIds: readonly string[], records: ReadonlyMap<string, UpstreamRecord>): Lives {
  return new Map(
    listedIds.map((listedId) => {
      const lives: UpstreamRecord[] = []
      for (let life = records.get(listedId); life; life = records.get(lifeId(listedId, lives.length + 1)))
        lives.push(life)
      return [listedId, lives]
    }),
  )
}

/**
 * @param lives  as read before; where the content has moved on since, they have to be read again
 * @param settings  `probes`: what is new has to answer them before it runs; `drainMs`: how long what has left a list may
 *   take to drain
 * @throws ControlError conflict
 */
export function planAdoption(
  content: FleetContent,
  listing: Listing,
  lives: Lives,
  settings: { readonly probes: boolean; readonly drainMs: number },
): Adoption {
  const { upstreams, nowMs } = content
  const ends: Step[] = []
  const comes: Step[] = []
  const left: { id: string; detail: string }[] = []
  const settled = new Set<string>()
  const liveIds = new Set(upstreams.map(({ id }) => id))
  const keeping = Map.groupBy(
    upstreams.filter((upstream) => keepsAddress(upstream, listing)),
    addressOf,
  )
  for (const instance of listing.instances) {
    const known = lives.get(instance.id) ?? []
    refuseOutdated(liveIds, instance.id, known)
    const others = keeping.get(addressOf(instance)) ?? []
    const clash = others.find((other) => !known.some(({ id }) => id === other.id))
    const verdict = judge(instance, known, clash)
    if ('leave' in verdict) {
      left.push({ id: instance.id, detail: verdict.leave })
      continue
    }
    const newest = known.at(-1)
    if (newest) settled.add(newest.id)
    ends.push(...verdict.ends)
    comes.push(...verdict.changes)
    if (verdict.isNew) comes.push(added(instance, listing, known.length + 1, settings.probes))
  }
  const gone = upstreams.filter((upstream) => !settled.has(upstream.id) && !isStaying(upstream, listing))
  const leaves = gone.flatMap((record) =>
    record.provider === 'static' ? offTheList(record, nowMs, settings.drainMs) : endedHere(record, listing),
  )
  // First those that leave, so that their addresses are free for those that come.
  return { steps: [...ends, ...leaves, ...comes], left }
}

/** Rules of the configuration come and go with it; those of the admin API stay, unless the configuration has their id. */
export function planRestrictions({ restrictions }: FleetContent, configured: readonly Restriction[]): Step[] {
  const removed = restrictions
    .filter(({ id, source }) => source === 'config' && !configured.some((rule) => rule.id === id))
    .map(restrictionOf)
    .map((restriction): Step => ({ kind: 'restriction_removed', restriction }))
  const changed = configured.map(restrictionOf).flatMap((restriction): Step[] => {
    const there = restrictions.find(({ id }) => id === restriction.id)
    if (!there) return [{ kind: 'restriction_added', restriction, source: 'config' }]
    const from = restrictionOf(there)
    if (there.source === 'config' && isSame(from, restriction)) return []
    return [{ kind: 'restriction_replaced', from, restriction, source: 'config' }]
  })
  return [...removed, ...changed]
}

type Verdict =
  /** Not taken in, and why. */
  | { readonly leave: string }
  | { readonly ends: readonly Step[]; readonly changes: readonly Step[]; readonly isNew: boolean }

/**
 * @param known  its lives, the newest last
 * @param clash  another upstream, which has its address and keeps it
 */
function judge(
  instance: Instance,
  known: readonly UpstreamRecord[],
  clash: UpstreamRecord | undefined,
): Verdict {
  const newest = known.at(-1)
  const isDeleted = newest?.state === 'deleted'
  if (isDeleted && newest.deletedBy === 'operator') return { leave: keptDeleted(newest) }
  if (clash) return { leave: `"${clash.id}" has its address already` }
  if (!newest || isDeleted) return { ends: [], changes: [], isNew: true }
  // Its machine is being deleted, or never came up: that goes its own way.
  if (newest.state === 'deleting' || newest.state === 'failed') return { ends: [], changes: [], isNew: false }
  if (isSameLife(newest, instance)) return { ends: [], changes: listedAgain(newest, instance), isNew: false }
  const by = deleterOf(newest)
  return { ends: [end(newest, 'gone', by)], changes: [], isNew: by !== 'operator' }
}

function refuseOutdated(
  liveIds: ReadonlySet<string>,
  listedId: string,
  known: readonly UpstreamRecord[],
): void {
  const agrees = known.every(({ id, state }) => liveIds.has(id) === (state !== 'deleted'))
  if (agrees && !liveIds.has(lifeId(listedId, known.length + 1))) return
  throw new ControlError('conflict', `Upstream "${listedId}" was changed meanwhile.`)
}

/**
 * Not this listing's business: registered by an operator, in a cloud, or local to another data folder. A list from
 * another configuration (`static`), and what ended with a former process (`local`), are no more where the provider is
 * another now.
 */
function isStaying({ addedBy, provider, zone }: UpstreamRecord, listing: Listing): boolean {
  if (addedBy === 'operator') return true
  if (provider === 'static') return false
  if (provider === 'local') return listing.provider === 'local' && zone !== listing.place
  return true
}

function keepsAddress(record: UpstreamRecord, listing: Listing): boolean {
  return isStaying(record, listing) && record.state !== 'draining' && record.state !== 'deleting'
}

/** Whoever had asked for it already, or else whoever lists it no more. */
function deleterOf({ state, drain }: UpstreamRecord): Origin {
  if (state === 'deleting') return drain?.by ?? 'operator'
  return drain?.thenDelete ? drain.by : 'provider'
}

/** Its machine may still serve, only its list is another: its jobs finish. */
function offTheList(record: UpstreamRecord, nowMs: number, drainMs: number): Step[] {
  const { state, drain } = record
  if (state === 'provisioning') return [end(record, 'gone', 'provider')]
  if (state === 'running') {
    const leaving = newDrain(nowMs, { deadlineMs: drainMs, thenDelete: true, by: 'provider' })
    return [move(record, 'drain', { drain: leaving })]
  }
  if (state !== 'draining' || drain === null || drain.thenDelete) return []
  return [changeOf(record, { drain: { ...drain, thenDelete: true } })]
}

/** Its machine has ended with the process that kept it. */
function endedHere(record: UpstreamRecord, { provider }: Listing): Step[] {
  const { state, host } = record
  if (state === 'failed') return []
  // One without an address is still to be made, where its provider is there to make it.
  if (state === 'provisioning' && host === '' && provider === record.provider) return []
  return [end(record, state === 'deleting' ? 'removed' : 'gone', deleterOf(record))]
}

/**
 * Another egress IP in the list is another upstream (design 2); one that was unknown and is known now is not. What
 * probes see is compared only where the list has never told.
 */
function isSameLife({ listedIp, egressIp }: UpstreamRecord, instance: Instance): boolean {
  const before = listedIp ?? egressIp
  return before === null || instance.egressIp === null || before === instance.egressIp
}

/** As the list tells it now; and if it was only drained because it was off the list, it runs again. */
function listedAgain(record: UpstreamRecord, instance: Instance): Step[] {
  const to = toldFields(record, instance)
  if (record.state === 'draining' && record.drain?.by === 'provider')
    return [move(record, 'cancel', { ...to, drain: null })]
  return Object.keys(to).length === 0 ? [] : [changeOf(record, to)]
}

function toldFields(record: UpstreamRecord, instance: Instance): UpstreamFields {
  const { name, host, port, labels, credentials, egressIp } = instance
  // A list that does not know the egress IP does not take away what a probe has seen.
  const address = egressIp === null ? {} : { listedIp: egressIp, egressIp: record.egressIp ?? egressIp }
  const told: UpstreamFields = { name, host, port, labels, credentials, ...address }
  const isNew = ([field, value]: [string, unknown]) => !isSame(record[field as keyof UpstreamFields], value)
  return Object.fromEntries(Object.entries(told).filter(isNew))
}

function added(instance: Instance, { provider }: Listing, life: number, probes: boolean): Step {
  return { kind: 'upstream_added', upstream: newLife(instance, { provider, life, probes }) }
}

function keptDeleted({ id, deletedAtMs }: UpstreamRecord): string {
  const when = deletedAtMs === null ? '' : ` at ${new Date(deletedAtMs).toISOString()}`
  return `an operator deleted "${id}"${when}; to use the machine again give it a new id, or register it by its address`
}

function addressOf({ host, port }: UpstreamRecord | Instance): string {
  return `${host} ${port}`
}

/** Whatever the order of keys: the database keeps its own. */
function isSame(a: unknown, b: unknown): boolean {
  return canonicalJson(a) === canonicalJson(b)
}
