// The control plane of one process: in which order it starts and stops, when its passes run, and what it hands to the
// admin API.

import { setTimeout as delay } from 'node:timers/promises'
import { isControlError } from '../errors.ts'
import { startLoop, type Loop } from '../loop.ts'
import { makeStorePresence } from '../presence.ts'
import type { Author } from '../store/records.ts'
import { makeDatabaseWatch } from './database-watch.ts'
import { makeFleetEdits } from './edit-fleet.ts'
import { makeRestrictionEdits } from './edit-restrictions.ts'
import { makeUpstreamEdits } from './edit-upstreams.ts'
import { makePasses, type PassParts } from './passes.ts'
import type { SyncRequest } from './sync.ts'

/** Expired pins that one pass removes; each pin call removes a few more. */
const sweepLimit = 500
const everyMs = 1000
/** At most five publications a second (design 7). */
const gapMs = 200
/** A step that is done leads to the next one soon. */
const stepGapMs = 50
const hourMs = 3_600_000
/** Often enough to know the gateways, and whether the store was changed, before the first drain asks. */
const watchMs = 5000
/** What a first start waits for at most, before it says that it is ready: upstreams whose probes are not good yet. */
const settleMs = 10_000

export type Control = ReturnType<typeof makeControl>

export function makeControl(parts: PassParts) {
  const { provider, settings, store, records, events, newSuffix, newRequestId, now } = parts
  const { fleet } = records
  const hasProbes = () => settings.probes.everyMs > 0
  const stopping = new AbortController()
  const changed = () => {
    publishing?.wake()
    living?.wake()
  }
  const passes = makePasses(parts, { changed, signal: stopping.signal })
  const storePresence = makeStorePresence(events)
  const database = makeDatabaseWatch({ events, now })
  let isTakenIn = false
  /** The configuration is another one than was taken in. */
  let isReloaded = false
  let publishing: Loop | null = null
  let living: Loop | null = null
  let syncing: Loop | null = null
  let reloading: Loop | null = null
  let loops: Loop[] = []
  let nextSync: SyncRequest = { pass: newRequestId(), confirmedBy: null }
  let isSyncAsked = false

  /** Another control that starts at the same time may have been faster: then look again. */
  async function tryTakeIn(): Promise<void> {
    try {
      await passes.takeIn()
      isTakenIn = true
    } catch (error) {
      if (!isControlError(error, 'conflict')) throw error
      events.emit('pass_failed', { pass: 'take in', error })
    }
  }

  /** Traffic needs no database, so one that is away is waited for. @throws ProviderError */
  async function untilTakenIn(): Promise<void> {
    while (!isTakenIn && !stopping.signal.aborted) {
      await database.during('take in', tryTakeIn)
      if (!isTakenIn) await delay(everyMs, undefined, { signal: stopping.signal }).catch(() => undefined)
    }
  }

  /** The database inside: it is asked only after the store has answered, so each absence is told for what it is. */
  const withBoth = (name: string, pass: () => Promise<unknown>) => () =>
    storePresence.during(withDatabase(name, pass))
  const withDatabase = (name: string, pass: () => Promise<unknown>) => () => database.during(name, pass)
  /** Before that the tables may not even be there, which is no failure of the database. */
  const onceTakenIn = (pass: () => Promise<void>) => async () => {
    if (isTakenIn) await pass()
  }
  const publish = onceTakenIn(withBoth('publish', passes.publish))
  const live = onceTakenIn(withDatabase('life', passes.live))

  async function takeInAgain(): Promise<void> {
    if (!isReloaded) return
    isReloaded = false
    try {
      await passes.takeInAgain()
      changed()
      // How often it is made may be another too.
      syncing?.wake()
    } catch (error) {
      isReloaded = true
      throw error
    }
  }

  async function syncOnce(): Promise<void> {
    const asked = nextSync
    nextSync = { pass: newRequestId(), confirmedBy: null }
    isSyncAsked = false
    try {
      await passes.sync(asked)
    } catch (error) {
      // Told to stop, it does not wait for the cloud.
      if (stopping.signal.aborted) return
      // Somebody may wait for its report. What was confirmed, was so for what was gone then.
      if (!isSyncAsked) nextSync = { pass: asked.pass, confirmedBy: null }
      throw error
    }
  }

  /** What can be had within moments is there when control says that it is ready: machines of this one, and a list. */
  async function untilSettled(): Promise<void> {
    if (provider.name === 'gce') return
    const untilMs = now() + settleMs
    while (!stopping.signal.aborted && now() < untilMs) {
      await live()
      if (await passes.isSettled()) return
    }
  }

  return {
    publisher: passes.publisher,
    database,
    load: passes.load,
    restrictions: makeRestrictionEdits({
      fleet,
      pins: store.pins,
      newId: () => `rule-${newSuffix()}`,
      changed,
    }),
    upstreams: makeUpstreamEdits({
      fleet,
      provider,
      settings: {
        get drainMs() {
          return settings.drainMs
        },
        get probes() {
          return hasProbes()
        },
      },
      newSuffix,
      newRequestId,
      changed,
    }),
    fleet: makeFleetEdits({ fleet, provider, changed }),
    sync: {
      report: () => records.syncs.read(),
      async ask({ confirm }: { readonly confirm: boolean }, author: Author) {
        if (confirm) nextSync = { ...nextSync, confirmedBy: author }
        isSyncAsked = true
        syncing?.wake()
        return { pass: nextSync.pass }
      },
    },

    /** Resolves when the fleet is known and, where the store of pins answers, published. @throws ProviderError */
    async start(): Promise<void> {
      const observe = withBoth('watch', passes.observe)
      const sweep = () => storePresence.during(() => store.pins.sweep(sweepLimit))
      const forget = withDatabase('forget', async () => {
        await records.keys.sweep()
        await records.reports.sweep()
      })
      publishing = startLoop('publish', publish, { everyMs, gapMs, events })
      loops = [
        publishing,
        startLoop('collect reports', onceTakenIn(withBoth('collect reports', passes.collectReports)), {
          everyMs,
          events,
        }),
        startLoop('sweep', sweep, { everyMs, events }),
        startLoop('watch', onceTakenIn(observe), { everyMs: watchMs, events }),
        (reloading = startLoop('reload', onceTakenIn(withDatabase('reload', takeInAgain)), {
          everyMs,
          events,
        })),
        startLoop('forget', onceTakenIn(forget), { everyMs: hourMs, events }),
      ]
      await untilTakenIn()
      await withDatabase('settle', untilSettled)()
      await publish()
      await observe()
      living = startLoop('life', live, { everyMs, gapMs: stepGapMs, events })
      const sync = onceTakenIn(withDatabase('sync', syncOnce))
      syncing = startLoop('sync', sync, {
        get everyMs() {
          return settings.sync.everyMs
        },
        gapMs: everyMs,
        events,
      })
      if (provider.name === 'gce') syncing.wake()
      // Also without probes: what was ejected before they were switched off comes in again.
      const probing = startLoop('probe', withDatabase('probe', passes.probe), {
        get everyMs() {
          return hasProbes() ? Math.min(everyMs, settings.probes.everyMs) : everyMs
        },
        events,
      })
      loops.push(living, syncing, probing)
    },

    /** Rules, wanted size and list of the configuration are others now: taken in as soon as the database answers. */
    reload(): void {
      isReloaded = true
      reloading?.wake()
    },

    /** A start that waits for the database waits no longer; it resolves without a fleet. */
    cancelStart(): void {
      stopping.abort()
    },

    async stop(): Promise<void> {
      stopping.abort()
      for (const loop of loops) await loop.stop()
      await passes.stop()
      await provider.close()
    },
  }
}
