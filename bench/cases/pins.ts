// How many new jobs can be pinned in a second? In memory and on a real Redis, with few upstreams and with many.
// CPU of this process (the store's client side) and of Redis. Each round pins into an empty fleet.

import { openTrafficStore } from '../../src/store/open.ts'
import type { TrafficStore } from '../../src/store/store.ts'
import { startRedis } from '../../test/fixtures/redis.ts'
import { snapshot } from '../../test/fixtures/snapshot.ts'
import type { BenchCase } from '../fixtures/case.ts'
import { contest, contestFigures, type Contender } from '../fixtures/contest.ts'
import { repeat, type Load } from '../fixtures/load.ts'
import type { Scope } from '../fixtures/scope.ts'

export type PinSettings = {
  readonly stores: 'memory' | 'memory, redis'
  readonly fewUpstreams: number
  readonly manyUpstreams: number
  readonly lanes: number
  readonly inFlight: number
  /** Ends a round before its time, since each pin takes memory. */
  readonly pinsPerRound: number
}

const life = { idleMs: 600_000, maxLifeMs: 86_400_000 }
/** Generous: under this load Redis may be slow, and is not away. */
const commandTimeoutMs = 5000

export const pins = makePinsCase({
  stores: 'memory, redis',
  fewUpstreams: 10,
  manyUpstreams: 1000,
  lanes: 10,
  inFlight: 64,
  pinsPerRound: 400_000,
})

export function makePinsCase(settings: PinSettings): BenchCase {
  return {
    name: 'pins',
    question: 'How many new jobs can be pinned in a second?',
    settings,

    async run(options) {
      const { scope } = options
      const redis = settings.stores === 'memory' ? null : await startRedis()
      if (redis) scope.defer(() => redis.stop())
      const contenders = [null, ...(redis ? [redis] : [])].flatMap((redis) =>
        [settings.fewUpstreams, settings.manyUpstreams].map((upstreams) =>
          makeContender(scope, settings, upstreams, redis),
        ),
      )
      const rounds = await contest(contenders, options)
      return contestFigures(rounds, { operation: 'pin', operations: 'pins', latency: 'pin' })
    },
  }
}

let fleets = 0

function makeContender(
  scope: Scope,
  settings: PinSettings,
  upstreams: number,
  redis: { readonly url: string; readonly pid: number } | null,
): Contender {
  let store: TrafficStore | null = null
  scope.defer(() => store?.close())
  return {
    name: `${redis ? 'redis' : 'memory'}, ${upstreams} upstreams`,
    processes: { 'this process': process.pid, ...(redis ? { redis: redis.pid } : {}) },

    async prepare() {
      await store?.close()
      store = await openTrafficStore({
        redisUrl: redis?.url ?? null,
        fleet: `bench-${(fleets += 1)}`,
        life,
        commandTimeoutMs,
        now: Date.now,
      })
      await makeRings(store, upstreams, settings.lanes)
    },

    load: (seconds) => pinNewJobs(store!, settings, seconds),
  }
}

/** All upstreams in all rings; what follows is what a gateway asks from its second job of a lane on. */
async function makeRings({ snapshots, pins }: TrafficStore, upstreams: number, lanes: number): Promise<void> {
  const ids = Array.from({ length: upstreams }, (_, index) => `upstream-${index}`)
  await snapshots.publish(snapshot(1, ids))
  for (let lane = 0; lane < lanes; lane++) {
    const { kind } = await pins.pin({ ...requestFor(`first-${lane}`, lane), eligible: ids })
    if (kind !== 'pinned') throw new Error(`the first job of a lane got "${kind}"`)
  }
}

function pinNewJobs(
  { pins }: TrafficStore,
  { lanes, inFlight, pinsPerRound }: PinSettings,
  seconds: number,
): Promise<Load> {
  let jobs = 0
  return repeat({ seconds, inFlight, limit: pinsPerRound }, async () => {
    jobs += 1
    const answer = await pins.pin(requestFor(`job-${jobs}`, jobs % lanes))
    if (answer.kind !== 'pinned' || answer.reused) throw new Error(`a new job got "${answer.kind}"`)
  })
}

function requestFor(id: string, lane: number) {
  const job = { id, type: 'payment', institution: `bank-${lane}` }
  return { job, gatewayId: 'bench', version: 1, eligible: null, refused: [] }
}
