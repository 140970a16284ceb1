// What control does again and again, each pass with the parts that it works on. When they run is control.ts.

import { isGatewayError } from '../errors.ts'
import type { Events } from '../events.ts'
import type { Provider } from '../provider/provider.ts'
import type { RecordStore } from '../store/records.ts'
import type { TrafficStore } from '../store/store.ts'
import type { Restriction } from '../types.ts'
import { makeReportCollector } from './collect-reports.ts'
import { makeController } from './controller.ts'
import { makeEvictions } from './evict.ts'
import { makeHealth } from './health.ts'
import type { Probe } from './probe.ts'
import { makePublisher } from './publish.ts'
import { makeResize } from './resize.ts'
import { makeSync } from './sync.ts'
import { makeTakeIn } from './take-in.ts'
import { loadOf, makeTrafficWatch, type Load } from './traffic.ts'

/** Far longer than a healthy control needs to extend it. */
const claimMs = 30_000
/** After an upstream has failed no other is ordered in its place for this long. */
const coolDownMs = 300_000

/** Read where they are used, and copied by nobody: a reload may change them. */
export type ControlSettings = {
  /** Of the configuration; null where the provider makes none, or as many as operators create. */
  readonly wanted: number | null
  readonly launchMs: number
  readonly drainMs: number
  /** A drain waits so long for a gateway that says nothing any more. */
  readonly silentMs: number
  readonly probes: {
    /** 0: none, and what is created or listed runs at once. */
    readonly everyMs: number
    readonly good: number
    readonly bad: number
    readonly ejectMs: number
    readonly ejectMaxMs: number
  }
  readonly sync: { readonly everyMs: number; readonly absences: number; readonly graceMs: number }
}

export type PassParts = {
  readonly provider: Provider
  readonly settings: ControlSettings
  /** Of the configuration, read at each use as `settings` are. */
  readonly restrictions: readonly Restriction[]
  readonly probe: Probe
  readonly store: TrafficStore
  readonly records: RecordStore
  readonly events: Events
  /** Tells this process from others. */
  readonly holder: string
  /** 8 of 0-9a-z, never the same again. */
  readonly newSuffix: () => string
  /** A UUID. */
  readonly newRequestId: () => string
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Milliseconds since 1970. */
  readonly wallClock: () => number
}

export type Passes = ReturnType<typeof makePasses>

/**
 * @param changed  something has changed: publish it now, and look who can go on
 * @param signal  aborts when control stops
 */
export function makePasses(
  parts: PassParts,
  { changed, signal }: { readonly changed: () => void; readonly signal: AbortSignal },
) {
  const { provider, settings, store, records, events, holder, newSuffix, newRequestId, now } = parts
  const { fleet, upstreams } = records
  const hasProbes = () => settings.probes.everyMs > 0

  const publisher = makePublisher({ fleet, snapshots: store.snapshots, events })
  const evict = makeEvictions({ fleet, pins: store.pins, snapshots: store.snapshots, events })
  const { pins, heartbeats, snapshots, identity } = store
  const watch = makeTrafficWatch({
    pins,
    heartbeats,
    snapshots,
    identity,
    storeSeen: fleet.storeSeen,
    now,
    get silentMs() {
      return settings.silentMs
    },
  })
  const controller = makeController({
    fleet,
    records,
    provider,
    observe: watch.observe,
    get probe() {
      return hasProbes() ? parts.probe : null
    },
    settings: {
      get good() {
        return settings.probes.good
      },
      get launchMs() {
        return settings.launchMs
      },
      get drainMs() {
        return settings.drainMs
      },
      claimMs,
    },
    holder,
    newRequestId,
    now,
    random: Math.random,
    events,
    changed,
  })
  const resize = makeResize({
    fleet,
    provider,
    load: loadOrNull,
    get drainMs() {
      return settings.drainMs
    },
    coolDownMs,
    newSuffix,
    newRequestId,
    now,
    changed,
  })
  const health = makeHealth({
    fleet,
    upstreams: () => publisher.upstreams,
    probe: parts.probe,
    settings: settings.probes,
    events,
    now,
  })
  const sync = makeSync({
    fleet,
    upstreams,
    reports: records.syncs,
    provider,
    egressSeen: (id) => {
      const seen = health.seen(id)
      return seen && seen.times >= settings.probes.good ? seen.egressIp : null
    },
    settings: {
      get absences() {
        return settings.sync.absences
      },
      get graceMs() {
        return settings.sync.graceMs
      },
      get probes() {
        return hasProbes()
      },
    },
    holder,
    newId: newRequestId,
    now,
    wallClock: parts.wallClock,
    signal,
    events,
    changed,
  })

  const { takeIn, takeInAgain } = makeTakeIn({
    provider,
    records,
    events,
    get restrictions() {
      return parts.restrictions
    },
    get wanted() {
      return settings.wanted
    },
    settings: {
      get probes() {
        return hasProbes()
      },
      get drainMs() {
        return settings.drainMs
      },
    },
  })

  async function load(): Promise<Load> {
    const [counts, reports] = await Promise.all([pins.counts(), heartbeats.list()])
    return loadOf(counts, reports)
  }

  async function loadOrNull(): Promise<Load | null> {
    try {
      return await load()
    } catch (error) {
      if (isGatewayError(error, 'store_unavailable')) return null
      throw error
    }
  }

  return {
    publisher,
    load,
    takeIn,
    takeInAgain,
    collectReports: makeReportCollector({ waiting: store.reports, records: records.reports }),
    probe: health.pass,
    observe: watch.observe,
    sync: sync.pass,

    /** And what a change of the rules asked for. */
    async publish(): Promise<void> {
      await publisher.pass()
      if (await evict()) await publisher.pass()
    },

    /** Each upstream's next step. Also while the store of pins is away: what needs to know of jobs waits for it by itself. */
    async live(): Promise<void> {
      await resize()
      await controller.pass()
    },

    /** Whether every upstream has been tried: it runs, or waits and says why. For who has just made a pass of `live`. */
    async isSettled(): Promise<boolean> {
      await controller.idle()
      const own = { provider: provider.name, place: await provider.place(), limit: 1000 }
      const waiting = await records.claims.waiting(own)
      return !waiting.upstreams.some(({ state }) => state === 'provisioning')
    },

    /** Resolves when nothing is under way any more. */
    async stop(): Promise<void> {
      await controller.stop()
      await health.stop()
    },
  }
}
