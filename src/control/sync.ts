// Compares the provider's list with the records and corrects the records (design 9). The versions of the rows are read
// before the list; each correction is one transaction that holds only while the row still has that version. So no lock is
// held while the cloud answers, a sync never undoes what somebody did meanwhile, and two of them at once do no harm.

import type { Events } from '../events.ts'
import { isProviderError, type Listing, type Provider } from '../provider/provider.ts'
import type {
  Author,
  FleetContent,
  FleetRecords,
  SyncReport,
  SyncReports,
  UpstreamRecord,
  UpstreamRecords,
} from '../store/records.ts'
import { makeCorrections } from './correct.ts'
import { planSync, takesAway, type Sightings } from './plan-sync.ts'
import { problemOf } from './retry.ts'

type Parts = {
  readonly fleet: Pick<FleetRecords, 'read' | 'changeUpstreams'>
  readonly upstreams: Pick<UpstreamRecords, 'read'>
  readonly reports: SyncReports
  readonly provider: Provider
  readonly egressSeen: (id: string) => string | null
  /** Read at each use: a reload may change them. */
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

export type Sync = ReturnType<typeof makeSync>

export function makeSync(parts: Parts) {
  const { fleet, reports, provider, settings, holder, now, signal, events } = parts
  const { apply, livesOf } = makeCorrections({ ...parts, hasProbes: () => settings.probes })
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

function confirmed(reason: string, { actor, reason: why }: Author): string {
  return `${reason}; confirmed by ${actor}${why === null ? '' : ` (${why})`}`
}
