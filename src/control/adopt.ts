// What the provider lists and what the configuration says -> the steps that bring the records in line with it. Done
// when control starts. A tombstone stays one: what an operator deleted is not taken in again, and what the provider
// lists anew after it was gone is a new upstream with a new id. Pure.

import { canonicalJson } from '../canonical-json.ts'
import { ControlError } from '../errors.ts'
import type { Instance } from '../provider/provider.ts'
import type { FleetContent, Step, UpstreamFields, UpstreamRecord } from '../store/records.ts'
import type { Restriction } from '../types.ts'
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

/** The id of a life: the first has the id that the provider lists, the second `<id>.2`. */
export function lifeId(listedId: string, life: number): string {
  return life === 1 ? listedId : `${listedId}.${life}`
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
 * @throws ControlError conflict
 */
export function planAdoption(content: FleetContent, listing: Listing, lives: Lives): Adoption {
  const steps: Step[] = []
  const left: { id: string; detail: string }[] = []
  const kept = new Set<string>()
  const liveIds = new Set(content.upstreams.map(({ id }) => id))
  const byAddress = Map.groupBy(content.upstreams, addressOf)
  for (const instance of listing.instances) {
    const known = lives.get(instance.id) ?? []
    const newest = known.at(-1)
    refuseOutdated(liveIds, instance.id, known)
    const neighbours = byAddress.get(addressOf(instance)) ?? []
    const clash = neighbours.find((other) => !known.some(({ id }) => id === other.id))
    if (newest?.state === 'deleted' && newest.deletedBy === 'operator') {
      left.push({ id: instance.id, detail: keptDeleted(newest) })
    } else if (clash && isStaying(clash, listing)) {
      left.push({ id: instance.id, detail: `"${clash.id}" has its address already` })
    } else if (newest && newest.state !== 'deleted' && isSameLife(newest, instance)) {
      kept.add(newest.id)
      steps.push(...changesOf(newest, instance))
    } else steps.push(added(instance, listing, lifeId(instance.id, known.length + 1)))
  }
  return { steps: [...goneFrom(content, listing, kept), ...steps], left }
}

/** Rules of the configuration come and go with it; those of the admin API stay, unless the configuration has their id. */
export function planRestrictions({ restrictions }: FleetContent, configured: readonly Restriction[]): Step[] {
  const removed = restrictions
    .filter(({ id, source }) => source === 'config' && !configured.some((rule) => rule.id === id))
    .map(restrictionOf)
    .map((restriction): Step => ({ kind: 'restriction_removed', restriction }))
  const changed = configured.flatMap((restriction): Step[] => {
    const there = restrictions.find(({ id }) => id === restriction.id)
    if (!there) return [{ kind: 'restriction_added', restriction, source: 'config' }]
    const from = restrictionOf(there)
    if (there.source === 'config' && isSame(from, restrictionOf(restriction))) return []
    return [{ kind: 'restriction_replaced', from, restriction, source: 'config' }]
  })
  return [...removed, ...changed]
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

/** First those that leave, so that their addresses are free for those that come. */
function goneFrom({ upstreams }: FleetContent, listing: Listing, kept: ReadonlySet<string>): Step[] {
  return upstreams
    .filter((upstream) => !isStaying(upstream, listing) && !kept.has(upstream.id))
    .map(({ id }): Step => ({ kind: 'upstream_deleted', id, by: 'provider' }))
}

/**
 * Not this listing's business: registered by an operator, in a cloud of its own, or local to another data folder. A
 * list from another configuration (`static`) is no more where the provider is another now.
 */
function isStaying({ addedBy, provider, zone }: UpstreamRecord, listing: Listing): boolean {
  if (addedBy === 'operator') return true
  if (provider === 'static') return false
  if (provider === 'local') return listing.provider === 'local' && zone !== listing.place
  return provider !== listing.provider
}

/** Another egress IP is another upstream (design 2); one that was unknown and is known now is not. */
function isSameLife({ egressIp }: UpstreamRecord, instance: Instance): boolean {
  return egressIp === instance.egressIp || egressIp === null || instance.egressIp === null
}

function changesOf(record: UpstreamRecord, instance: Instance): Step[] {
  const fields = ['name', 'host', 'port', 'egressIp', 'labels', 'credentials'] as const
  // A list that does not know the egress IP does not take away what a probe has seen.
  const told = fields.filter((field) => field !== 'egressIp' || instance.egressIp !== null)
  const changed = told.filter((field) => !isSame(record[field], instance[field]))
  if (changed.length === 0) return []
  const pick = (from: Instance | UpstreamRecord): UpstreamFields =>
    Object.fromEntries(changed.map((field) => [field, from[field]]))
  return [{ kind: 'upstream_changed', id: record.id, from: pick(record), to: pick(instance) }]
}

function added(instance: Instance, { provider, place }: Listing, id: string): Step {
  const standing = { provider, state: 'running', ejected: false, quarantined: false } as const
  return {
    kind: 'upstream_added',
    upstream: { ...instance, ...standing, id, zone: place, addedBy: 'provider' },
  }
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
