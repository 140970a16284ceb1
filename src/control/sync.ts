// Compares the provider's list with the records and corrects the records (design 9). The versions of the rows are read
// before the list; each correction is one transaction that holds only while the row still has that version. So no lock is
// held while the cloud answers, a sync never undoes what somebody did meanwhile, and two of them at once do no harm.

import { isControlError } from '../errors.ts'
import type { Events } from '../events.ts'
import { isProviderError, type Instance, type Listing, type Provider } from '../provider/provider.ts'
import type {
  Author,
  FleetContent,
  FleetRecords,
  NewUpstream,
  Step,
  SyncReport,
  SyncReports,
  UpstreamRecord,
  UpstreamRecords,
} from '../store/records.ts'
import { lifeId } from './adopt.ts'
import { changeOf, end, move } from './life.ts'
import { planSync, takesAway, type Correction, type Sightings } from './plan-sync.ts'
import { problemOf } from './retry.ts'

type Parts = {
  readonly fleet: Pick<FleetRecords, 'read' | 'changeUpstreams'>
  readonly upstreams: Pick<UpstreamRecords, 'read'>
  readonly reports: SyncReports
  readonly provider: Provider
  readonly egressSeen: (id: string) => string | null
  readonly settings: { readonly absences: number; readonly graceMs: number; readonly probes: boolean }
  readonly holder: string
  /** A UUID. */
  readonly newId: () => string
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Milliseconds since 1970, for the report. */
  readonly wallClock: () => number
  /** Aborts when nobody waits for the cloud any more. */
  readonly signal: AbortSignal
  readonly events: Events
  readonly changed: () => void
}

export type SyncRequest = {
  /** A UUID, which its report will have. */
  readonly pass: string
  /** It may take out of the fleet what is gone, however much that is. */
  readonly confirmedBy: Author | null
}

/** What became of a correction. */
type Applied = { readonly done: true } | { readonly done: false; readonly detail: string }

export type Sync = ReturnType<typeof makeSync>

