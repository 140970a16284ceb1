// What lies in Redis, and what happens when it was changed behind our back.

import t from 'tap'
import { makeKeys } from '../../../src/store/redis/keys.ts'
import { openRedisStore } from '../../../src/store/redis/redis.ts'
import { identityContract } from '../../fixtures/identity-contract.ts'
import { commandTimeoutMs, nextFleet, openOn, redisFor } from '../../fixtures/redis-under-test.ts'
import { startRedis } from '../../fixtures/redis.ts'
import { snapshot } from '../../fixtures/snapshot.ts'
import { life } from '../../fixtures/store-under-test.ts'
import { until } from '../../fixtures/until.ts'
import type { Test } from 'tap'

const { server, raw } = await redisFor(t)
const ids = ['up-a', 'up-b', 'up-c']

async function open(t: Test) {
  const fleet = nextFleet()
  const store = await openRedisStore({ url: server.url, fleet, life, commandTimeoutMs })
  t.teardown(() => store.close())
  await store.snapshots.publish(snapshot(1, ids))
  return { ...store, keys: makeKeys(fleet), fleet }
}

function request(id: string, type: string | null = null) {
  return { job: { id, type, institution: null }, gatewayId: 'gw-1', version: 1, eligible: ids, refused: [] }
}

async function upstreamOf(answer: Promise<{ kind: string }>): Promise<string> {
  const pinned = (await answer) as { kind: string; pin?: { upstreamId: string } }
  return pinned.pin?.upstreamId ?? pinned.kind
}

t.test('all keys of a fleet carry its hash tag', async (t) => {
  const { pins, heartbeats, identity, fleet } = await open(t)
  await pins.pin(request('j', 'payment'))
  await heartbeats.beat({ id: 'gw-1', version: 1, tunnels: {}, pins: {} })
  await identity()
  const names = ['born', 'counts', 'expiry', 'fleet', 'gateways', 'lanes', 'pins', 'ring:payment:*', 'rings']
  const found = await raw.keys(`lk:{${fleet}}:*`)
  t.same(
    found.toSorted(),
    names.map((name) => `lk:{${fleet}}:${name}`),
  )
})

t.test('a ring expires when its lane is not used for a day; all else stays', async (t) => {
  const { pins, identity, keys } = await open(t)
  await pins.pin(request('j'))
  await identity()
  const ttlMs = await raw.pttl(keys.ring('*:*'))
  t.ok(ttlMs > 86_000_000 && ttlMs <= 86_400_000)
  for (const key of [keys.pins, keys.expiry, keys.counts, keys.fleet, keys.rings, keys.born])
    t.equal(await raw.pttl(key), -1)
})

t.test('fleets in one Redis do not see each other', async (t) => {
  const one = await open(t)
  const two = await open(t)
  await one.pins.pin(request('j'))
  t.equal(await two.pins.read('j'), null)
  t.equal(await upstreamOf(two.pins.pin(request('k'))), 'up-a')
})

t.test('a pin that is used holds no more than it must', async (t) => {
  const { pins, keys } = await open(t)
  await pins.pin({ ...request('j', 'payment'), job: { id: 'j', type: 'payment', institution: 'bank-a' } })
  const fresh = JSON.parse((await raw.hget(keys.pins, 'j')) ?? '') as { at: number }
  t.same(fresh, { f: 1, u: 'up-a', t: 'payment', i: 'bank-a', at: fresh.at, by: 'gw-1' })
  await pins.use('j', 'up-a')
  const used = JSON.parse((await raw.hget(keys.pins, 'j')) ?? '') as unknown
  t.same(used, { f: 1, u: 'up-a', t: 'payment', i: 'bank-a', at: fresh.at })
})

t.test('fields that this program does not know are kept', async (t) => {
  const { pins, keys } = await open(t)
  await pins.pin(request('j'))
  const before = JSON.parse((await raw.hget(keys.pins, 'j')) ?? '') as object
  const later = { x: { deep: [1, 'two', null, true] }, at2: 1_763_683_200_123 }
  await raw.hset(keys.pins, 'j', JSON.stringify({ ...before, ...later }))
  await pins.move({ ...request('j'), from: 'up-a', when: 'fresh' })
  await pins.use('j', 'up-b')
  t.match(JSON.parse((await raw.hget(keys.pins, 'j')) ?? ''), { u: 'up-b', ...later })
})

t.test('a record of a newer format is refused in clear words, and not touched', async (t) => {
  const { pins, snapshots, heartbeats, keys } = await open(t)
  await pins.pin(request('j'))
  const newer = '{"f":2,"upstream":"up-a","at":1763683200123}'
  await raw.hset(keys.pins, 'j', newer)
  const refusal = { code: 'store_unavailable', fields: { detail: /format/ } }
  await t.rejects(pins.pin(request('j')), refusal)
  await t.rejects(pins.read('j'), refusal)
  await t.rejects(pins.use('j', 'up-a'), refusal)
  await t.rejects(pins.release('j'), refusal)
  await t.rejects(pins.touch([{ jobId: 'j', upstreamId: 'up-a', used: true }]), refusal)
  await raw.zadd(keys.expiry, 1, 'j')
  t.equal(await pins.sweep(10), 0, 'left to a program that can read it')
  t.equal(await upstreamOf(pins.pin(request('k'))), 'up-b', 'others go on')
  t.equal(await raw.hget(keys.pins, 'j'), newer)

  await raw.hset(keys.fleet, 'snapshot', '{"f":2}')
  await t.rejects(snapshots.read(), refusal)
  await raw.hset(keys.gateways, 'gw-9', '{"at":9999999999999,"f":2,"id":"gw-9"}')
  await t.rejects(heartbeats.list(), refusal)
})

