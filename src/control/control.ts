// The control plane of one process, put together: what its loops do, in which order it starts and stops, and what it hands
// to the admin API.

import { setTimeout as delay } from 'node:timers/promises'
import { isControlError, isGatewayError } from '../errors.ts'
import type { Events } from '../events.ts'
import { startLoop, type Loop } from '../loop.ts'
import { makeDatabasePresence, makeStorePresence } from '../presence.ts'
import type { Provider } from '../provider/provider.ts'
import type { Author, RecordStore } from '../store/records.ts'
import type { TrafficStore } from '../store/store.ts'
import type { Restriction } from '../types.ts'
import { makeReportCollector } from './collect-reports.ts'
import { makeController } from './controller.ts'
import { makeFleetEdits } from './edit-fleet.ts'
import { makeRestrictionEdits } from './edit-restrictions.ts'
import { makeUpstreamEdits } from './edit-upstreams.ts'
import { makeEvictions } from './evict.ts'
import { makeHealth } from './health.ts'
import type { Probe } from './probe.ts'
import { makePublisher } from './publish.ts'
import { makeResize } from './resize.ts'
import { makeSync, type SyncRequest } from './sync.ts'
import { makeTakeIn } from './take-in.ts'
import { loadOf, makeTrafficWatch, type Load } from './traffic.ts'

/** Expired pins that one pass removes; each pin call removes a few more. */
const sweepLimit = 500
const everyMs = 1000
/** At most five publications a second (design 7). */
const gapMs = 200
const hourMs = 3_600_000
/** Often enough to know the gateways, and whether the store was changed, before the first drain asks. */
const watchMs = 5000
/** Far longer than a healthy control needs to extend it. */
const claimMs = 30_000
/** After an upstream has failed no other is ordered in its place for this long. */
const coolDownMs = 300_000
/** What a first start waits for at most, before it says that it is ready: upstreams whose probes are not good yet. */
const settleMs = 10_000

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

