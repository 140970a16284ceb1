// What a comparison of the provider's list with the records means: which corrections, with their reasons, and what is left
// alone and why. Part of the plan (plan.ts). Pure: what was missing before is handed in, and handed back.
//
// A list may be stale or cut off, so it is only a hint: nothing is taken for gone by it alone (absences), and whoever
// applies a correction that takes away asks for that one machine again.

import type { Instance, Listing } from '../provider/provider.ts'
import type { UpstreamRecord } from '../store/records.ts'
import { isOwn } from './plan-size.ts'

/** So long people can see that an upstream failed. */
const failedKeptMs = 3_600_000

/** By id: since when (monotonic), and in how many complete lists in a row, something was not as the records have it. */
export type Sightings = ReadonlyMap<string, { readonly sinceMs: number; readonly times: number }>

export type SyncFacts = {
  readonly provider: string
  /** Null where the provider has but one. */
  readonly place: string | null
  /** As they were before the list was asked for; without the deleted ones. */
  readonly records: readonly UpstreamRecord[]
  /** Of what is listed and had no record then: the newest of that id, mostly a tombstone. */
  readonly tombstones: ReadonlyMap<string, UpstreamRecord>
  readonly listing: Listing
  /** The egress IP that probes have seen through an upstream, time and again. */
  readonly egressSeen: (id: string) => string | null
  readonly sightings: Sightings
  /** Monotonic. */
  readonly nowMs: number
  /** By the database's clock, for the age of records. */
  readonly recordNowMs: number
  readonly absences: number
  readonly graceMs: number
  /** A person has confirmed that much may be gone. */
  readonly confirmed: boolean
}

export type Correction = {
  /** The upstream; for what is new, the instance. */
  readonly id: string
  readonly reason: string
} & (
  | { readonly action: 'gone'; readonly record: UpstreamRecord }
  /** Its egress IP, or the machine under its id, is another: another upstream. */
  | { readonly action: 'renewed'; readonly record: UpstreamRecord; readonly instance: Instance }
  /** It is reached at another address, the way out is the same. */
  | { readonly action: 'moved'; readonly record: UpstreamRecord; readonly instance: Instance }
  | { readonly action: 'adopted'; readonly instance: Instance }
  /** A machine of ours that should be gone. */
  | { readonly action: 'leftover'; readonly instance: Instance }
  /** It failed long ago, and has been shown long enough. */
  | { readonly action: 'forgotten'; readonly record: UpstreamRecord }
)

export type SyncPlan = {
  readonly corrections: readonly Correction[]
  readonly left: readonly { readonly id: string; readonly detail: string }[]
  /** Why what would take away is not done; null where it is. */
  readonly stopped: string | null
  readonly sightings: Sightings
}

type Verdict =
  | { readonly correct: Correction }
  | { readonly leave: string }
  /** As it should be. */
  | null

export function planSync(facts: SyncFacts): SyncPlan {
  const { records, listing } = facts
  // A list of the configuration is taken in when control starts (adopt.ts), and what leaves it is drained.
  const own = facts.provider === 'static' ? [] : records.filter((record) => isOwn(record, facts))
  const unknown = facts.provider === 'static' ? [] : listing.instances
  const byId = new Map(listing.instances.map((instance) => [instance.id, instance]))
  const recorded = new Set(own.map((record) => record.instanceId))
  const holders = holdersOf(records)
  const sightings = new Map<string, { sinceMs: number; times: number }>()
  const corrections: Correction[] = []
  const left: { id: string; detail: string }[] = []
  const note = (id: string, verdict: Verdict) => {
    if (verdict === null) return
    if ('leave' in verdict) left.push({ id, detail: verdict.leave })
    else corrections.push(verdict.correct)
  }
  const sighted = (key: string) => {
    const { sinceMs, times } = facts.sightings.get(key) ?? { sinceMs: facts.nowMs, times: 0 }
    const sighting = { sinceMs, times: times + 1 }
    sightings.set(key, sighting)
    return isSure(sighting, facts)
  }
  for (const record of own) note(record.id, judgeRecord(record, byId.get(record.instanceId), facts, sighted))
  for (const instance of unknown)
    if (!recorded.has(instance.id))
      note(instance.id, judgeUnknown(instance, holders.get(addressOf(instance)), facts, sighted))
  const stopped = whyStopped(own, corrections, facts)
  if (stopped !== null) {
    const kept = corrections
      .filter(takesAway)
      .map(({ id, reason }) => ({ id, detail: `${reason}; not confirmed` }))
    return {
      corrections: corrections.filter((one) => !takesAway(one)),
      left: [...left, ...kept],
      stopped,
      sightings,
    }
  }
  return { corrections, left, stopped, sightings }
}

/** Jobs lose their upstream by it. */
export function takesAway(correction: Correction): boolean {
  const { action } = correction
  return (action === 'gone' || action === 'renewed') && correction.record.state !== 'provisioning'
}

type Sighted = (key: string) => boolean

