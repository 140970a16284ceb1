// Invariant 1: one egress IP in each life of a job, over all gateways. And which line of a gateway answers which client:
// what is decided by both of them is handed on from here.

import { laneOf } from '../../src/lane.ts'
import { makeAddresses } from './addresses.ts'
import { makeDoubts } from './doubts.ts'
import type { Excuse } from './excuses.ts'
import type { History } from './history.ts'
import { newJob, newLife, openTunnels, takeAnswer, type OpenJob } from './job.ts'
import type { ClientRecord, Fault, GatewayLine, Settings } from './records.ts'
import type { Findings } from './verdict.ts'

export type Jobs = ReturnType<typeof makeJobs>

type Parts = {
  readonly settings: Settings
  readonly history: History
  readonly findings: Findings
  readonly excuse: Excuse
  /** Told each time that a line says where a job is pinned. */
  readonly pinned: (job: OpenJob, upstream: string, line: GatewayLine) => void
  /** A tunnel of a pin that no line tells of. */
  readonly unlogged: (job: OpenJob, line: GatewayLine) => void
  /** A request of the job that was under way from then until then. */
  readonly asked: (job: OpenJob, gateway: string, fromMs: number, toMs: number) => void
  readonly closed: (job: OpenJob) => void
}

export function makeJobs({ settings, history, findings, excuse, pinned, unlogged, asked, closed }: Parts) {
  const { idleMs, skewMs, tieMs } = settings
  /** A client tells of its request when its tunnel is over, and lines may come late. */
  const lingerMs = 2 * skewMs + settings.longestPinMs
  const jobs = new Map<string, OpenJob>()
  const on = new Map<string, Set<OpenJob>>()
  const released: { readonly job: OpenJob; readonly dueMs: number }[] = []
  const checkAddress = makeAddresses(history, findings)
  const doubts = makeDoubts({ excuse, tieMs, findings })
  let firstReleased = 0
  let sweepMs = -Infinity

  function jobOf(id: string, line: Pick<GatewayLine, 'type' | 'institution'>, atMs: number): OpenJob {
    let job = jobs.get(id)
    if (!job) {
      const { type = null, institution = null } = line
      job = newJob(id, laneOf({ type, institution }), atMs)
      jobs.set(id, job)
      findings.open(jobs.size)
    }
    return job
  }

  function begin(job: OpenJob, endMs: number, atMs: number): void {
    job.past = { upstream: job.life.upstream, endMs }
    const { open } = job.life
    job.life = newLife(atMs)
    // A tunnel outlives the pin that it was opened by, and keeps its upstream.
    for (const [gateway, count] of open) job.life.open.set(gateway, count)
    job.failed.clear()
  }

  /** Its pin may have ended by itself, since nobody used it. */
  function isExpired({ life }: OpenJob, atMs: number): boolean {
    return openTunnels(life) === 0 && atMs - life.lastUseMs >= idleMs - skewMs
  }

  function renewIfOver(job: OpenJob, startMs: number): void {
    const { life } = job
    if (life.releasedMs !== null && startMs > life.releasedMs) begin(job, life.releasedMs, startMs)
    else if (isExpired(job, startMs)) begin(job, life.lastUseMs + idleMs, startMs)
  }

  function pin(job: OpenJob, upstream: string, line: GatewayLine): void {
    const { life } = job
    if (job.pinnedTo !== null) on.get(job.pinnedTo)?.delete(job)
    job.pinnedTo = upstream
    const there = on.get(upstream)
    if (there) there.add(job)
    else on.set(upstream, new Set([job]))
    life.lastUseMs = Math.max(life.lastUseMs, line.atMs)
    life.knownBy.set(line.gateway, line.atMs)
  }

  function made(line: GatewayLine): void {
    const job = jobOf(line.job!, line, line.atMs)
    const { releasedMs } = job.life
    // A pin is made where there is none: the one before has ended, even if its release is told a moment later.
    if (releasedMs !== null && line.atMs >= releasedMs - tieMs) begin(job, releasedMs, line.atMs)
    else renewIfOver(job, line.atMs)
    job.lane = laneOf({ type: line.type ?? null, institution: line.institution ?? null })
    job.life.isLogged = true
    keep(line.name === 'pin_hashed' ? job.life.hashed : job.life.given, line)
    pin(job, line.upstream!, line)
    pinned(job, line.upstream!, line)
  }

  function moved(line: GatewayLine): void {
    const job = jobOf(line.job!, line, line.atMs)
    job.life.isLogged = true
    keep(job.life.given, line)
    if (line.reason === 'flex') job.life.flexTo.add(line.to!)
    else job.failed.add(line.from!)
    pin(job, line.to!, line)
    pinned(job, line.to!, line)
  }

  function opened(line: GatewayLine): void {
    const job = jobOf(line.job!, line, line.atMs)
    const startMs = line.atMs - (line.setupMs ?? 0)
    if (job.answers.length < mostAnswers) job.answers.push(line)
    asked(job, line.gateway, startMs, line.atMs)
    renewIfOver(job, startMs)
    use(job, line.upstream!, startMs, line)
    const { open } = job.life
    open.set(line.gateway, (open.get(line.gateway) ?? 0) + 1)
  }

  function use(job: OpenJob, upstream: string, startMs: number, line: GatewayLine): void {
    if (job.life.upstream === null) {
      if (!job.life.isLogged) unlogged(job, line)
      job.life.upstream = upstream
    } else if (job.life.upstream !== upstream) {
      if (isOfThePast(job, upstream, startMs)) return
      change(job, upstream, line)
    }
    if (job.pinnedTo !== upstream) pin(job, upstream, line)
    job.life.lastUseMs = Math.max(job.life.lastUseMs, line.atMs)
    job.life.knownBy.set(line.gateway, line.atMs)
  }

  function isOfThePast({ past }: OpenJob, upstream: string, startMs: number): boolean {
    return past !== null && past.upstream === upstream && startMs <= past.endMs + tieMs
  }

  function change(job: OpenJob, upstream: string, line: GatewayLine): void {
    const { life } = job
    const before = life.upstream!
    if (life.releasedMs !== null && line.atMs >= life.releasedMs - tieMs)
      begin(job, life.releasedMs, line.atMs)
    else doubts.raise(job, before, line)
    job.life.upstream = upstream
  }

  function release(line: GatewayLine): void {
    const job = jobs.get(line.job!)
    if (!job) return
    doubts.explain(job)
    // Another life has begun already: its pin was made before the release of the one before was told.
    if (job.life.sinceMs >= line.atMs - tieMs && job.past && job.life.upstream !== line.upstream) return
    job.life.releasedMs = line.atMs
    released.push({ job, dueMs: line.atMs + lingerMs })
  }

  function closedTunnel(line: GatewayLine): void {
    const job = jobOf(line.job!, line, line.atMs)
    const { open } = job.life
    open.set(line.gateway, Math.max(0, (open.get(line.gateway) ?? 0) - 1))
    job.life.lastUseMs = Math.max(job.life.lastUseMs, line.atMs)
  }

  function mayClose(job: OpenJob, atMs: number): boolean {
    const { life } = job
    if (openTunnels(life) > 0) return false
    return Math.min(life.releasedMs ?? Infinity, life.lastUseMs + idleMs) + lingerMs <= atMs
  }

  function close(job: OpenJob): void {
    doubts.judge(job)
    closed(job)
    if (job.pinnedTo !== null) on.get(job.pinnedTo)?.delete(job)
    jobs.delete(job.id)
  }

  function sweep(atMs: number): void {
    for (; firstReleased < released.length && released[firstReleased]!.dueMs <= atMs; firstReleased += 1) {
      const { job } = released[firstReleased]!
      if (jobs.get(job.id) === job && mayClose(job, atMs)) close(job)
    }
    if (firstReleased > 1000) {
      released.splice(0, firstReleased)
      firstReleased = 0
    }
    if (atMs < sweepMs) return
    sweepMs = atMs + idleMs / 4
    for (const job of jobs.values()) if (mayClose(job, atMs)) close(job)
  }

  const takes: { readonly [name: string]: (line: GatewayLine) => void } = {
    pin_made: made,
    pin_hashed: made,
    pin_moved: moved,
    pin_released: release,
    tunnel_opened: opened,
    tunnel_closed: closedTunnel,
    pin_conflict(line) {
      const job = jobOf(line.job!, line, line.atMs)
      job.life.conflict = line
      doubts.conflict(job, line)
    },
    request_refused(line) {
      if (line.job === undefined) return
      const job = jobOf(line.job, line, line.atMs)
      if (job.answers.length < mostAnswers) job.answers.push(line)
    },
  }

  return {
    get size(): number {
      return jobs.size
    },

    /** Pinned to that upstream, as far as the lines tell. */
    on: (upstream: string): ReadonlySet<OpenJob> => on.get(upstream) ?? new Set(),

    line(line: GatewayLine): void {
      doubts.settle(line.atMs)
      sweep(line.atMs)
      takes[line.name]?.(line)
    },

    /** To be told `skewMs` after it was over. */
    client(record: ClientRecord): void {
      const job = jobs.get(record.job)
      if (record.road === 'release') {
        if (isUnknown(record)) job?.unansweredReleases.push(record.sentMs)
        return
      }
      const line = job ? takeAnswer(job, record, skewMs) : null
      if (record.status !== null) findings.answered(line !== null)
      if (job) asked(job, record.gateway, record.sentMs, record.answeredMs ?? record.endedMs)
      const upstream = record.upstream ?? line?.upstream
      if (record.code === null && upstream) checkAddress(record, upstream, line?.egressIp)
    },

    /** Its tunnels are gone, and nobody tells of each. */
    gatewayKilled({ whom, fromMs }: Fault): void {
      for (const { life } of jobs.values()) {
        for (const gateway of life.open.keys())
          if (whom === null || gateway === whom) {
            if ((life.open.get(gateway) ?? 0) > 0) life.lastUseMs = Math.max(life.lastUseMs, fromMs)
            life.open.delete(gateway)
          }
      }
    },

    end(): void {
      doubts.settle(Infinity)
      for (const job of jobs.values()) {
        doubts.judge(job)
        closed(job)
      }
    },
  }
}

/** The newest ones: a life has few. */
function keep(lines: GatewayLine[], line: GatewayLine): void {
  lines.push(line)
  if (lines.length > mostPins) lines.shift()
}

const mostPins = 8

/** Of a job's requests for which no client has told anything: more are not remembered. */
const mostAnswers = 200

/** The store may have done it all the same. */
function isUnknown({ status, code }: ClientRecord): boolean {
  return status === null || code === 'store_unavailable'
}