type Parts = {
  readonly provider: Provider
  readonly settings: ControlSettings
  /** Of the configuration. */
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

export type Control = ReturnType<typeof makeControl>

export function makeControl(parts: Parts) {
  const { provider, settings, store, records, events, holder, newSuffix, newRequestId, now } = parts
  const { fleet, upstreams } = records
  const hasProbes = settings.probes.everyMs > 0
  const changed = () => {
    publishing?.wake()
    living?.wake()
  }

  const publisher = makePublisher({ fleet, snapshots: store.snapshots, events })
  const evict = makeEvictions({ fleet, pins: store.pins, snapshots: store.snapshots, events })
  const collectReports = makeReportCollector({ waiting: store.reports, records: records.reports })
  const takeIn = makeTakeIn({
    ...parts,
    wanted: settings.wanted,
    settings: { probes: hasProbes, drainMs: settings.drainMs },
  })
  const watch = makeTrafficWatch({
    pins: store.pins,
    heartbeats: store.heartbeats,
    snapshots: store.snapshots,
    identity: store.identity,
    storeSeen: fleet.storeSeen,
    now,
    silentMs: settings.silentMs,
  })
  const controller = makeController({
    fleet,
    records,
    provider,
    observe: watch.observe,
    probe: hasProbes ? parts.probe : null,
    settings: { good: settings.probes.good, launchMs: settings.launchMs, drainMs: settings.drainMs, claimMs },
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
    drainMs: settings.drainMs,
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
    settings: { ...settings.sync, probes: hasProbes },
    holder,
    newId: newRequestId,
    now,
    wallClock: parts.wallClock,
    events,
    changed,
  })

  const storePresence = makeStorePresence(events)
  const databasePresence = makeDatabasePresence(events)
  const stopping = new AbortController()
  let isTakenIn = false
  let publishing: Loop | null = null
  let living: Loop | null = null
  let syncing: Loop | null = null
  let loops: Loop[] = []
  let nextSync: SyncRequest = { pass: newRequestId(), confirmedBy: null }

  async function load(): Promise<Load> {
    const [pins, reports] = await Promise.all([store.pins.counts(), store.heartbeats.list()])
    return loadOf(pins, reports)
  }

  async function loadOrNull(): Promise<Load | null> {
    try {
      return await load()
    } catch (error) {
      if (isGatewayError(error, 'store_unavailable')) return null
      throw error
    }
  }

  /** Another control that starts at the same time may have been faster: then look again. */
  async function tryTakeIn(): Promise<void> {
    try {
      await takeIn()
      isTakenIn = true
    } catch (error) {
      if (!isControlError(error, 'conflict')) throw error
      events.emit('pass_failed', { pass: 'take in', error })
    }
  }

  /** Traffic needs no database, so one that is away is waited for. @throws ProviderError */
  async function untilTakenIn(): Promise<void> {
    while (!isTakenIn && !stopping.signal.aborted) {
      await databasePresence.during(tryTakeIn)
      if (!isTakenIn) await delay(everyMs, undefined, { signal: stopping.signal }).catch(() => undefined)
    }
  }

  /** The database inside: it is asked only after the store has answered, so each absence is told for what it is. */
  async function publish(): Promise<void> {
    if (!isTakenIn) return
    await storePresence.during(() =>
      databasePresence.during(async () => {
        await publisher.pass()
        if (await evict()) await publisher.pass()
      }),
    )
  }

  /** Also while the store of pins is away: what needs to know of jobs waits for it by itself. */
  async function live(): Promise<void> {
    if (!isTakenIn) return
    await databasePresence.during(async () => {
      await resize()
      await controller.pass()
    })
  }

  async function syncOnce(): Promise<void> {
    if (!isTakenIn) return
    const asked = nextSync
    nextSync = { pass: newRequestId(), confirmedBy: null }
    await databasePresence.during(async () => void (await sync.pass(asked)))
  }

  /** What can be had within moments is there when control says that it is ready: machines of this one, and a list. */
  async function untilSettled(): Promise<void> {
    if (provider.name === 'gce') return
    const untilMs = now() + settleMs
    const own = { provider: provider.name, place: await provider.place(), limit: 1000 }
    while (!stopping.signal.aborted && now() < untilMs) {
      await live()
      await controller.idle()
      const { upstreams } = await records.claims.waiting(own)
      if (!upstreams.some(({ state }) => state === 'provisioning')) return
    }
  }

  return {
    publisher,
    load,
    restrictions: makeRestrictionEdits({
      fleet,
      pins: store.pins,
      newId: () => `rule-${newSuffix()}`,
      changed,
    }),
    upstreams: makeUpstreamEdits({
      fleet,
      provider,
      settings: { drainMs: settings.drainMs, probes: hasProbes },
      newSuffix,
      newRequestId,
      changed,
    }),
    fleet: makeFleetEdits({ fleet, provider, changed }),
    sync: {
      report: () => records.syncs.read(),
      async ask({ confirm }: { readonly confirm: boolean }, author: Author) {
        if (confirm) nextSync = { ...nextSync, confirmedBy: author }
        syncing?.wake()
        return { pass: nextSync.pass }
      },
    },

    /** Resolves when the fleet is known and, where the store of pins answers, published. @throws ProviderError */
    async start(): Promise<void> {
      const sweep = () => storePresence.during(() => store.pins.sweep(sweepLimit))
      const collect = () => storePresence.during(() => databasePresence.during(collectReports))
      const probe = () => databasePresence.during(health.pass)
      const observe = () =>
        storePresence.during(() => databasePresence.during(async () => void (await watch.observe())))
      const forget = () =>
        databasePresence.during(async () => {
          await records.keys.sweep()
          await records.reports.sweep()
        })
      publishing = startLoop('publish', publish, { everyMs, gapMs, events })
      loops = [
        publishing,
        startLoop('collect reports', collect, { everyMs, events }),
        startLoop('sweep', sweep, { everyMs, events }),
        startLoop('watch', observe, { everyMs: watchMs, events }),
        startLoop('forget', forget, { everyMs: hourMs, events }),
      ]
      await untilTakenIn()
      await databasePresence.during(untilSettled)
      await publish()
      await observe()
      living = startLoop('life', live, { everyMs, gapMs: gapMs / 4, events })
      syncing = startLoop('sync', syncOnce, { everyMs: settings.sync.everyMs, gapMs: everyMs, events })
      if (provider.name === 'gce') syncing.wake()
      loops.push(living, syncing)
      // Also without probes: what was ejected before they were switched off comes in again.
      const probeMs = hasProbes ? Math.min(everyMs, settings.probes.everyMs) : everyMs
      loops.push(startLoop('probe', probe, { everyMs: probeMs, events }))
    },

    /** A start that waits for the database waits no longer; it resolves without a fleet. */
    cancelStart(): void {
      stopping.abort()
    },

    async stop(): Promise<void> {
      stopping.abort()
      for (const loop of loops) await loop.stop()
      await controller.stop()
      await health.stop()
      await provider.close()
    },
  }
}
