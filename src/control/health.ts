// Probes through every upstream that jobs may use, and what follows from them: the dead are ejected, at most half of the
// fleet at once; those that are well again come back; an egress IP that nobody knew is written down.
//
// Probes run beside the passes. A pass looks at the published snapshot, which costs nothing, and asks the database only
// where something is to be written; what is written is decided by the rows as they stand then.

import type { Events, Facts } from '../events.ts'
import type { FleetContent, FleetRecords, Step } from '../store/records.ts'
import type { Upstream } from '../types.ts'
import {
  isEjectable,
  isServing,
  judge,
  planAmnesty,
  planEjections,
  planReadmissions,
  planRelief,
  roomToEject,
  strandedIn,
  type EjectTimes,
  type Readmission,
  type Suspect,
} from './ejection.ts'
import { changeOf } from './life.ts'
import type { Probe } from './probe.ts'
import { makeProbeRounds } from './probe-rounds.ts'
import { isSameRoad } from './probe-tunnel.ts'

type Parts = {
  readonly fleet: Pick<FleetRecords, 'change' | 'changeUpstreams'>
  /** Of the newest snapshot that was published. */
  readonly upstreams: () => readonly Upstream[]
  readonly probe: Probe
  /** Read at each use: a reload may change them. */
  readonly settings: EjectTimes & {
    /** Each upstream once in this time; 0: none, and nothing is or stays ejected. */
    readonly everyMs: number
    /** So many in a row. */
    readonly good: number
    readonly bad: number
    /** Probes at once; 50 unless told. */
    readonly concurrency?: number
  }
  readonly events: Events
  /** Monotonic milliseconds. */
  readonly now: () => number
}

export type Health = ReturnType<typeof makeHealth>

/** An egress IP is believed when so many probes in a row saw it. */
const timesSeen = 2
/** Of one change: a ledger row is no place for thousands of steps. */
const mostAtOnce = 500
/** In the reason of a change that has many. */
const mostProblems = 3