export function makeSync(parts: Parts) {
  const { fleet, upstreams, reports, provider, settings, holder, newId, now, signal, events } = parts
  let sightings: Sightings = new Map()

  async function pass({ pass, confirmedBy }: SyncRequest): Promise<SyncReport> {
    const begun = { pass, holder, startedAtMs: parts.wallClock() }
    const startedMs = now()
    const before = await fleet.read()
    const listing = await listed(provider, signal)
    const outcome =
      'problem' in listing ? failedFor(listing.problem) : await correct(before, listing, confirmedBy)
    const report = { ...begun, endedAtMs: parts.wallClock(), recorded: before.upstreams.length, ...outcome }
    await reports.keep(report)
    const { corrected, left, problems } = report
    events.emit('sync_done', {
      outcome: report.outcome,
      listed: report.listed,
      corrected: corrected.length,
      left: left.length,
      problems,
      ms: now() - startedMs,
    })
    return report
  }

  async function correct(before: FleetContent, listing: Listing, confirmedBy: Author | null) {
    const plan = planSync({
      provider: provider.name,
      place: await provider.place(),
      records: before.upstreams,
      tombstones: await tombstonesOf(before, listing),
      listing,
      egressSeen: parts.egressSeen,
      sightings,
      nowMs: now(),
      recordNowMs: before.nowMs,
      absences: settings.absences,
      graceMs: settings.graceMs,
      confirmed: confirmedBy !== null,
    })
    sightings = plan.sightings
    const corrected: { id: string; action: string; detail: string }[] = []
    const left = [...plan.left]
    for (const correction of plan.corrections) {
      const { id, action, reason } = correction
      const applied = await apply(
        confirmedBy && takesAway(correction)
          ? { ...correction, reason: confirmed(reason, confirmedBy) }
          : correction,
      )
      if (applied.done) corrected.push({ id, action, detail: reason })
      else left.push({ id, detail: `${reason}, but ${applied.detail}` })
    }
    if (corrected.length > 0) parts.changed()
    const problems = [...listing.problems, ...(plan.stopped === null ? [] : [plan.stopped])]
    const outcome = plan.stopped !== null ? 'stopped' : listing.problems.length > 0 ? 'incomplete' : 'done'
    return { outcome, problems, listed: listing.instances.length, corrected, left } as const
  }

  /** Of what is listed without a record: mostly nothing, so each is asked for by itself. */
  async function tombstonesOf(
    { upstreams: records }: FleetContent,
    { instances }: Listing,
  ): Promise<Map<string, UpstreamRecord>> {
    const recorded = new Set(records.map(({ instanceId }) => instanceId))
    const tombstones = new Map<string, UpstreamRecord>()
    for (const { id } of instances) {
      const newest = recorded.has(id) ? null : (await livesOf(id)).at(-1)
      if (newest) tombstones.set(id, newest)
    }
    return tombstones
  }

  async function livesOf(instanceId: string): Promise<UpstreamRecord[]> {
    const lives: UpstreamRecord[] = []
    let life = await upstreams.read(instanceId)
    while (life) {
      lives.push(life)
      life = await upstreams.read(lifeId(instanceId, lives.length + 1))
    }
    return lives
  }

  /** One that fails (the database is away, say) ends the pass; what was done before stands, and the next goes on. */
  async function apply(correction: Correction): Promise<Applied> {
    try {
      switch (correction.action) {
        case 'gone':
          return await takeOut(correction)
        case 'renewed':
          return await renew(correction)
        case 'moved':
          return await changeIfSame(correction, (record) => [changeOf(record, movedFields(correction))])
        case 'adopted':
          return await adopt(correction.instance, correction.reason)
        case 'leftover':
          return await removeLeftover(correction.instance)
        case 'forgotten':
          return await changeIfSame(correction, (record) => [move(record, 'delete', { requestId: newId() })])
      }
    } catch (error) {
      if (isProviderError(error) || isControlError(error, 'conflict'))
        return { done: false, detail: problemOf(error) }
      throw error
    }
  }

  /** A list may be stale; asked for by itself, the machine is there or not. */
  async function takeOut(correction: Correction & { action: 'gone' }): Promise<Applied> {
    const { instanceId: id, zone, incarnation } = correction.record
    if (await provider.read({ id, zone, incarnation }, signal))
      return { done: false, detail: 'the provider still has it' }
    return changeIfSame(correction, (record) => [end(record, 'gone', 'provider')])
  }

  async function renew(correction: Correction & { action: 'renewed' }): Promise<Applied> {
    const { record, reason } = correction
    const { instanceId: id, zone } = correction.record
    const instance = await provider.read({ id, zone, incarnation: null }, signal)
    if (!instance || !isSameView(instance, correction.instance))
      return { done: false, detail: 'the provider says otherwise when asked again' }
    const fresh = lifeOf(instance, await livesOf(id))
    return change(reason, [record, fresh.id], (standing) => {
      if (!standing) return null
      const upstream = { ...fresh, ...wishFor(standing, instance) }
      return [end(standing, 'gone', 'provider'), { kind: 'upstream_added', upstream }]
    })
  }

  /** A machine that is to be deleted, replaced, or kept from jobs, still is when its address is another. */
  function wishFor(record: UpstreamRecord, instance: Instance): Partial<NewUpstream> {
    if (record.incarnation !== instance.incarnation) return {}
    const { state, drain, replacedBy, quarantined } = record
    if (drain?.thenDelete) return { state: 'deleting', drain, requestId: newId() }
    return { replacedBy, quarantined: quarantined || state === 'draining' }
  }

  async function adopt(instance: Instance, reason: string): Promise<Applied> {
    // Read once: the next life's id is free, also where somebody has taken in this one since.
    const lives = await livesOf(instance.id)
    const newest = lives.at(-1)
    if (newest && newest.state !== 'deleted')
      return { done: false, detail: 'it came into the records meanwhile' }
    const fresh = lifeOf(instance, lives)
    return change(reason, [null, fresh.id], () => [{ kind: 'upstream_added', upstream: fresh }])
  }

  async function removeLeftover({ id, zone, incarnation }: Instance): Promise<Applied> {
    if (!(await provider.read({ id, zone, incarnation }, signal)))
      return { done: false, detail: 'it is gone by now' }
    await provider.delete({ id, zone, incarnation, requestId: newId() }, signal)
    return { done: true }
  }

  /** @param lives  all so far */
  function lifeOf(instance: Instance, lives: readonly UpstreamRecord[]): NewUpstream {
    const life = lives.length + 1
    const { id, name, labels } = instance
    return {
      ...addressOf(instance),
      id: lifeId(id, life),
      instanceId: id,
      name,
      labels,
      provider: provider.name,
      state: settings.probes ? 'provisioning' : 'running',
      ejected: false,
      quarantined: false,
      addedBy: 'provider',
    }
  }

  function changeIfSame(
    { record, reason }: Correction & { record: UpstreamRecord },
    steps: (record: UpstreamRecord) => readonly Step[],
  ): Promise<Applied> {
    return change(reason, [record, null], (standing) => (standing ? steps(standing) : null))
  }

  /**
   * Compare-and-set: the row as it was read before the list, and nothing under the new id.
   * @param decide  null where the row is not what it was
   */
  async function change(
    reason: string,
    [record, freshId]: readonly [UpstreamRecord | null, string | null],
    decide: (standing: UpstreamRecord | null) => readonly Step[] | null,
  ): Promise<Applied> {
    const ids = [record?.id, freshId].filter((id) => typeof id === 'string')
    const { answer } = await fleet.changeUpstreams<Applied>({
      author: { actor: 'control', reason: `sync: ${reason}` },
      ids,
      decide({ upstreams }) {
        const standing = upstreams.find(({ id }) => id === record?.id) ?? null
        const isSame = record === null || standing?.rowVersion === record.rowVersion
        const steps = isSame ? decide(standing) : null
        if (steps) return { steps, answer: { done: true } }
        return {
          steps: [],
          answer: { done: false, detail: 'it was changed meanwhile; left for the next pass' },
        }
      },
    })
    return answer
  }

  return { pass }
}

async function listed(
  provider: Provider,
  signal: AbortSignal,
): Promise<Listing | { readonly problem: string }> {
  try {
    return await provider.list(signal)
  } catch (error) {
    if (isProviderError(error)) return { problem: problemOf(error) }
    throw error
  }
}

function failedFor(problem: string) {
  return { outcome: 'failed', problems: [problem], listed: 0, corrected: [], left: [] } as const
}

function isSameView(a: Instance, b: Instance): boolean {
  return (
    a.status === b.status && a.incarnation === b.incarnation && a.host === b.host && a.egressIp === b.egressIp
  )
}

function addressOf(instance: Instance) {
  const { host, port, egressIp, zone, incarnation, credentials } = instance
  return { host, port, egressIp, listedIp: egressIp, zone, incarnation, credentials }
}

/** What probes have seen of the egress IP stands, unless nothing was known. */
function movedFields({ record, instance }: Correction & { action: 'moved' }) {
  const { host, port, egressIp: listedIp } = instance
  return { host, port, listedIp: listedIp ?? record.listedIp, egressIp: record.egressIp ?? listedIp }
}

function confirmed(reason: string, { actor, reason: why }: Author): string {
  return `${reason}; confirmed by ${actor}${why === null ? '' : ` (${why})`}`
}
