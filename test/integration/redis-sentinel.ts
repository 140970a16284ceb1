// The store on a Redis behind a sentinel: all contracts, and what a failover costs.

import t from 'tap'
import { openRedisStore } from '../../src/store/redis/redis.ts'
import { openSubscriber } from '../../src/store/redis/subscriber.ts'
import { feedContract } from '../fixtures/feed-contract.ts'
import { heartbeatsContract } from '../fixtures/heartbeats-contract.ts'
import { identityContract } from '../fixtures/identity-contract.ts'
import { pinsContract } from '../fixtures/pins-contract.ts'
import { sentinelFor } from '../fixtures/redis-sentinel.ts'
import { openOn } from '../fixtures/redis-under-test.ts'
import { reportsContract } from '../fixtures/reports-contract.ts'
import { snapshot } from '../fixtures/snapshot.ts'
import { snapshotsContract } from '../fixtures/snapshots-contract.ts'
import { life } from '../fixtures/store-under-test.ts'
import { until } from '../fixtures/until.ts'

t.test('through a sentinel', async (t) => {
  const { url, rawPrimary } = await sentinelFor(t)
  const open = openOn({ server: { url }, raw: rawPrimary })
  await t.test('pins', async (t) => pinsContract(t, open))
  await t.test('snapshots', async (t) => snapshotsContract(t, open))
  await t.test('heartbeats', async (t) => heartbeatsContract(t, open))
  await t.test('reports', async (t) => reportsContract(t, open))
  await t.test('the feed', async (t) => feedContract(t, open))
  await t.test('the identity', async (t) => identityContract(t, open))
})

function request(id: string) {
  const job = { id, type: null, institution: null }
  return { job, gatewayId: 'gw-1', version: 1, eligible: ['up-a', 'up-b'], refused: [] }
}

/** Hostile inputs, row 2 and 7: nothing hangs, nothing is read from a replica, and it comes back by itself. */
t.test(
  'a primary that is killed: calls fail fast until the replica is primary, then it is used',
  async (t) => {
    const commandTimeoutMs = 250
    const { url, primary, rawReplica } = await sentinelFor(t, {
      password: 'hunter2',
      sentinelSettings: { requirepass: 'gate' },
    })
    const servers = { url, sentinelPassword: 'gate' }
    const store = await openRedisStore({ ...servers, fleet: 'default', life, commandTimeoutMs })
    t.teardown(() => store.close())
    await store.snapshots.publish(snapshot(1, ['up-a', 'up-b']))
    const before = await store.pins.pin(request('j'))
    t.match(before, { kind: 'pinned', reused: false })
    await until('the replica has the pin', async () => (await rawReplica.hlen('lk:{default}:pins')) === 1)
    const heard: string[] = []
    const subscriber = openSubscriber({
      servers,
      channel: 'lk:{default}:feed',
      commandTimeoutMs,
      onSubscribed: () => heard.push('subscribed'),
      onLost: () => heard.push('lost'),
      onMessage: (text) => heard.push(text),
    })
    t.teardown(() => subscriber.close())
    await until('it is subscribed', () => heard.length === 1)

    await primary.stop()
    let longestMs = 0
    const ways = new Set<string>()
    await until('pins are read again', async () => {
      const startMs = performance.now()
      const answer = await store.pins.read('j').catch((error: { code: string }) => error.code)
      longestMs = Math.max(longestMs, performance.now() - startMs)
      ways.add(typeof answer === 'string' ? answer : answer === null ? 'nothing there' : 'read')
      return ways.has('read')
    })
    t.same([...ways], ['store_unavailable', 'read'])
    t.ok(longestMs < 4 * commandTimeoutMs, `${longestMs} ms; the limit is 250, on a machine of many`)
    t.equal((await rawReplica.role())[0], 'master')
    t.match(await store.pins.pin(request('j')), { kind: 'pinned', reused: true })
    await until('the feed is back', () => heard.length === 3)
    t.same(heard, ['subscribed', 'lost', 'subscribed'])
    await rawReplica.publish('lk:{default}:feed', 'still there')
    await until('it hears', () => heard.includes('still there'))
  },
)

t.test('a wrong password of the sentinels is told, and none is shown', async (t) => {
  const { url } = await sentinelFor(t, { password: 'hunter2', sentinelSettings: { requirepass: 'gate' } })
  const store = await openRedisStore({
    url,
    sentinelPassword: 'hunter3',
    fleet: 'default',
    life,
    commandTimeoutMs: 250,
  })
  t.teardown(() => store.close())
  const error = await until('the refusal is known', () =>
    store.ping().catch((error: Error) => (error.message.includes('password') ? error : false)),
  )
  t.match(error, { code: 'store_unavailable', fields: { detail: /refuses our user name or password/ } })
  t.notMatch(JSON.stringify([error, String(error), String((error as Error).cause)]), /hunter/)
})
