// Uses of a job through another upstream than before. Lines of several gateways are in the order of their clocks, not of
// what happened, so each is doubted first, and held against the job only once nothing has explained it until that is over.

import type { Excuse } from './excuses.ts'
import type { Doubt, OpenJob } from './job.ts'
import type { GatewayLine } from './records.ts'
import type { Exception, Findings } from './verdict.ts'

export function makeDoubts({
  excuse,
  tieMs,
  findings,
}: {
  readonly excuse: Excuse
  readonly tieMs: number
  readonly findings: Findings
}) {
  /** Those of the last moment: in the order of their time. */
  const recent: Doubt[] = []

  function excusing({ job: { lane }, life, before, line }: Omit<Doubt, 'untilMs' | 'isOver'>): boolean {
    const why: Exception | null = excuse({ life, lane }, before, line.upstream!, line.atMs)
    // The line of a conflict counts by itself.
    if (why !== null && why !== 'pin_conflict') findings.excused(why)
    return why !== null
  }

  return {
    raise(job: OpenJob, before: string, line: GatewayLine): void {
      const about = { job, life: job.life, before, line }
      if (!excusing(about)) recent.push({ ...about, untilMs: line.atMs + tieMs, isOver: false })
    },

    /** A release came a moment after the use that it explains. */
    explain(job: OpenJob): void {
      for (const doubt of recent) if (doubt.job === job) doubt.isOver = true
    },

    conflict(job: OpenJob, { kept, dropped }: GatewayLine): void {
      findings.excused('pin_conflict')
      job.doubts = job.doubts.filter(
        ({ before, line: { upstream } }) => !isSamePair([before, upstream], [kept, dropped]),
      )
    },

    settle(atMs: number): void {
      while (recent.length > 0 && recent[0]!.untilMs < atMs) {
        const doubt = recent.shift()!
        if (!doubt.isOver && !excusing(doubt)) doubt.job.doubts.push(doubt)
      }
    },

    /** The job is over. */
    judge(job: OpenJob): void {
      for (const { line, before } of job.doubts)
        if (isExplainedByRelease(job, line.atMs)) findings.excused('release_unanswered')
        else findings.violated(1, `${job.id} was on ${before} and goes through ${line.upstream}`, line)
      job.doubts = []
    },
  }
}

/** Each explains one new life. */
function isExplainedByRelease({ unansweredReleases }: OpenJob, atMs: number): boolean {
  const which = unansweredReleases.findIndex((sentMs) => sentMs <= atMs)
  if (which === -1) return false
  unansweredReleases.splice(which, 1)
  return true
}

function isSamePair([a, b]: readonly [unknown, unknown], [c, d]: readonly [unknown, unknown]): boolean {
  return (a === c && b === d) || (a === d && b === c)
}
