// How the store behaves when Redis does not: no hanging, no guessing, and back by itself.

import t from 'tap'
import type { Test } from 'tap'
import { isGatewayError } from '../../../src/errors.ts'
import { openRedisStore } from '../../../src/store/redis/redis.ts'
import type { TrafficStore } from '../../../src/store/store.ts'
import { startAnsweringRedis } from '../../fixtures/answering-redis.ts'
import { commandTimeoutMs, redisFor } from '../../fixtures/redis-under-test.ts'
import { startRedis } from '../../fixtures/redis.ts'
import { snapshot } from '../../fixtures/snapshot.ts'
import { life } from '../../fixtures/store-under-test.ts'
import { until } from '../../fixtures/until.ts'

async function open(t: Test, url: string, timeoutMs = commandTimeoutMs): Promise<TrafficStore> {
  const store = await openRedisStore({ url, fleet: 'default', life, commandTimeoutMs: timeoutMs })
  t.teardown(() => store.close())
  return store
}

function request(id: string) {
  const job = { id, type: null, institution: null }
  return { job, gatewayId: 'gw-1', version: 1, eligible: ['up-a', 'up-b'], refused: [] }
}

/** Every verb, since none may answer "nothing there" for "cannot know". */
function verbs({ pins, snapshots, heartbeats, ping }: TrafficStore): {
  [verb: string]: () => Promise<unknown>
} {
  return {
    pin: () => pins.pin(request('j')),
    move: () => pins.move({ ...request('j'), from: 'up-a', when: 'fresh' }),
    use: () => pins.use('j', 'up-a'),
    touch: () => pins.touch([{ jobId: 'j', upstreamId: 'up-a', used: true }]),
    release: () => pins.release('j'),
    read: () => pins.read('j'),
    sweep: () => pins.sweep(10),
    counts: () => pins.counts(),
    publish: () => snapshots.publish(snapshot(2, ['up-a'])),
    version: () => snapshots.version(),
    snapshot: () => snapshots.read(),
    beat: () => heartbeats.beat({ id: 'gw-1', version: 1, tunnels: {}, pins: {} }),
    signOff: () => heartbeats.signOff('gw-1'),
    list: () => heartbeats.list(),
    ping,
  }
}

async function allUnavailable(t: Test, store: TrafficStore, detail: RegExp): Promise<void> {
  for (const [verb, call] of Object.entries(verbs(store))) {
    await t.rejects(call(), { code: 'store_unavailable', fields: { detail } }, verb)
  }
}

async function works(store: TrafficStore): Promise<void> {
  await until('the store works again', () =>
    store.ping().then(
      () => true,
      () => false,
    ),
  )
}

t.test('a store opens while Redis is down, says so at once, and works when it comes', async (t) => {
  const first = await startRedis()
  await first.stop()
  const store = await open(t, first.url)
  await allUnavailable(t, store, /nothing listens there/)
  const second = await startRedis({ port: first.port })
  t.teardown(() => second.stop())
  await works(store)
  await store.snapshots.publish(snapshot(1, ['up-a', 'up-b']))
  t.match(await store.pins.pin(request('j')), { kind: 'pinned' })
})

t.test('a Redis that dies and comes back empty: an error, then a store that is behind', async (t) => {
  const first = await startRedis()
  const store = await open(t, first.url)
  await store.snapshots.publish(snapshot(1, ['up-a', 'up-b']))
  await store.pins.pin(request('j'))
  const underWay = store.pins.pin(request('k')).catch((error: unknown) => error)
  await first.stop()
  const answer = await underWay
  t.ok(isGatewayError(answer, 'store_unavailable') || (answer as { kind: string }).kind === 'pinned')
  await until('the loss is noticed', () =>
    store.ping().then(
      () => false,
      () => true,
    ),
  )
  await allUnavailable(t, store, /Redis cannot be used now/)
  const second = await startRedis({ port: first.port })
  t.teardown(() => second.stop())
  await works(store)
  t.same(await store.pins.pin(request('j')), { kind: 'behind', version: 0 })
})

t.test(
  'a Redis that is silent costs the time limit once; after that calls fail without waiting',
  async (t) => {
    const { server } = await redisFor(t)
    const store = await open(t, server.url, 100)
    await store.snapshots.publish(snapshot(1, ['up-a', 'up-b']))
    process.kill(server.pid, 'SIGSTOP')
    const first = await Promise.allSettled([
      store.pins.pin(request('j')),
      store.pins.pin(request('k')),
      store.ping(),
    ])
    t.ok(first.every(({ status }) => status === 'rejected'))
    await allUnavailable(t, store, /does not answer in time/)
    process.kill(server.pid, 'SIGCONT')
    await works(store)
    t.match(await store.pins.pin(request('l')), { kind: 'pinned' })
  },
)

t.test(
  'a primary that became a replica: nothing is read or written there; back when it is primary',
  async (t) => {
    const { server, raw } = await redisFor(t)
    const store = await open(t, server.url)
    await store.snapshots.publish(snapshot(1, ['up-a', 'up-b']))
    await store.pins.pin(request('j'))
    await raw.replicaof('127.0.0.1', 1)
    await t.rejects(store.pins.pin(request('k')), {
      code: 'store_unavailable',
      fields: { detail: /read-only replica/ },
    })
    await until('reads fail too', () =>
      store.pins.read('j').then(
        () => false,
        () => true,
      ),
    )
    await allUnavailable(t, store, /Redis cannot be used now/)
    await raw.replicaof('NO', 'ONE')
    await works(store)
    t.match(await store.pins.pin(request('j')), { kind: 'pinned', reused: true })
  },
)

