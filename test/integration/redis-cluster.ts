// The store on a Redis Cluster: all contracts, with fleets on all its nodes, and what a failover or a move costs.

import t from 'tap'
import { openRedisStore } from '../../src/store/redis/redis.ts'
import { openSubscriber } from '../../src/store/redis/subscriber.ts'
import { feedContract } from '../fixtures/feed-contract.ts'
import { heartbeatsContract } from '../fixtures/heartbeats-contract.ts'
import { identityContract } from '../fixtures/identity-contract.ts'
import { pinsContract } from '../fixtures/pins-contract.ts'
import { clusterFor } from '../fixtures/redis-cluster.ts'
import { openOn } from '../fixtures/redis-under-test.ts'
import { reportsContract } from '../fixtures/reports-contract.ts'
import { snapshot } from '../fixtures/snapshot.ts'
import { snapshotsContract } from '../fixtures/snapshots-contract.ts'
import { life } from '../fixtures/store-under-test.ts'
import { until } from '../fixtures/until.ts'

const commandTimeoutMs = 250

t.test('through a Cluster', async (t) => {
  const { url, raw, primaries } = await clusterFor(t)
  const open = openOn({ server: { url }, raw })
  await t.test('pins', async (t) => pinsContract(t, open))
  await t.test('snapshots', async (t) => snapshotsContract(t, open))
  await t.test('heartbeats', async (t) => heartbeatsContract(t, open))
  await t.test('reports', async (t) => reportsContract(t, open))
  await t.test('the feed', async (t) => feedContract(t, open))
  await t.test('the identity', async (t) => identityContract(t, open))
  for (const { raw } of primaries) t.ok((await raw.dbsize()) > 0, 'each node has some of the fleets')
})

function request(id: string) {
  const job = { id, type: null, institution: null }
  return { job, gatewayId: 'gw-1', version: 1, eligible: ['up-a', 'up-b'], refused: [] }
}

/** Asks until the pin is read, and says in which ways it was not. */
async function readAgain(read: () => Promise<unknown>) {
  let longestMs = 0
  const ways = new Set<string>()
  await until('pins are read again', async () => {
    const startMs = performance.now()
    const answer = await read().catch((error: { code: string }) => error.code)
    longestMs = Math.max(longestMs, performance.now() - startMs)
    ways.add(typeof answer === 'string' ? answer : answer === null ? 'nothing there' : 'read')
    return ways.has('read')
  })
  return { ways: [...ways], longestMs }
}

t.test('a node that is killed, and one whose slot moves', async (t) => {
  const { url, owner, replica, primaries } = await clusterFor(t)
  const store = await openRedisStore({ url, fleet: 'default', life, commandTimeoutMs })
  t.teardown(() => store.close())
  await store.snapshots.publish(snapshot(1, ['up-a', 'up-b']))
  t.match(await store.pins.pin(request('j')), { kind: 'pinned', reused: false })
  await until('the replica has the pin', async () =>
    String(await replica.raw.info('keyspace')).includes('keys='),
  )
  const heard: string[] = []
  const subscriber = openSubscriber({
    servers: { url },
    channel: 'lk:{default}:feed',
    commandTimeoutMs,
    onSubscribed: () => heard.push('subscribed'),
    onLost: () => heard.push('lost'),
    onMessage: (text) => heard.push(text),
  })
  t.teardown(() => subscriber.close())
  await until('it is subscribed', () => heard.length === 1)

  await t.test('killed: calls fail fast until its replica serves, then they work', async (t) => {
    await owner.server.stop()
    const { ways, longestMs } = await readAgain(() => store.pins.read('j'))
    t.same(ways, ['store_unavailable', 'read'])
    t.ok(longestMs < 4 * commandTimeoutMs, `${longestMs} ms; the limit is 250, on a machine of many`)
    t.match(await store.pins.pin(request('j')), { kind: 'pinned', reused: true })
    await until('the feed is back', () => heard.length === 3)
    const [other] = primaries.filter((node) => node !== owner)
    await other!.raw.publish('lk:{default}:feed', 'from any node')
    await until('it hears', () => heard.includes('from any node'))
  })

  await t.test(
    'moved: a few calls fail while the keys are under way, none says "nothing there"',
    async (t) => {
      const [to] = primaries.filter((node) => node !== owner)
      const slot = String(await to!.raw.cluster('KEYSLOT', 'lk:{default}:pins'))
      await to!.raw.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', replica.id)
      await replica.raw.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', to!.id)
      const [first, ...rest] = (await replica.raw.cluster('GETKEYSINSLOT', Number(slot), 100)) as string[]
      const move = (...keys: string[]) =>
        replica.raw.call('MIGRATE', '127.0.0.1', to!.server.port, '', 0, 5000, 'KEYS', ...keys)
      await move(first!)
      await t.rejects(store.pins.pin(request('j')), {
        code: 'store_unavailable',
        fields: { detail: /moving/ },
      })
      await move(...rest)
      await t.rejects(store.pins.pin(request('j')), {
        code: 'store_unavailable',
        fields: { detail: /moving/ },
      })
      for (const { raw } of [to!, replica, ...primaries.filter((node) => node !== owner && node !== to)])
        await raw.call('CLUSTER', 'SETSLOT', slot, 'NODE', to!.id)
      const { ways } = await readAgain(() => store.pins.read('j'))
      t.notOk(ways.includes('nothing there'), String(ways))
      t.match(await store.pins.pin(request('j')), { kind: 'pinned', reused: true })
    },
  )
})

t.test('a Cluster that lost its majority is store_unavailable, and works once it has it again', async (t) => {
  const { url, owner, primaries } = await clusterFor(t)
  const store = await openRedisStore({ url, fleet: 'default', life, commandTimeoutMs })
  t.teardown(() => store.close())
  await store.snapshots.publish(snapshot(1, ['up-a', 'up-b']))
  await store.pins.pin(request('j'))
  const others = primaries.filter((node) => node !== owner)
  for (const { server } of others) process.kill(server.pid, 'SIGSTOP')
  await until('the node knows', () =>
    store.pins.pin(request('j')).then(
      () => false,
      (error: { fields: { detail: string } }) => /its cluster is down/.test(error.fields.detail),
    ),
  )
  for (const { server } of others) process.kill(server.pid, 'SIGCONT')
  const { ways } = await readAgain(() => store.pins.read('j'))
  t.notOk(ways.includes('nothing there'), String(ways))
})
