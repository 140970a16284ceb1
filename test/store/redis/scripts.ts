import { readdirSync } from 'node:fs'
import { Redis } from 'ioredis'
import t from 'tap'
import { openRedisStore } from '../../../src/store/redis/redis.ts'
import { makeScripts } from '../../../src/store/redis/scripts.ts'
import { commandTimeoutMs, nextFleet, openOn, redisFor } from '../../fixtures/redis-under-test.ts'
import { snapshot } from '../../fixtures/snapshot.ts'
import { life } from '../../fixtures/store-under-test.ts'

const redis = await redisFor(t)
const open = openOn(redis)

function request(id: string) {
  const job = { id, type: null, institution: null }
  return { job, gatewayId: 'gw-1', version: 1, eligible: ['up-a', 'up-b', 'up-c'], refused: [] }
}

t.test('scripts that Redis forgot are loaded again, and no turn is taken twice', async (t) => {
  const { store } = await open(t)
  await store.snapshots.publish(snapshot(1, ['up-a', 'up-b', 'up-c']))
  const upstreams: string[] = []
  for (let n = 0; n < 9; n++) {
    await redis.raw.script('FLUSH')
    const answer = await store.pins.pin(request(`j-${n}`))
    upstreams.push(answer.kind === 'pinned' ? answer.pin.upstreamId : answer.kind)
  }
  t.same(upstreams, Array.from({ length: 3 }, () => ['up-a', 'up-b', 'up-c']).flat())
})

t.test('also while many calls are under way', async (t) => {
  const { store } = await open(t)
  await store.snapshots.publish(snapshot(1, ['up-a', 'up-b', 'up-c']))
  const calls = Array.from({ length: 300 }, (_, n) => {
    if (n % 10 === 0) void redis.raw.script('FLUSH')
    return store.pins.pin(request(`j-${n}`))
  })
  t.ok((await Promise.all(calls)).every(({ kind }) => kind === 'pinned'))
  t.same(
    await store.pins.counts(),
    new Map([
      ['up-a', 100],
      ['up-b', 100],
      ['up-c', 100],
    ]),
  )
})

t.test("a caller's wrong clock has no influence", async (t) => {
  const fleet = nextFleet()
  const options = { url: redis.server.url, fleet, life, commandTimeoutMs }
  const right = await openRedisStore(options)
  t.teardown(() => right.close())
  const wrong = await openRedisStore(options)
  t.teardown(() => wrong.close())
  await right.snapshots.publish(snapshot(1, ['up-a', 'up-b', 'up-c']))
  const first = await right.pins.pin(request('j'))
  t.match(first, { kind: 'pinned', reused: false })

  const realNow = Date.now
  t.teardown(() => {
    Date.now = realNow
  })
  Date.now = () => realNow() + 3_600_000
  t.match(await wrong.pins.pin(request('j')), { kind: 'pinned', reused: true, pin: { upstreamId: 'up-a' } })
  const { nowMs } = await wrong.heartbeats.beat({ id: 'gw-2', version: 1, tunnels: {}, pins: {} })
  t.ok(Math.abs(nowMs - realNow()) < 60_000)
  t.equal(await wrong.pins.sweep(10), 0)
})

t.test('every Lua file is a script or a piece of one', async (t) => {
  const used = new Set<string>()
  const ask = async () => t.fail('not called') as never
  makeScripts({ ask, askReplicated: ask, connection: 0, close: async () => {} }, (name) => {
    used.add(name)
    return ''
  })
  const there = readdirSync(new URL('../../../src/store/redis/lua/', import.meta.url))
  t.same([...used].toSorted(), there.map((file) => file.replace(/\.lua$/, '')).toSorted())
})

t.test('scripts touch only the keys that they declare, all in the slot of the fleet', async (t) => {
  const fleet = nextFleet()
  // A user that may touch the keys of this fleet and no others: Redis checks what a script really touches.
  await redis.raw.call('ACL', 'SETUSER', 'gateway', 'on', '>pw', '+@all', `~lk:{${fleet}}:*`)
  const url = redis.server.url.replace('redis://', 'redis://gateway:pw@')
  const store = await openRedisStore({ url, fleet, life, commandTimeoutMs })
  t.teardown(() => store.close())
  await store.snapshots.publish(snapshot(1, ['up-a', 'up-b', 'up-c']))
  t.match(await store.pins.pin(request('j')), { kind: 'pinned' })
  t.match(await store.pins.move({ ...request('j'), from: 'up-a', when: 'fresh' }), { kind: 'moved' })
  await store.pins.use('j', 'up-b')
  await store.pins.release('j')
  await store.heartbeats.beat({ id: 'gw-1', version: 1, tunnels: {}, pins: {} })
  await store.identity()
  const outside = new Redis(url)
  t.teardown(() => outside.disconnect())
  await t.rejects(outside.get('other'), /NOPERM/)
})
