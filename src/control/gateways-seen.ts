// What this process has seen of each gateway, from one observation of the store to the next. Pure.
//
// A gateway is remembered until it signs off: then its record is gone from a store that is still the same one. A record
// that was lost together with its store says nothing, so that gateway counts as silent from then on. Silence is counted
// from when we first saw a report, by our own clock: clocks of machines are never compared (design 9).

import type { StoredReport } from '../store/store.ts'

/** One that was lost with its store is forgotten as the store would have done. */
const rememberedMs = 24 * 60 * 60 * 1000

/** A whole observation: what was published, then what was counted, then what gateways said, all of one store. */
export type Moment = { readonly index: number; readonly published: number }

export type SeenGateway = {
  /** Its newest. */
  readonly report: StoredReport
  /** When we first saw that, or noticed since that the store was changed. Monotonic. */
  readonly heardMs: number
  /** False: its record was lost with the store, and has not come back. */
  readonly isListed: boolean
  /** The last moment before its newest report came; null: none in this store. */
  readonly heardAfter: Moment | null
  /**
   * The last moment since which it has reported twice. The first report may have been on its way already; the newest one
   * was made when that was answered, or given up. A gateway hears answers in the order of its questions: so the newest
   * report shows all that the store gave it until that moment.
   */
  readonly caughtUpWith: Moment | null
}

export type SeenGateways = ReadonlyMap<string, SeenGateway>

type Observation = {
  readonly reports: readonly StoredReport[]
  /** Whether this is the store of the observation before. */
  readonly isSameStore: boolean
  /** The observation before; null where this is the first. */
  readonly last: Moment | null
  /** When reading began and ended. Monotonic: a pause in between must not look like silence. */
  readonly startedMs: number
  readonly endedMs: number
}

export function seeGateways(seen: SeenGateways, observation: Observation): SeenGateways {
  const listed = observation.reports.map((report) => see(seen.get(report.id), report, observation))
  const ids = new Set(listed.map(({ report }) => report.id))
  const missing = [...seen.values()]
    .filter(({ report }) => !ids.has(report.id))
    .filter((gateway) => !isOver(gateway, observation))
    .map((gateway) => ({ ...asFrom(gateway, observation), isListed: false }))
  return new Map([...listed, ...missing].map((gateway) => [gateway.report.id, gateway]))
}

function see(before: SeenGateway | undefined, report: StoredReport, observation: Observation): SeenGateway {
  const { isSameStore, last, endedMs } = observation
  if (before?.report.sentAtMs === report.sentAtMs) return { ...asFrom(before, observation), isListed: true }
  return {
    report,
    heardMs: endedMs,
    isListed: true,
    heardAfter: isSameStore ? last : null,
    caughtUpWith: isSameStore ? (before?.heardAfter ?? null) : null,
  }
}

/** Nothing new of it. What it said of another store proves nothing of this one. */
function asFrom(gateway: SeenGateway, { isSameStore, endedMs }: Observation): SeenGateway {
  return isSameStore ? gateway : { ...gateway, heardMs: endedMs, heardAfter: null, caughtUpWith: null }
}

/** It has signed off, or the store has forgotten it; or it was lost with a store, a day ago. */
function isOver({ isListed, heardMs }: SeenGateway, { isSameStore, startedMs }: Observation): boolean {
  return isSameStore && (isListed || startedMs - heardMs >= rememberedMs)
}

/** By our clock at the begin of an observation. */
export function silenceOf({ heardMs }: SeenGateway, startedMs: number): number {
  return Math.max(0, startedMs - heardMs)
}
