// What the probes of an upstream amount to, and whom they take out of the rings or let in again (design 9). Pure.
//
// A record tells how often in a row it was ejected, and until when it is; once it is readmitted that is when it was.
// So whoever comes later, and another control, can tell how long it has been good since.

import type { Step, UpstreamRecord } from '../store/records.ts'
import type { Upstream } from '../types.ts'
import { changeOf } from './life.ts'
import type { ProbeResult } from './probe.ts'
import { isSameRoad, type Probed } from './probe-tunnel.ts'

/** What the last probes of an upstream saw, as this process remembers it. */
export type History = {
  /** In a row; one of the two is 0. */
  readonly good: number
  readonly bad: number
  /** Of the last bad one. */
  readonly problem: string | null
  /** Of the last good one, and how many good ones in a row saw the same. */
  readonly egressIp: string | null
  readonly egressTimes: number
}

export const noHistory: History = { good: 0, bad: 0, problem: null, egressIp: null, egressTimes: 0 }

/** This process's own faults count neither way. */
export function remember(history: History, result: ProbeResult): History {
  if (!result.ok) {
    return result.isOurs ? history : { ...history, good: 0, bad: history.bad + 1, problem: result.problem }
  }
  const { egressIp } = result
  const isSame = history.egressTimes > 0 && history.egressIp === egressIp
  return {
    ...history,
    good: history.good + 1,
    bad: 0,
    egressIp,
    egressTimes: isSame ? history.egressTimes + 1 : 1,
  }
}

/** Null: neither yet. */
export function judge(
  { good, bad }: History,
  needed: { readonly good: number; readonly bad: number },
): 'good' | 'bad' | null {
  if (good >= needed.good) return 'good'
  return bad >= needed.bad ? 'bad' : null
}

export type EjectTimes = { readonly ejectMs: number; readonly ejectMaxMs: number }

/** Twice as long each time. @param ejections  in a row, this one included */
export function ejectMsOf(ejections: number, { ejectMs, ejectMaxMs }: EjectTimes): number {
  return Math.min(ejectMs * 2 ** Math.max(0, ejections - 1), ejectMaxMs)
}

/** Good for so many times its last ejection, it begins anew. */
const calmTimes = 10

type Standing = Pick<Upstream, 'state' | 'ejected' | 'quarantined'>

/**
 * How many more may be ejected: half of those that run, rounded down, is the most; and half of those of them that are
 * not in quarantine, since they carry the rest.
 */
export function roomToEject(upstreams: readonly Standing[]): number {
  const running = upstreams.filter(({ state }) => state === 'running')
  return Math.min(roomIn(running), roomIn(running.filter(isOpen)))
}

function roomIn(upstreams: readonly Standing[]): number {
  return Math.floor(upstreams.length / 2) - upstreams.filter(({ ejected }) => ejected).length
}

/** In quarantine it takes no jobs, so it is not ejected, and takes nobody's room. */
export function isEjectable({ state, ejected, quarantined }: Standing): boolean {
  return state === 'running' && !ejected && !quarantined
}

/** The ejected ones, where all others that took jobs have left since: then some must come in again. */
export function strandedIn<U extends Standing>(upstreams: readonly U[]): readonly U[] {
  const open = upstreams.filter((upstream) => upstream.state === 'running' && isOpen(upstream))
  return open.every(({ ejected }) => ejected) ? open : []
}

function isOpen({ quarantined }: Standing): boolean {
  return !quarantined
}

/** Others are not in the snapshot, or will not be in the next. */
export function isServing({ state }: Pick<Upstream, 'state'>): boolean {
  return state === 'running' || state === 'draining'
}

export type Suspect = Probed & { readonly bad: number; readonly problem: string }

type Content = { readonly nowMs: number; readonly upstreams: readonly UpstreamRecord[] }

