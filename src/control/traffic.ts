// What jobs still do with an upstream, for whoever takes it out of the fleet (design 9).
//
// Why "empty" lasts. Once the version of its drain is published, the store gives it no new pin; once every gateway decides
// by that version, nobody does so without the store either. From then on, when no pin is counted, a gateway can use it
// only by what the store gave it before: a pin that it remembers, or a tunnel (counted from its dial on). A job has a
// pin before it has a tunnel, but may release it while the tunnel is open, so reports must be newer than the count: each
// gateway has to have reported twice since (gateways-seen.ts says why twice).

import { GatewayError } from '../errors.ts'
import type { FleetRecords } from '../store/records.ts'
import type { GatewayReport, Heartbeats, Pins, Snapshots, StoredReport } from '../store/store.ts'
import { seeGateways, silenceOf, type Moment, type SeenGateway, type SeenGateways } from './gateways-seen.ts'

/** Expired pins in one call: a script of 500 keeps Redis busy for about a millisecond. */
const sweepBatch = 500

/** By upstream id; an upstream without any may be missing. */
export type Load = {
  /** Pinned jobs. */
  readonly pins: ReadonlyMap<string, number>
  readonly tunnels: ReadonlyMap<string, number>
}

export type Use = {
  readonly pins: number
  /** Of silent gateways too, as they last said: dead and cut off look alike. */
  readonly tunnels: number
  /** Pins that gateways remember. Those of a silent one expire with the pins in the store. */
  readonly knownPins: number
  /** Nothing uses it, nor will while its drain lasts. */
  readonly isEmpty: boolean
}

export type Traffic = {
  readonly publishedVersion: number
  /** A change of the fleet at this version or below is known to every gateway that could still pin by an older one. */
  readonly confirmedVersion: number
  /** The store was changed (flushed, failed over): for so long nothing is confirmed, nor empty. 0: it was not. */
  readonly uncertainMs: number
  /** @param sinceVersion  from which on it gets no new jobs */
  use(id: string, sinceVersion: number): Use
  /** For people. `gone`: its record was lost with the store. */
  readonly gateways: readonly {
    readonly id: string
    readonly version: number
    readonly silentMs: number
    readonly state: 'live' | 'silent' | 'gone'
  }[]
}

type Parts = {
  readonly pins: Pick<Pins, 'sweep' | 'counts'>
  readonly heartbeats: Pick<Heartbeats, 'list'>
  readonly snapshots: Pick<Snapshots, 'version'>
  /** `TrafficStore.identity` */
  readonly identity: () => Promise<string>
  readonly storeSeen: FleetRecords['storeSeen']
  /** Monotonic milliseconds. */
  readonly now: () => number
  /**
   * A gateway that says nothing for longer than this decides nothing any more without the store. Read at each use: a
   * reload may change it.
   */
  readonly silentMs: number
}

/** All of one store. */
type Reading = {
  readonly identity: string
  readonly publishedVersion: number
  readonly pins: ReadonlyMap<string, number>
  readonly reports: readonly StoredReport[]
  readonly startedMs: number
  readonly endedMs: number
}

type State = {
  readonly reading: Reading
  readonly moment: Moment
  readonly gateways: SeenGateways
  /** The last moment at which a job was pinned to it, by upstream id; none that matters: missing. */
  readonly lastPinned: ReadonlyMap<string, number>
  /** Monotonic: a gateway that was lost with the store has been silent for long enough then. */
  readonly certainFromMs: number
}

export type TrafficWatch = ReturnType<typeof makeTrafficWatch>