export function makeHealth({ fleet, upstreams, probe, settings, events, now }: Parts) {
  const rounds = makeProbeRounds({
    probe,
    get everyMs() {
      return settings.everyMs
    },
    concurrency: settings.concurrency ?? 50,
    events,
    now,
  })
  /** Whose state has changed, or may not change yet, and until when. */
  const leftAlone = new Map<string, number>()
  let held: ReadonlySet<string> = new Set()

  const want = ({ upstream }: Facts['probe_wanted'][0]) => rounds.want(upstream)
  events.on('probe_wanted', want)

  function isLeftAlone(id: string): boolean {
    return now() < (leftAlone.get(id) ?? -Infinity)
  }

  function forgetGone(published: readonly Upstream[]): void {
    const ids = new Set(published.map(({ id }) => id))
    for (const id of leftAlone.keys()) if (!ids.has(id)) leftAlone.delete(id)
  }

  /** A change of state is the last one for a while, whatever its probes do. */
  function follow(readmissions: readonly Readmission[], detail: string): void {
    for (const readmission of readmissions) {
      const { id } = readmission
      leftAlone.set(id, now() + (readmission.kind === 'early' ? readmission.forMs : settings.ejectMs))
      if (readmission.kind === 'readmit') events.emit('upstream_readmitted', { upstream: id, detail })
    }
  }

  async function relieve(published: readonly Upstream[]): Promise<void> {
    if (settings.everyMs === 0 && published.some(({ ejected }) => ejected))
      await readmitAll('probes are switched off', planAmnesty)
    else if (strandedIn(published).length > 0)
      await readmitAll('all others that took jobs are gone', (content) =>
        planRelief(content, (id) => rounds.historyOf(id).good),
      )
  }

  async function readmitAll(reason: string, plan: (content: FleetContent) => Readmission[]): Promise<void> {
    const { answer } = await fleet.change({
      author: { actor: 'control', reason },
      decide(content) {
        const readmissions = plan(content)
        return { steps: stepsOf(readmissions), answer: readmissions }
      },
    })
    follow(answer, reason)
  }

  async function readmit(published: readonly Upstream[]): Promise<void> {
    const good = published.filter(
      ({ id, ejected }) => ejected && judge(rounds.historyOf(id), settings) === 'good' && !isLeftAlone(id),
    )
    if (good.length === 0) return
    const reason = 'probes: good again'
    const { answer } = await fleet.changeUpstreams({
      author: { actor: 'control', reason },
      ids: good.map(({ id }) => id),
      decide(content) {
        const plan = planReadmissions(content, good)
        return { steps: stepsOf(plan), answer: plan }
      },
    })
    follow(answer, reason)
  }

  function suspectsIn(published: readonly Upstream[]): readonly Suspect[] {
    return published.flatMap((upstream) => {
      const { id } = upstream
      const history = rounds.historyOf(id)
      if (!isEjectable(upstream) || judge(history, settings) !== 'bad' || isLeftAlone(id)) return []
      return [{ ...upstream, bad: history.bad, problem: history.problem ?? '' }]
    })
  }

  async function eject(published: readonly Upstream[]): Promise<void> {
    const suspects = suspectsIn(published)
    // Without room the database is not even asked, which for a whole fleet would be much, each second.
    const room = roomToEject(published)
    if (suspects.length === 0 || room <= 0) return tellHeld(suspects)
    const { answer: plan } = await fleet.change({
      author: { actor: 'control', reason: `probes: ${problemsOf(suspects)}` },
      decide(content) {
        const plan = planEjections(content, suspects, settings)
        return { steps: stepsOf(plan), answer: plan }
      },
    })
    const byId = new Map(suspects.map((suspect) => [suspect.id, suspect]))
    for (const ejection of plan) {
      if (ejection.kind === 'held') continue
      const { id, forMs } = ejection
      leftAlone.set(id, now() + forMs)
      if (ejection.kind === 'eject')
        events.emit('upstream_ejected', { upstream: id, forMs, detail: byId.get(id)?.problem ?? '' })
    }
    tellHeld(plan.flatMap(({ kind, id }) => (kind === 'held' ? [byId.get(id)!] : [])))
  }

  function tellHeld(suspects: readonly Suspect[]): void {
    for (const { id, problem } of suspects)
      if (!held.has(id)) events.emit('ejection_held', { upstream: id, detail: problem })
    held = new Set(suspects.map(({ id }) => id))
  }

  async function writeEgressIps(published: readonly Upstream[]): Promise<void> {
    const seen = published.filter(({ id, egressIp }) => egressIp === null && egressIpSeen(id) !== null)
    if (seen.length === 0) return
    const byId = new Map(seen.slice(0, mostAtOnce).map((upstream) => [upstream.id, upstream]))
    await fleet.changeUpstreams({
      author: { actor: 'control', reason: 'seen by a probe' },
      ids: [...byId.keys()],
      decide: ({ upstreams }) => ({
        steps: upstreams
          .filter((record) => record.egressIp === null && isServing(record))
          .filter((record) => isSameRoad(record, byId.get(record.id)!))
          .map((record) => changeOf(record, { egressIp: egressIpSeen(record.id) })),
        answer: null,
      }),
    })
  }

  /** Null: unknown, or not sure yet. */
  function egressIpSeen(id: string): string | null {
    const { egressIp, egressTimes } = rounds.historyOf(id)
    return egressTimes >= timesSeen ? egressIp : null
  }

  return {
    /**
     * Begins the probes that are due, and acts on those that have ended; waits for none.
     * @throws ControlError database_unavailable: then nothing is ejected, and what was seen is kept
     */
    async pass(): Promise<void> {
      const published = upstreams()
      forgetGone(published)
      if (settings.everyMs > 0) rounds.begin(published)
      await relieve(published)
      await readmit(published)
      await eject(published)
      await writeEgressIps(published)
    },

    /** The egress IP that the last good probes saw, and how many of them in a row; null before the first. */
    seen(id: string): { readonly egressIp: string | null; readonly times: number } | null {
      const { egressIp, egressTimes } = rounds.historyOf(id)
      return egressTimes === 0 ? null : { egressIp, times: egressTimes }
    },

    /** Resolves when no probe is under way. */
    idle: rounds.idle,

    /** Ends the probes that are under way. */
    async stop(): Promise<void> {
      events.off('probe_wanted', want)
      await rounds.stop()
    },
  }
}

function stepsOf(plan: readonly ({ readonly step: Step } | { readonly kind: string })[]): Step[] {
  return plan.flatMap((decided) => ('step' in decided ? [decided.step] : []))
}

function problemsOf(suspects: readonly Suspect[]): string {
  const problems = [...new Set(suspects.map(({ problem }) => problem))]
  const more = problems.length > mostProblems ? [`and ${problems.length - mostProblems} more`] : []
  return [...problems.slice(0, mostProblems), ...more].join('; ')
}