const broken = [
  { name: 'deleted', harm: (ring: string) => raw.del(ring) },
  { name: 'with a ghost pushed in', harm: (ring: string) => raw.rpush(ring, 'ghost') },
  { name: 'with an id taken out', harm: (ring: string) => raw.lrem(ring, 1, 'up-b') },
  { name: 'with an id twice', harm: (ring: string) => raw.lpush(ring, 'up-c') },
]
for (const { name, harm } of broken) {
  t.test(`a ring ${name} is no ring, and is rebuilt`, async (t) => {
    const { pins, keys } = await open(t)
    await pins.pin(request('j-0'))
    await harm(keys.ring('*:*'))
    t.same(await pins.pin({ ...request('j-1'), eligible: null }), { kind: 'no-ring' })
    const next = [1, 2, 3].map((n) => upstreamOf(pins.pin(request(`j-${n}`))))
    t.same((await Promise.all(next)).toSorted(), ids)
    t.same((await raw.lrange(keys.ring('*:*'), 0, -1)).toSorted(), ids)
  })
}

t.test('after FLUSHALL the store says that it is behind, and starts anew', async (t) => {
  const { pins, snapshots } = await open(t)
  await pins.pin(request('j'))
  await raw.flushall()
  t.same(await pins.pin(request('j')), { kind: 'behind', version: 0 })
  await snapshots.publish(snapshot(1, ids))
  t.match(await pins.pin(request('j')), { kind: 'pinned', reused: false })
  t.same(await pins.counts(), new Map([['up-a', 1]]))
})

identityContract(t, openOn({ server, raw }))

t.test('the store is another one after a flush, and after a restart without data', async (t) => {
  const { server, raw } = await redisFor(t)
  const options = { url: server.url, fleet: nextFleet(), life, commandTimeoutMs }
  const store = await openRedisStore(options)
  t.teardown(() => store.close())
  const first = await store.identity()
  await raw.flushall()
  const flushed = await store.identity()
  t.not(flushed, first)
  t.equal(await store.identity(), flushed)

  await server.stop()
  await t.rejects(store.identity(), { code: 'store_unavailable' })
  const again = await startRedis({ port: server.port })
  t.teardown(() => again.stop())
  await until('Redis answers', () =>
    store.ping().then(
      () => true,
      () => false,
    ),
  )
  const restarted = await store.identity()
  t.notOk([first, flushed].includes(restarted))
  t.equal(await store.identity(), restarted)
})

t.test('a replica that was promoted is another store, though it has the same mark', async (t) => {
  const { server, raw } = await redisFor(t)
  const fleet = nextFleet()
  const { born } = makeKeys(fleet)
  const primary = await openRedisStore({ url: server.url, fleet, life, commandTimeoutMs })
  t.teardown(() => primary.close())
  const before = await primary.identity()
  const replica = await redisFor(t)
  await replica.raw.replicaof('127.0.0.1', server.port)
  await until('the replica has the mark', async () => (await replica.raw.get(born)) !== null)

  await replica.raw.replicaof('NO', 'ONE')
  const promoted = await openRedisStore({ url: replica.server.url, fleet, life, commandTimeoutMs })
  t.teardown(() => promoted.close())
  t.not(await promoted.identity(), before)
  t.equal(await replica.raw.get(born), await raw.get(born))
})

t.test('an expiry without a pin is swept away', async (t) => {
  const { pins, keys } = await open(t)
  await raw.zadd(keys.expiry, 1, 'nobody')
  await pins.sweep(10)
  t.equal(await raw.zcard(keys.expiry), 0)
})

t.test('fleets in one Redis have a mark each, so one that is taken away is noticed', async (t) => {
  const [one, two] = [await open(t), await open(t)]
  const before = [await one.identity(), await two.identity()]
  t.not(before[0], before[1])
  await raw.del(one.keys.born)
  t.not(await one.identity(), before[0])
  t.equal(await two.identity(), before[1])
})

for (const part of ['pins', 'expiry'] as const) {
  t.test(
    `where ${part} was evicted alone, nothing is decided by the rest, and the store is another one`,
    async (t) => {
      const { identity, pinsIn, pins, keys } = await open(t)
      const before = await identity()
      t.match(await pinsIn(before).pin(request('j')), { kind: 'pinned' })
      await raw.del(keys[part])
      await t.rejects(pinsIn(before).pin(request('j')), { name: 'AnotherStore' })
      const after = await identity()
      t.not(after, before)
      t.equal(await raw.exists(keys.pins, keys.expiry, keys.counts), 0)
      t.match(await pinsIn(after).pin(request('j')), { kind: 'pinned', reused: false })
      t.equal(await identity(), after)
      t.equal((await pins.counts()).size, 1)
    },
  )
}

t.test('a ring of nothing but ghosts is no ring', async (t) => {
  const { pins, keys } = await open(t)
  await pins.pin(request('j-0'))
  for (const place of [0, 1, 2]) await raw.lset(keys.ring('*:*'), place, 'ghost')
  t.same(await pins.pin({ ...request('j-1'), eligible: null }), { kind: 'no-ring' })
  t.equal(await upstreamOf(pins.pin(request('j-1'))), 'up-a')
})
