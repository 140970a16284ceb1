// How many new jobs can be pinned in a second? In memory and on a real Redis, with few upstreams and with many.
// CPU of this process (the store's client side) and of Redis. Each round pins into an empty store.

import type { BenchCase, CaseOptions, Figure } from '../fixtures/case.ts'
import { cpuUs } from '../fixtures/process-usage.ts'
import { summary, type Load } from '../fixtures/load.ts'
import { startRedis } from '../../test/fixtures/redis.ts'
import { snapshot } from '../../test/fixtures/snapshot.ts'
import { openTrafficStore } from '../../src/store/open.ts'
import type { Pins, TrafficStore } from '../../src/store/store.ts'

const settings = { fewUpstreams: 10, manyUpstreams: 1000, lanes: 10, inFlight: 64, pinsPerRound: 100_000 }
export type PinSettings = typeof settings & { readonly stores?: string }

const life = { idleMs: 600_000, maxLifeMs: 86_400_000 }
/** Generous: under this load Redis may be slow, and is not away. */
const commandTimeoutMs = 5000

type Contender = {
  readonly name: string
  readonly upstreams: number
  readonly redis: { readonly url: string; readonly pid: number } | null
}
type Round = Load & { readonly ownUs: number; readonly redisUs: number | null }

export const pins = makePinsCase(settings)

/** @param stores  `memory` leaves Redis out */
export function makePinsCase(settings: PinSettings): BenchCase {
  return {
    name: 'pins',
    question: 'How many new jobs can be pinned in a second?',
    settings,

    async run(options) {
      const contenders = await startContenders(settings, options)
      const rounds = new Map<string, Round[]>(contenders.map(({ name }) => [name, []]))
      if (options.warmUpSeconds > 0)
        for (const contender of contenders) await pinMany(contender, settings, options.warmUpSeconds)
      for (let round = 0; round < options.rounds; round++) {
        for (const contender of contenders) {
          options.scope.signal.throwIfAborted()
          rounds.get(contender.name)!.push(await pinMany(contender, settings, options.seconds))
        }
      }
      return [...rounds].flatMap(([name, measured]) => figuresOf(name, measured))
    },
  }
}

async function startContenders(
  { fewUpstreams, manyUpstreams, stores = 'memory, redis' }: PinSettings,
  { scope }: CaseOptions,
): Promise<Contender[]> {
  const counts = [fewUpstreams, manyUpstreams]
  const of = (name: string, redis: Contender['redis']) =>
    counts.map((upstreams) => ({ name: `${name}, ${upstreams} upstreams`, upstreams, redis }))
  if (stores === 'memory') return of('memory', null)
  const redis = await startRedis()
  scope.defer(() => redis.stop())
  return [...of('memory', null), ...of('redis', redis)]
}

let fleets = 0

async function pinMany(
  { upstreams, redis }: Contender,
  settings: PinSettings,
  seconds: number,
): Promise<Round> {
  const store = await openTrafficStore({
    redisUrl: redis?.url ?? null,
    fleet: `bench-${(fleets += 1)}`,
    life,
    commandTimeoutMs,
    now: Date.now,
  })
  try {
    await makeRings(store, upstreams, settings.lanes)
    const before = { own: process.cpuUsage(), redisUs: redis && cpuUs(redis.pid) }
    const load = await pinAll(store.pins, settings, seconds)
    const { user, system } = process.cpuUsage(before.own)
    return {
      ...load,
      ownUs: user + system,
      redisUs: redis && cpuUs(redis.pid) - before.redisUs!,
    }
  } finally {
    await store.close()
  }
}

/** With all upstreams in all rings; what follows is what a gateway does from its second job of a lane on. */
async function makeRings(store: TrafficStore, upstreams: number, lanes: number): Promise<void> {
  const ids = Array.from({ length: upstreams }, (_, index) => `upstream-${index}`)
  await store.snapshots.publish(snapshot(1, ids))
  for (let lane = 0; lane < lanes; lane++) {
    const { kind } = await store.pins.pin({ ...requestFor(`first-${lane}`, lane), eligible: ids })
    if (kind !== 'pinned') throw new Error(`the first job of a lane got "${kind}"`)
  }
}

async function pinAll(
  pins: Pins,
  { lanes, inFlight, pinsPerRound }: PinSettings,
  seconds: number,
): Promise<Load> {
  const samplesUs: number[] = []
  const startedMs = performance.now()
  const endMs = startedMs + seconds * 1000
  let next = 0
  const line = async () => {
    while (next < pinsPerRound && performance.now() < endMs) {
      next += 1
      const begunMs = performance.now()
      const answer = await pins.pin(requestFor(`job-${next}`, next % lanes))
      if (answer.kind !== 'pinned' || answer.reused) throw new Error(`a new job got "${answer.kind}"`)
      samplesUs.push((performance.now() - begunMs) * 1000)
    }
  }
  await Promise.all(Array.from({ length: inFlight }, line))
  return summary(samplesUs, (performance.now() - startedMs) / 1000, [])
}

function requestFor(id: string, lane: number) {
  const job = { id, type: 'payment', institution: `bank-${lane}` }
  return { job, gatewayId: 'bench', version: 1, eligible: null, refused: [] }
}

function figuresOf(name: string, rounds: readonly Round[]): Figure[] {
  const figure = (
    what: string,
    unit: string,
    better: Figure['better'],
    of: (round: Round) => number,
  ): Figure => ({ name: `${name}: ${what}`, unit, better, values: rounds.map(of) })
  return [
    figure('pins', '/s', 'more', ({ operations, seconds }) => operations / seconds),
    figure('pin p50', 'us', 'less', ({ p50Us }) => p50Us),
    figure('pin p99', 'us', 'less', ({ p99Us }) => p99Us),
    figure('CPU of this process per pin', 'us', 'less', ({ ownUs, operations }) => ownUs / operations),
    ...(rounds[0]?.redisUs == null
      ? []
      : [figure('CPU of redis per pin', 'us', 'less', ({ redisUs, operations }) => redisUs! / operations)]),
  ]
}