t.test('a store that opens on a replica waits for it to become primary', async (t) => {
  const { server, raw } = await redisFor(t)
  await raw.replicaof('127.0.0.1', 1)
  const store = await open(t, server.url)
  await allUnavailable(t, store, /Redis cannot be used now/)
  await raw.replicaof('NO', 'ONE')
  await works(store)
})

t.test('a Redis without memory: pinning fails, the end of pins makes room', async (t) => {
  const { server, raw } = await redisFor(t)
  const store = await open(t, server.url)
  await store.snapshots.publish(snapshot(1, ['up-a', 'up-b']))
  await store.pins.pin(request('j'))
  await raw.config('SET', 'maxmemory-policy', 'noeviction')
  await raw.config('SET', 'maxmemory', '1')
  await t.rejects(store.pins.pin(request('k')), {
    code: 'store_unavailable',
    fields: { detail: /out of memory/ },
  })
  t.match(await store.pins.release('j'), { upstreamId: 'up-a' })
  t.same(await store.pins.counts(), new Map())
  await raw.config('SET', 'maxmemory', '0')
  t.match(
    await store.pins.pin(request('k')),
    { kind: 'pinned', pin: { upstreamId: 'up-b' } },
    'no turn was lost',
  )
})

const replies = [
  'LOADING Redis is loading the dataset in memory',
  'MISCONF Redis is configured to save RDB snapshots, but it is currently not able to persist on disk.',
  'BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.',
  'CLUSTERDOWN The cluster is down',
  'NOREPLICAS Not enough good replicas to write.',
]
for (const reply of replies) {
  t.test(`a reply ${reply.split(' ')[0]} is store_unavailable, never "nothing there"`, async (t) => {
    const server = await startAnsweringRedis(reply)
    t.teardown(() => server.stop())
    const store = await open(t, server.url)
    await t.rejects(store.pins.pin(request('j')), { code: 'store_unavailable' })
    await t.rejects(store.pins.read('j'), { code: 'store_unavailable' })
    await t.rejects(store.pins.touch([{ jobId: 'j', upstreamId: 'u', used: true }]), {
      code: 'store_unavailable',
    })
  })
}

t.test('a failed call does not harm those that share its write', async (t) => {
  const { server, raw } = await redisFor(t)
  const store = await open(t, server.url)
  await store.snapshots.publish(snapshot(1, ['up-a', 'up-b']))
  await raw.hset('lk:{default}:pins', 'bad', '{"f":99}')
  await raw.zadd('lk:{default}:expiry', '9999999999999', 'bad')
  const jobs = ['a', 'bad', 'b', 'bad', 'c']
  const answers = await Promise.allSettled(jobs.map((id) => store.pins.pin(request(id))))
  t.same(
    answers.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled', 'rejected', 'fulfilled'],
  )
})

t.test('a wrong password is told, and not shown', async (t) => {
  const server = await startRedis({ settings: { requirepass: 'the-right-one' } })
  t.teardown(() => server.stop())
  const store = await open(t, server.url.replace('redis://', 'redis://:hunter2@'))
  const error = await until('the refusal is known', () =>
    store
      .ping()
      .catch((error: unknown) => isGatewayError(error) && error.fields.detail.includes('password') && error),
  )
  t.match(error, { code: 'store_unavailable', fields: { detail: /refuses our user name or password/ } })
  t.notMatch(
    JSON.stringify([error, String(error), (error as Error).stack, String((error as Error).cause)]),
    'hunter2',
  )
  const right = await open(t, server.url.replace('redis://', 'redis://:the-right-one@'))
  await right.ping()
})

t.test('what is not a URL of Redis is refused without being shown', async (t) => {
  for (const url of ['not a url hunter2', 'http://:hunter2@127.0.0.1', '']) {
    const error = await openRedisStore({ url, fleet: 'default', life, commandTimeoutMs }).catch(
      (error: unknown) => error,
    )
    t.type(error, TypeError)
    t.notMatch(JSON.stringify([error, (error as Error).message]), 'hunter2')
  }
})

t.test('close leaves nothing open, connected or not, once or twice', async (t) => {
  const { server, raw } = await redisFor(t)
  const connected = () => raw.client('LIST').then((list) => String(list).trim().split('\n').length)
  const before = await connected()
  const store = await open(t, server.url)
  t.equal(await connected(), before + 1)
  await store.close()
  await store.close()
  await until('the connection is gone', async () => (await connected()) === before)
  await t.rejects(store.ping(), { code: 'store_unavailable' })
  const unconnected = await open(t, 'redis://127.0.0.1:1')
  await unconnected.close()
})

t.test('many calls at once share connections and writes', async (t) => {
  const { server } = await redisFor(t)
  const store = await open(t, server.url)
  await store.snapshots.publish(snapshot(1, ['up-a', 'up-b']))
  const answers = await Promise.all(Array.from({ length: 500 }, (_, n) => store.pins.pin(request(`j-${n}`))))
  t.ok(answers.every(({ kind }) => kind === 'pinned'))
  t.same(
    await store.pins.counts(),
    new Map([
      ['up-a', 250],
      ['up-b', 250],
    ]),
  )
})