/** It remembers gateways from one observation to the next, so observe about as often as they report. */
export function makeTrafficWatch(parts: Parts) {
  const { pins, heartbeats, snapshots, identity, storeSeen, now } = parts
  let state: State | null = null
  let observing: Promise<Traffic> | null = null

  /** One after the other, in this order: what a report shows is compared with what was counted before it. */
  async function read(): Promise<Reading> {
    const startedMs = now()
    const before = await identity()
    const publishedVersion = await snapshots.version()
    const counts = await pins.counts()
    const reports = await heartbeats.list()
    if ((await identity()) !== before) throw changedMeanwhile()
    return { identity: before, publishedVersion, pins: counts, reports, startedMs, endedMs: now() }
  }

  /** The database's clock tells how long ago it was, also to a control that has just started; then ours goes on. */
  async function certainFrom(store: string): Promise<number> {
    const { changedAtMs, nowMs } = await storeSeen(store)
    if (changedAtMs === null && state === null) return -Infinity
    const agoMs = changedAtMs === null ? 0 : Math.max(0, nowMs - changedAtMs)
    return now() + parts.silentMs - agoMs
  }

  async function observe(): Promise<Traffic> {
    while ((await pins.sweep(sweepBatch)) >= sweepBatch);
    const reading = await read()
    const isSameStore = state?.reading.identity === reading.identity
    const certainFromMs = state && isSameStore ? state.certainFromMs : await certainFrom(reading.identity)
    const last = state?.moment ?? null
    const moment = { index: (last?.index ?? 0) + 1, published: reading.publishedVersion }
    const gateways = seeGateways(state?.gateways ?? new Map(), { ...reading, isSameStore, last })
    const lastPinned = stillPinned(state?.lastPinned ?? new Map(), reading.pins, moment, gateways)
    state = { reading, moment, gateways, lastPinned, certainFromMs }
    return trafficOf(state, parts.silentMs)
  }

  return {
    /**
     * Callers at the same time share one observation.
     * @throws GatewayError store_unavailable, ControlError database_unavailable
     */
    observe(): Promise<Traffic> {
      observing ??= observe().finally(() => {
        observing = null
      })
      return observing
    },
  }
}

function changedMeanwhile(): GatewayError {
  return new GatewayError('store_unavailable', {
    detail: 'The store of pins was changed while it was read (flushed, or failed over). It is read anew.',
  })
}

/** Without those that every gateway has caught up with. */
function stillPinned(
  before: ReadonlyMap<string, number>,
  pins: ReadonlyMap<string, number>,
  { index }: Moment,
  gateways: SeenGateways,
): ReadonlyMap<string, number> {
  const oldest = Math.min(
    index,
    ...[...gateways.values()].map(({ caughtUpWith }) => caughtUpWith?.index ?? 0),
  )
  const still = [...before].filter(([, last]) => last >= oldest)
  const pinned = [...pins].filter(([, jobs]) => jobs > 0)
  return new Map([...still, ...pinned.map(([id]) => [id, index] as const)])
}

function trafficOf({ reading, gateways, lastPinned, certainFromMs }: State, silentMs: number): Traffic {
  const { publishedVersion, pins, startedMs } = reading
  const all = [...gateways.values()]
  const isLive = (gateway: SeenGateway) => silenceOf(gateway, startedMs) <= silentMs
  const live = all.filter(isLive)
  const uncertainMs = Math.max(0, certainFromMs - startedMs)
  const confirmedVersion =
    uncertainMs > 0 ? 0 : Math.min(publishedVersion, ...live.map(({ report }) => report.version))

  function hasCaughtUp({ caughtUpWith }: SeenGateway, id: string, sinceVersion: number): boolean {
    if (caughtUpWith === null || caughtUpWith.published < sinceVersion) return false
    return (lastPinned.get(id) ?? 0) < caughtUpWith.index
  }

  return {
    publishedVersion,
    confirmedVersion,
    uncertainMs,
    gateways: all.map((gateway) => ({
      id: gateway.report.id,
      version: gateway.report.version,
      silentMs: silenceOf(gateway, startedMs),
      state: stateOf(gateway, isLive(gateway)),
    })),

    use(id, sinceVersion) {
      const use = {
        pins: pins.get(id) ?? 0,
        tunnels: sum(all, 'tunnels', id),
        knownPins: sum(live, 'pins', id),
      }
      const isEmpty =
        uncertainMs === 0 &&
        confirmedVersion >= sinceVersion &&
        use.pins + use.tunnels + use.knownPins === 0 &&
        live.every((gateway) => hasCaughtUp(gateway, id, sinceVersion))
      return { ...use, isEmpty }
    },
  }
}

function stateOf({ isListed }: SeenGateway, isLive: boolean): Traffic['gateways'][number]['state'] {
  if (!isListed) return 'gone'
  return isLive ? 'live' : 'silent'
}

function sum(gateways: readonly SeenGateway[], what: 'tunnels' | 'pins', id: string): number {
  return gateways
    .map(({ report }) => (Object.hasOwn(report[what], id) ? report[what][id]! : 0))
    .reduce((total, one) => total + one, 0)
}

/** For people: what is counted now, whoever said it, however long ago. */
export function loadOf(pins: ReadonlyMap<string, number>, reports: readonly GatewayReport[]): Load {
  const tunnels = new Map<string, number>()
  for (const report of reports)
    for (const [id, open] of Object.entries(report.tunnels)) tunnels.set(id, (tunnels.get(id) ?? 0) + open)
  return { pins, tunnels }
}
