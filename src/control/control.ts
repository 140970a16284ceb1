// The control plane of one process, put together: takes the provider's upstreams and the configured rules into the
// records, keeps the records published, evicts where that was asked, and changes the records for operators.

import { setTimeout as delay } from 'node:timers/promises'
import { isControlError } from '../errors.ts'
import type { Events } from '../events.ts'
import { startLoop, type Loop } from '../loop.ts'
import { makeDatabasePresence, makeStorePresence } from '../presence.ts'
import type { Instance, Provider } from '../provider/provider.ts'
import type { Page, RecordStore, UpstreamRecord } from '../store/records.ts'
import type { TrafficStore } from '../store/store.ts'
import type { Labels, Restriction } from '../types.ts'
import { livesOf, planAdoption, planRestrictions } from './adopt.ts'
import { bringUp } from './bring-up.ts'
import { makeRestrictionEdits } from './edit-restrictions.ts'
import { makeUpstreamEdits, type Load } from './edit-upstreams.ts'
import { makeEvictions } from './evict.ts'
import { makeReportCollector } from './collect-reports.ts'
import { makePublisher } from './publish.ts'

/** Expired pins that one pass removes; each pin call removes a few more. */
const sweepLimit = 500
/** Before a decision that counts pins. */
const sweepAll = 1_000_000
const everyMs = 1000
/** At most five publications a second (design 7). */
const gapMs = 200
const hourMs = 3_600_000

type Parts = {
  readonly provider: Provider
  /** Instances to have where the provider makes them; null where its list is all there is. */
  readonly wanted: number | null
  readonly labels: readonly Labels[]
  /** Of the configuration. */
  readonly restrictions: readonly Restriction[]
  readonly store: TrafficStore
  readonly records: RecordStore
  readonly events: Events
  /** 8 of 0-9a-z, never the same again. */
  readonly newSuffix: () => string
}

export type Control = ReturnType<typeof makeControl>

export function makeControl(parts: Parts) {
  const { provider, restrictions, store, records, events, newSuffix } = parts
  const { fleet, upstreams } = records
  const publisher = makePublisher({ fleet, snapshots: store.snapshots, events })
  const evict = makeEvictions({ fleet, pins: store.pins, snapshots: store.snapshots, events })
  const collectReports = makeReportCollector({ waiting: store.reports, records: records.reports })
  const storePresence = makeStorePresence(events)
  const databasePresence = makeDatabasePresence(events)
  const stopping = new AbortController()
  let instances: readonly Instance[] | null = null
  let isTakenIn = false
  let publishing: Loop | null = null
  let loops: Loop[] = []

  /** Tombstones too, page by page: thousands of upstreams must not be thousands of questions. */
  async function readAll(): Promise<ReadonlyMap<string, UpstreamRecord>> {
    const records = [...(await fleet.read()).upstreams]
    let after: string | null = null
    do {
      const page: Page<UpstreamRecord> = await upstreams.list({ state: 'deleted', after, limit: 1000 })
      records.push(...page.items)
      after = page.next
    } while (after !== null)
    return new Map(records.map((record) => [record.id, record]))
  }

  /** Again from the start where the database goes away in between, but instances are brought up once only. */
  async function takeIn(): Promise<void> {
    await records.migrate()
    instances ??= await bringUp(parts, (await fleet.read()).upstreams)
    const listedIds = instances.map(({ id }) => id)
    const lives = livesOf(listedIds, await readAll())
    const listing = { provider: provider.name, place: await provider.place(), instances }
    const { answer: left } = await fleet.change({
      author: { actor: 'control', reason: 'provider and configuration at start' },
      decide(content) {
        const adoption = planAdoption(content, listing, lives)
        const steps = [...adoption.steps, ...planRestrictions(content, restrictions)]
        // Version 0 is never published, but a fleet without upstreams is a fleet too: some may be registered later.
        const isFirst = content.version === 0 && steps.length === 0
        return { steps: isFirst ? [{ kind: 'version_raised', above: 0 }] : steps, answer: adoption.left }
      },
    })
    for (const { id, detail } of left) events.emit('upstream_not_adopted', { id, detail })
    isTakenIn = true
  }

  /** Another control that starts at the same time may have been faster: then look again. */
  async function tryTakeIn(): Promise<void> {
    try {
      await takeIn()
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

  async function load(): Promise<Load> {
    const [pins, reports] = await Promise.all([store.pins.counts(), store.heartbeats.list()])
    const tunnels = new Map<string, number>()
    for (const report of reports)
      for (const [id, open] of Object.entries(report.tunnels)) tunnels.set(id, (tunnels.get(id) ?? 0) + open)
    return { pins, tunnels }
  }

  const changed = () => publishing?.wake()

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
      upstreams,
      publish: publisher.pass,
      load: async () => {
        await store.pins.sweep(sweepAll)
        return load()
      },
      newSuffix,
      changed,
    }),

    /** Resolves when the fleet is known and, where the store of pins answers, published. @throws ProviderError */
    async start(): Promise<void> {
      const sweep = () => storePresence.during(() => store.pins.sweep(sweepLimit))
      const forget = () =>
        databasePresence.during(async () => {
          await records.keys.sweep()
          await records.reports.sweep()
        })
      publishing = startLoop('publish', publish, { everyMs, gapMs, events })
      const collect = () => storePresence.during(() => databasePresence.during(collectReports))
      loops = [
        publishing,
        startLoop('collect reports', collect, { everyMs, events }),
        startLoop('sweep', sweep, { everyMs, events }),
        startLoop('forget', forget, { everyMs: hourMs, events }),
      ]
      await untilTakenIn()
      await publish()
    },

    /** A start that waits for the database waits no longer; it resolves without a fleet. */
    cancelStart(): void {
      stopping.abort()
    },

    async stop(): Promise<void> {
      stopping.abort()
      for (const loop of loops) await loop.stop()
      await provider.close()
    },
  }
}