function judgeRecord(
  record: UpstreamRecord,
  instance: Instance | undefined,
  facts: SyncFacts,
  sighted: Sighted,
): Verdict {
  if (record.state === 'failed') return judgeFailed(record, facts)
  // Their own steps have the word: one is being made or deleted.
  if (record.state === 'deleting' || record.host === '') return null
  if (!instance) return judgeAbsent(record, facts, sighted)
  if (instance.status !== 'running')
    return { leave: `its machine is ${instance.status}; if it stays so, start it again or delete it` }
  if (instance.host === '') return { leave: 'its machine has no address now' }
  const otherWhy = whyAnother(record, instance, facts)
  if (otherWhy !== null)
    return { correct: { action: 'renewed', id: record.id, record, instance, reason: otherWhy } }
  return judgeAddress(record, instance)
}

function judgeAbsent(record: UpstreamRecord, facts: SyncFacts, sighted: Sighted): Verdict {
  const { listing, recordNowMs, graceMs } = facts
  if (listing.problems.length > 0) return { leave: 'it is not in the list, which is incomplete' }
  // A list may be older than a new machine.
  if (recordNowMs - record.createdAtMs < graceMs)
    return { leave: 'it is new, and may not be in the list yet' }
  if (!sighted(`absent ${record.id}`))
    return { leave: 'it is not in the list; looked for again before it counts as gone' }
  return { correct: { action: 'gone', id: record.id, record, reason: 'its machine is gone' } }
}

function judgeFailed(record: UpstreamRecord, { recordNowMs }: SyncFacts): Verdict {
  if (recordNowMs - record.stateSinceMs < failedKeptMs) return null
  return { correct: { action: 'forgotten', id: record.id, record, reason: 'it failed an hour ago' } }
}

function whyAnother(record: UpstreamRecord, instance: Instance, { egressSeen }: SyncFacts): string | null {
  const { incarnation, listedIp, egressIp } = record
  if (incarnation !== null && instance.incarnation !== null && incarnation !== instance.incarnation)
    return 'another machine has its name'
  if (listedIp !== null && instance.egressIp !== null && listedIp !== instance.egressIp)
    return `its external address was ${listedIp} and is ${instance.egressIp}`
  const seen = egressSeen(record.id)
  if (seen !== null && egressIp !== null && seen !== egressIp)
    return `targets saw ${egressIp} and see ${seen}`
  return null
}

function judgeAddress(record: UpstreamRecord, instance: Instance): Verdict {
  const isSame = record.host === instance.host && record.port === instance.port
  const knowsIp = record.listedIp === instance.egressIp || instance.egressIp === null
  if (isSame && knowsIp) return null
  const reason = isSame ? 'its external address is known now' : 'its address is another'
  return { correct: { action: 'moved', id: record.id, record, instance, reason } }
}

/** @param holder  of its address */
function judgeUnknown(
  instance: Instance,
  holder: UpstreamRecord | undefined,
  facts: SyncFacts,
  sighted: Sighted,
): Verdict {
  const tombstone = facts.tombstones.get(instance.id)
  if (tombstone && tombstone.state !== 'deleted')
    return { leave: 'it came into the records after they were read' }
  // What went by itself and is back lives again; what was deleted on purpose must not.
  if (tombstone && tombstone.deletedBy !== 'provider' && isSameMachine(tombstone, instance)) {
    // A list may be older than a deletion.
    if (!sighted(`leftover ${instance.id}`))
      return { leave: 'it is deleted, and may be listed a while longer' }
    return {
      correct: { action: 'leftover', id: instance.id, instance, reason: 'it is deleted, and still there' },
    }
  }
  if (instance.status !== 'running') return { leave: `it is ${instance.status}` }
  if (instance.host === '') return { leave: 'it has no address yet' }
  // Registered by an operator; or of a machine that is gone, whose address the cloud gives again before we know.
  if (holder) return { leave: `"${holder.id}" has its address already` }
  return {
    correct: { action: 'adopted', id: instance.id, instance, reason: 'it has the label of this fleet' },
  }
}

/** By address. The machine of one that failed is deleted. */
function holdersOf(records: readonly UpstreamRecord[]): ReadonlyMap<string, UpstreamRecord> {
  const holders = records.filter(({ host, state }) => host !== '' && state !== 'failed')
  return new Map(holders.map((record) => [addressOf(record), record]))
}

function addressOf({ host, port }: Pick<Instance, 'host' | 'port'>): string {
  return `${host}:${port}`
}

/** A tombstone that never knew its machine's number is that machine's. */
function isSameMachine({ incarnation }: UpstreamRecord, instance: Instance): boolean {
  return incarnation === null || instance.incarnation === null || incarnation === instance.incarnation
}

function isSure(
  { sinceMs, times }: { readonly sinceMs: number; readonly times: number },
  { nowMs, absences, graceMs }: SyncFacts,
): boolean {
  return times >= absences && nowMs - sinceMs >= graceMs
}

/** More than one and more than a fifth of those that run: rather a mistake of the list than of so many machines. */
function whyStopped(
  own: readonly UpstreamRecord[],
  corrections: readonly Correction[],
  { confirmed }: SyncFacts,
): string | null {
  const gone = corrections.filter(takesAway).length
  const running = own.filter(({ state }) => state === 'running' || state === 'draining').length
  if (confirmed || gone <= 1 || gone * 5 <= running) return null
  return `${gone} of ${running} running upstreams would be taken out of the fleet: look whether that is so, and confirm it`
}
