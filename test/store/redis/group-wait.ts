// Hostile inputs 0.14: the link to a replica stalls, and what was acknowledged is lost with the primary. WAIT tells, on the
// connection that wrote.

import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { Redis } from 'ioredis'
import type { Test } from 'tap'
import { openRedisClient } from '../../../src/store/redis/client.ts'
import { openConnection, readyOrNot } from '../../../src/store/redis/connection.ts'
import { makeGroupWait } from '../../../src/store/redis/group-wait.ts'
import { openRedisStore } from '../../../src/store/redis/redis.ts'
import { startFaultProxy } from '../../fixtures/fault-proxy.ts'
import { redisFor } from '../../fixtures/redis-under-test.ts'
import { startRedis } from '../../fixtures/redis.ts'
import { snapshot } from '../../fixtures/snapshot.ts'
import { life } from '../../fixtures/store-under-test.ts'
import { until } from '../../fixtures/until.ts'

/** A WAIT gets 400 ms of it: the replica's answer comes through this process and a busy machine. */
const commandTimeoutMs = 1000

/** A primary, and a replica behind a link that can be broken. */
async function replicated(t: Test) {
  const { server, raw } = await redisFor(t)
  await raw.config('SET', 'repl-diskless-sync-delay', '0')
  const link = await startFaultProxy({ host: '127.0.0.1', port: server.port })
  t.teardown(() => link.stop())
  const replica = await startRedis()
  t.teardown(() => replica.stop())
  const rawReplica = new Redis(replica.url)
  t.teardown(() => rawReplica.disconnect())
  await rawReplica.replicaof('127.0.0.1', link.port)
  await until('the replica follows', async () => (await raw.incr('n')) > 0 && (await raw.wait(1, 100)) === 1)
  // One that just came may keep its first WAIT waiting until it speaks by itself, each second.
  for (let n = 0; n < 3; n++) {
    await raw.incr('n')
    await raw.wait(1, 3000)
  }
  await raw.config('RESETSTAT')
  return { server, raw, rawReplica, link }
}

async function clientFor(t: Test, url: string, waitReplicas: number) {
  const client = await openRedisClient({ servers: { url }, key: 'k', commandTimeoutMs, waitReplicas })
  t.teardown(() => client.close())
  return client
}

async function waitsOf(raw: Redis): Promise<number> {
  return Number(/cmdstat_wait:calls=(\d+)/.exec(await raw.info('commandstats'))?.[1] ?? 0)
}

t.test('what was asked is at the replica when the answer comes', async (t) => {
  const { server, rawReplica } = await replicated(t)
  const client = await clientFor(t, server.url, 1)
  for (let n = 0; n < 20; n++) {
    t.equal(await client.askReplicated((redis) => redis.set('k', `v${n}`)), 'OK')
    t.equal(await rawReplica.get('k'), `v${n}`)
  }
})

t.test(
  'a stalled link to the replica: with 1 it is refused, with 0 not; asked again it waits again',
  async (t) => {
    const { server, raw, rawReplica, link } = await replicated(t)
    const client = await clientFor(t, server.url, 1)
    const careless = await clientFor(t, server.url, 0)
    const other = new Redis(server.url)
    t.teardown(() => other.disconnect())
    await other.ping()
    // A WAIT itself adds to what replicas must have, which they confirm by themselves each second.
    await until('the replica has all that was', async () => {
      const text = await raw.info('replication')
      const [, has] = /^slave0:.*,offset=(\d+)/m.exec(text) ?? []
      const [, all] = /^master_repl_offset:(\d+)/m.exec(text) ?? []
      return has === all
    })
    link.stall('down')
    const refused = { code: 'store_unavailable', fields: { detail: /0 of 1 replicas have the pin/ } }
    await t.rejects(
      client.askReplicated((redis) => redis.set('k', 'v')),
      refused,
    )
    t.equal(await careless.askReplicated((redis) => redis.set('l', 'v')), 'OK')
    t.equal(await client.ask((redis) => redis.set('m', 'v')), 'OK', 'what need not be replicated goes on')
    t.equal(await raw.get('k'), 'v', 'it is written all the same')
    t.equal(await rawReplica.get('k'), null)

    // A call that finds what the first one wrote, and writes nothing itself.
    await t.rejects(
      client.askReplicated((redis) => redis.get('k')),
      refused,
    )
    // And so on a connection that has written nothing at all.
    const another = await clientFor(t, server.url, 1)
    await t.rejects(
      another.askReplicated((redis) => redis.get('k')),
      refused,
    )

    t.equal(await other.wait(1, 50), 1, 'a WAIT on another connection says that all is well')

    link.heal()
    t.equal(await client.askReplicated((redis) => redis.get('k')), 'v')
    t.equal(await rawReplica.get('k'), 'v')
  },
)