/** `early`: it changed a short while ago, and changes again after `forMs` at the soonest. */
export type Ejection =
  | { readonly kind: 'eject'; readonly id: string; readonly forMs: number; readonly step: Step }
  | { readonly kind: 'held'; readonly id: string }
  | { readonly kind: 'early'; readonly id: string; readonly forMs: number }

/**
 * Of these, the worst first. Those that are no longer as they were probed are passed over.
 * @param content  the whole fleet: no other control can take the last room
 */
export function planEjections(content: Content, suspects: readonly Suspect[], times: EjectTimes): Ejection[] {
  const byId = recordsById(content)
  let room = roomToEject(content.upstreams)
  const worstFirst = suspects.toSorted((a, b) => b.bad - a.bad || (a.id < b.id ? -1 : 1))
  return worstFirst.flatMap((suspect): Ejection[] => {
    const record = byId.get(suspect.id)
    if (!record || !isEjectable(record) || !isSameRoad(record, suspect)) return []
    const { id } = record
    const earlyMs = (record.ejectedUntilMs ?? -Infinity) + times.ejectMs - content.nowMs
    if (earlyMs > 0) return [{ kind: 'early', id, forMs: earlyMs }]
    if (room <= 0) return [{ kind: 'held', id }]
    room -= 1
    return [eject(record, content.nowMs, times)]
  })
}

function eject(record: UpstreamRecord, nowMs: number, times: EjectTimes): Ejection {
  const ejections = isCalm(record, nowMs, times) ? 1 : record.ejections + 1
  const forMs = ejectMsOf(ejections, times)
  const to = { ejected: true, ejections, ejectedUntilMs: nowMs + forMs }
  return { kind: 'eject', id: record.id, forMs, step: changeOf(record, to) }
}

function isCalm({ ejections, ejectedUntilMs }: UpstreamRecord, nowMs: number, times: EjectTimes): boolean {
  return ejectedUntilMs !== null && nowMs - ejectedUntilMs >= calmTimes * ejectMsOf(ejections, times)
}

export type Readmission =
  | { readonly kind: 'readmit'; readonly id: string; readonly step: Step }
  | { readonly kind: 'early'; readonly id: string; readonly forMs: number }

/** Those whose time is over. */
export function planReadmissions({ nowMs, upstreams }: Content, good: readonly Probed[]): Readmission[] {
  const byId = recordsById({ upstreams })
  return good.flatMap((probed): Readmission[] => {
    const record = byId.get(probed.id)
    if (!record?.ejected || !isServing(record) || !isSameRoad(record, probed)) return []
    const earlyMs = (record.ejectedUntilMs ?? 0) - nowMs
    return [earlyMs > 0 ? { kind: 'early', id: record.id, forMs: earlyMs } : readmit(record, nowMs)]
  })
}

/**
 * Half of the stranded come in again, the best first, though their time is not over and their probes are not good.
 * @param goodOf  good probes in a row
 */
export function planRelief({ nowMs, upstreams }: Content, goodOf: (id: string) => number): Readmission[] {
  const stranded = strandedIn(upstreams)
  return stranded
    .toSorted(
      (a, b) =>
        goodOf(b.id) - goodOf(a.id) ||
        (a.ejectedUntilMs ?? 0) - (b.ejectedUntilMs ?? 0) ||
        (a.id < b.id ? -1 : 1),
    )
    .slice(0, Math.ceil(stranded.length / 2))
    .map((record) => readmit(record, nowMs))
}

/** Where probes are switched off, nobody is ejected. */
export function planAmnesty({ nowMs, upstreams }: Content): Readmission[] {
  return upstreams
    .filter((record) => record.ejected && isServing(record))
    .map((record) => readmit(record, nowMs))
}

function readmit(record: UpstreamRecord, nowMs: number): Readmission {
  return { kind: 'readmit', id: record.id, step: changeOf(record, { ejected: false, ejectedUntilMs: nowMs }) }
}

function recordsById({ upstreams }: Pick<Content, 'upstreams'>): ReadonlyMap<string, UpstreamRecord> {
  return new Map(upstreams.map((record) => [record.id, record]))
}
