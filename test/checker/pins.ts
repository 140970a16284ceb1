// Invariants 2 and 3: no new pin on an upstream after its drain was acknowledged, and none that the rules of its version
// do not allow.

import type { History } from './history.ts'
import type { LatePin, OpenJob } from './job.ts'
import type { GatewayLine, Settings } from './records.ts'
import type { Findings } from './verdict.ts'

type Loaded = { readonly version: number; readonly atMs: number; readonly before: number | null }

export function makePins({
  settings,
  history,
  findings,
}: {
  readonly settings: Settings
  readonly history: History
  readonly findings: Findings
}) {
  const { longestPinMs, answerMs, tieMs } = settings
  const loaded = new Map<string, Loaded>()

  /** The line tells what the gateway decides by when the answer has come; it may have asked by the one before. */
  function versionsOf({ gateway, version, atMs }: GatewayLine): readonly number[] {
    const newest = loaded.get(gateway)
    const told = version ?? newest?.version
    if (told === undefined) return []
    const isNew = newest?.version === told && atMs - newest.atMs <= answerMs && newest.before !== null
    return isNew ? [told, newest.before!] : [told]
  }

  function checkRules(job: OpenJob, upstream: string, line: GatewayLine): void {
    const allowed = versionsOf(line).map((version) => history.eligible(version, job.lane))
    if (allowed.some((ids) => ids?.has(upstream))) return
    if (allowed.length === 0 || allowed.includes(null))
      findings.undecided('pins of a version that no ledger tells')
    else findings.violated(3, `${job.id} was pinned to ${upstream}, which its lane may not use`, line)
  }

  /** It counts from when the job asked: a store may have answered long before its gateway came to say so. */
  function checkDrain(job: OpenJob, upstream: string, line: GatewayLine): void {
    const acknowledgedMs = history.acknowledgedMs(upstream, line.atMs)
    if (acknowledgedMs === null) return
    const late = { line, upstream, acknowledgedMs, askedMs: Infinity, isOver: false }
    if (line.atMs - acknowledgedMs > longestPinMs) tooLate(job, late)
    else job.latePins.push(late)
  }

  function tooLate(job: OpenJob, { line, upstream, acknowledgedMs }: LatePin): void {
    const ms = Math.round(line.atMs - acknowledgedMs)
    findings.violated(
      2,
      `${job.id} was pinned to ${upstream} ${ms} ms after its drain was acknowledged`,
      line,
    )
  }

  return {
    line({ gateway, name, version, atMs }: GatewayLine): void {
      if (name !== 'snapshot_loaded' || version === undefined) return
      loaded.set(gateway, { version, atMs, before: loaded.get(gateway)?.version ?? null })
    },

    pinned(job: OpenJob, upstream: string, line: GatewayLine): void {
      const isNew = line.name !== 'tunnel_opened'
      if (!isNew) return
      if (history.isThere) checkRules(job, upstream, line)
      checkDrain(job, upstream, line)
    },

    asked({ latePins }: OpenJob, gateway: string, fromMs: number, toMs: number): void {
      for (const late of latePins)
        if (
          late.line.gateway === gateway &&
          fromMs <= late.line.atMs + tieMs &&
          toMs >= late.line.atMs - tieMs
        )
          late.askedMs = Math.min(late.askedMs, fromMs)
    },

    /** All that could tell when it was asked for has told. */
    closed(job: OpenJob): void {
      for (const late of job.latePins) {
        if (late.askedMs === Infinity)
          findings.undecided('pins after a drain, without the request that asked')
        else if (late.askedMs > late.acknowledgedMs) tooLate(job, late)
      }
      job.latePins.length = 0
    },
  }
}
