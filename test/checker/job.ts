// What is remembered of a job while it is open: little, however long it lives. Several requests of it may be under way at
// several gateways; each of their lines is forgotten once the client's record of it has come.

import type { Lane } from '../../src/types.ts'
import type { ClientRecord, GatewayLine } from './records.ts'

/** From a pin to its release or expiry. */
export type Life = {
  /** Through which its tunnels went; null before the first one opened. */
  upstream: string | null
  readonly sinceMs: number
  lastUseMs: number
  releasedMs: number | null
  /** Open tunnels by gateway. */
  readonly open: Map<string, number>
  /** When a gateway last had to do with it. */
  readonly knownBy: Map<string, number>
  /** Where it may go as a `flex` job. */
  readonly flexTo: Set<string>
  /** Lines that tell where it was pinned without the store, and with it; the newest few. */
  readonly hashed: GatewayLine[]
  readonly given: GatewayLine[]
  conflict: GatewayLine | null
  /** A line told where it was pinned; a tunnel of a pin that no line tells is a turn that nobody logged. */
  isLogged: boolean
}

/**
 * A use through another upstream than before. What explains it may be told a moment later; that another pin stood in the
 * store, only once its gateway is back from wherever it was cut off.
 */
export type Doubt = {
  readonly job: OpenJob
  readonly life: Life
  readonly line: GatewayLine
  readonly before: string
  readonly untilMs: number
  isOver: boolean
}

/** A pin to an upstream whose drain was acknowledged: was it asked for before that? */
export type LatePin = {
  readonly line: GatewayLine
  readonly upstream: string
  readonly acknowledgedMs: number
  /** When the earliest request came that it may have been made for. */
  askedMs: number
  isOver: boolean
}

export type OpenJob = {
  readonly id: string
  lane: Lane
  life: Life
  /** The life before it: a line of that one may still come. */
  past: { readonly upstream: string | null; readonly endMs: number } | null
  /** Where the newest line says that it is pinned. */
  pinnedTo: string | null
  /** Upstreams that failed it while it was fresh. */
  readonly failed: Set<string>
  /** Lines of requests whose client has not told of them yet. */
  readonly answers: GatewayLine[]
  readonly latePins: LatePin[]
  /** Unexplained so far. */
  doubts: Doubt[]
  /** When releases were sent of which nobody knows whether they were done. */
  readonly unansweredReleases: number[]
}

export function newLife(atMs: number): Life {
  return {
    upstream: null,
    sinceMs: atMs,
    lastUseMs: atMs,
    releasedMs: null,
    open: new Map(),
    knownBy: new Map(),
    flexTo: new Set(),
    hashed: [],
    given: [],
    conflict: null,
    isLogged: false,
  }
}

export function newJob(id: string, lane: Lane, atMs: number): OpenJob {
  return {
    id,
    lane,
    life: newLife(atMs),
    past: null,
    pinnedTo: null,
    failed: new Set(),
    answers: [],
    latePins: [],
    doubts: [],
    unansweredReleases: [],
  }
}

export function openTunnels({ open }: Life): number {
  let sum = 0
  for (const count of open.values()) sum += count
  return sum
}

/** Is it that request, by its gateway, its road and its time? Lines of a job are few, so they are looked through. */
export function takeAnswer(job: OpenJob, record: ClientRecord, skewMs: number): GatewayLine | null {
  const place = job.answers.findIndex((line) => isAnswer(line, record, skewMs))
  return place === -1 ? null : job.answers.splice(place, 1)[0]!
}

function isAnswer(line: GatewayLine, record: ClientRecord, skewMs: number): boolean {
  if (line.gateway !== record.gateway) return false
  if (record.requestId !== null) return line.requestId === record.requestId
  if (line.atMs < record.sentMs - skewMs || line.atMs > (record.answeredMs ?? record.endedMs) + skewMs)
    return false
  if (line.name === 'request_refused') return record.code === line.code || record.status === null
  return record.code === null && fits(line.upstream, record.upstream) && fits(line.road, record.road)
}

/** What one of them does not tell is no difference. */
function fits(told: string | undefined, heard: string | null): boolean {
  return told === undefined || heard === null || told === heard
}
