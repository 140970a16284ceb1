// Design 13.1 to 13.4 while several gateways pin, move, use, touch and release at once, the fleet changes under
// them and time passes. A failure prints the seed and the path with which it comes back.

import fc from 'fast-check'
import t from 'tap'
import { openRedisStore } from '../../src/store/redis/redis.ts'
import { anyScript, simulate } from '../fixtures/pins-simulation.ts'
import type { World } from '../fixtures/pins-simulation.ts'
import { memoryWorld, redisWorld } from '../fixtures/pins-worlds.ts'
import { commandTimeoutMs, nextFleet, redisFor } from '../fixtures/redis-under-test.ts'
import { snapshot } from '../fixtures/snapshot.ts'
import { life } from '../fixtures/store-under-test.ts'

const memoryRuns = 1000
const redisRuns = 60

const redis = await redisFor(t)

async function holds(open: () => World, numRuns: number): Promise<void> {
  const property = fc.asyncProperty(anyScript, async (script) => {
    const world = open()
    try {
      await simulate(world, script)
    } finally {
      await world.close()
    }
  })
  await fc.assert(property, { numRuns })
}

t.test('pins and turns hold in memory, whatever comes between', async () => {
  await holds(memoryWorld, memoryRuns)
})

t.test('pins and turns hold in Redis, whatever comes between', async () => {
  await holds(() => redisWorld(redis), redisRuns)
})

t.test('4 connections pin 4,000 jobs at the same time: one pin each, shared evenly', async (t) => {
  const fleet = nextFleet()
  const ids = Array.from({ length: 7 }, (_, n) => `up-${n}`)
  // Thousands of calls at once, on a machine that has other work.
  const options = { url: redis.server.url, fleet, life, commandTimeoutMs: 6 * commandTimeoutMs }
  const stores = await Promise.all(Array.from({ length: 4 }, () => openRedisStore(options)))
  for (const store of stores) t.teardown(() => store.close())
  await stores[0]!.snapshots.publish(snapshot(1, ids))

  const jobs = Array.from({ length: 4000 }, (_, n) => ({ id: `job-${n}`, type: null, institution: null }))
  const upstreams = new Map<string, Set<string>>(jobs.map(({ id }) => [id, new Set()]))
  const pinAll = stores.map((store, n) =>
    Promise.all(
      jobs.map(async (job) => {
        const request = { job, gatewayId: `gw-${n}`, version: 1, eligible: ids, refused: [] }
        const answer = await store.pins.pin(request)
        if (answer.kind === 'pinned') upstreams.get(job.id)!.add(answer.pin.upstreamId)
      }),
    ),
  )
  await Promise.all(pinAll)

  t.ok(
    [...upstreams.values()].every(({ size }) => size === 1),
    'one upstream each, for all gateways',
  )
  const counts = [...(await stores[0]!.pins.counts()).values()].toSorted()
  t.same(counts, [571, 571, 571, 571, 572, 572, 572])
})