t.test('a pin is told once a replica has it; refused, it is found by the next try', async (t) => {
  const { server, raw, link } = await replicated(t)
  const store = await openRedisStore({ url: server.url, fleet: 'f', life, commandTimeoutMs, waitReplicas: 1 })
  t.teardown(() => store.close())
  await store.snapshots.publish(snapshot(1, ['up-a', 'up-b']))
  const job = { id: 'j', type: null, institution: null }
  const pin = () =>
    store.pins.pin({ job, gatewayId: 'gw-1', version: 1, eligible: ['up-a', 'up-b'], refused: [] })
  link.stall('down')
  await t.rejects(pin(), { code: 'store_unavailable', fields: { detail: /0 of 1 replicas have the pin/ } })
  link.heal()
  await until('the replica is back', async () => (await raw.wait(1, 3000)) === 1)
  t.match(await pin(), { kind: 'pinned', reused: true, pin: { upstreamId: 'up-a' } })
})

t.test('more replicas than there are: the answer says how many have it', async (t) => {
  const { server } = await replicated(t)
  const client = await clientFor(t, server.url, 2)
  await t.rejects(
    client.askReplicated((redis) => redis.set('k', 'v')),
    { code: 'store_unavailable', fields: { detail: /1 of 2 replicas/ } },
  )
})

t.test('calls of one turn share a WAIT, and those that come meanwhile the next', async (t) => {
  const { server, raw } = await replicated(t)
  const client = await clientFor(t, server.url, 1)
  const set = (n: number) => client.askReplicated((redis) => redis.set(`k${n}`, 'v'))
  await Promise.all(Array.from({ length: 100 }, (_, n) => set(n)))
  t.equal(await waitsOf(raw), 1)

  const first = set(0)
  await new Promise(setImmediate)
  await Promise.all([first, ...Array.from({ length: 100 }, (_, n) => set(n))])
  t.equal(await waitsOf(raw), 3)
})

t.test('while a replica is away each call is refused within its time, held or not', async (t) => {
  const { server, link } = await replicated(t)
  const client = await clientFor(t, server.url, 1)
  link.stall('down')
  const started = performance.now()
  const calls: Promise<string>[] = []
  for (let n = 0; n < 20; n++) {
    const call = client.askReplicated((redis) => redis.set('k', 'v'))
    calls.push(call.catch((error: { fields: { detail: string } }) => error.fields.detail))
    await delay(20)
  }
  const details = await Promise.all(calls)
  t.match(details[0], /0 of 1 replicas/)
  // On a busy machine two WAITs and what is between them may take longer than a call has.
  for (const detail of details) t.match(detail, /0 of 1 replicas|in time/)
  t.ok(performance.now() - started < 400 + 4 * commandTimeoutMs)
})

t.test('a failure is told to its caller alone', async (t) => {
  const { server, raw } = await replicated(t)
  const client = await clientFor(t, server.url, 1)
  await raw.set('text', 'v')
  const [fine, wrong] = await Promise.allSettled([
    client.askReplicated((redis) => redis.set('k', 'v')),
    client.askReplicated((redis) => redis.incr('text')),
  ])
  t.match(fine, { status: 'fulfilled', value: 'OK' })
  t.match(wrong, { status: 'rejected', reason: { code: 'store_unavailable' } })
})

t.test('a connection that was lost between the write and the WAIT proves nothing', async (t) => {
  const { server } = await replicated(t)
  const proxy = await startFaultProxy({ host: '127.0.0.1', port: server.port })
  t.teardown(() => proxy.stop())
  const servers = { url: `redis://127.0.0.1:${proxy.port}` }
  const connection = openConnection({ servers, key: 'k', commandTimeoutMs: 5000 })
  t.teardown(() => connection.close())
  await readyOrNot(connection, 5000)
  const ask = makeGroupWait({ connection, replicas: 1, waitMs: 2000 })
  const writeThenLose = async (redis: Redis) => {
    await redis.set('k', 'v')
    const { number } = connection
    proxy.reset()
    await until('there is another connection', () => connection.number > number && connection.isReady)
  }
  await t.rejects(ask(writeThenLose, { isOver: false }), {
    code: 'store_unavailable',
    message: /connection was lost/,
  })
  t.equal(await ask((redis) => redis.get('k'), { isOver: false }), 'v')
})

t.test('a call whose caller gave up while it was held is not sent', async (t) => {
  const { server } = await replicated(t)
  const connection = openConnection({ servers: { url: server.url }, key: 'k', commandTimeoutMs })
  t.teardown(() => connection.close())
  await readyOrNot(connection, commandTimeoutMs)
  const ask = makeGroupWait({ connection, replicas: 1, waitMs: 100 })
  const call = { isOver: false }
  const held = ask(async () => t.fail('sent'), call)
  call.isOver = true
  await t.rejects(held, { code: 'store_unavailable' })
})
