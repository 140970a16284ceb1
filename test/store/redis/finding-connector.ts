import { once } from 'node:events'
import t from 'tap'
import { Redis } from 'ioredis'
import type { Test } from 'tap'
import type { RedisServer } from '../../../src/redis-url.ts'
import { openConnection } from '../../../src/store/redis/connection.ts'
import { findingConnector, type View } from '../../../src/store/redis/finding-connector.ts'
import { redisFor } from '../../fixtures/redis-under-test.ts'
import { startRedis } from '../../fixtures/redis.ts'
import { until } from '../../fixtures/until.ts'

/** @param tell  what each server says, of those that are asked in turn */
function find(t: Test, servers: readonly string[], tell: (server: string) => View) {
  const asked: string[] = []
  const Connector = findingConnector({
    servers: servers.map((host) => ({ host, port: 1 })),
    login: {},
    patienceMs: 100,
    async ask(_redis, { host }: RedisServer) {
      asked.push(host)
      return tell(host)
    },
  })
  const redis = new Redis({ Connector, retryStrategy: () => 1, enableOfflineQueue: false })
  redis.on('error', () => {})
  t.teardown(() => redis.disconnect())
  return { asked, redis }
}

t.test('servers are asked in turn until one knows, each time from another one on', async (t) => {
  const { server } = await redisFor(t)
  const primary = { host: '127.0.0.1', port: server.port }
  const { asked, redis } = find(t, ['a', 'b', 'c'], (host) => {
    if (host === 'b') throw new Error('it does not know')
    return { primary, others: [{ host: 'd', port: 1 }], epoch: 0 }
  })
  for (const connects of [['a'], ['b', 'c'], ['c'], ['d']]) {
    await until('it is there', () => redis.status === 'ready')
    t.same(asked.splice(0), connects)
    const gone = once(redis, 'close')
    redis.stream.destroy()
    await gone
  }
})

t.test('an older view than one that was seen counts only where nobody has a newer one', async (t) => {
  const { server: old } = await redisFor(t)
  const { server: current } = await redisFor(t)
  const viewOf = ({ port }: { port: number }, epoch: number) => ({
    primary: { host: '127.0.0.1', port },
    others: [],
    epoch,
  })
  let views: { [host: string]: View } = { a: viewOf(current, 5), b: viewOf(old, 4) }
  const { asked, redis } = find(t, ['a', 'b'], (host) => views[host]!)
  const again = async () => {
    await until('it is there', () => redis.status === 'ready')
    const { port } = redis.options
    const gone = once(redis, 'close')
    redis.stream.destroy()
    await gone
    return port
  }
  t.equal(await again(), current.port)
  t.equal(await again(), current.port)
  t.same(asked, ['a', 'b', 'a'])
  // Sentinels that were all set up anew.
  views = { a: viewOf(old, 1), b: viewOf(current, 0) }
  t.equal(await again(), old.port)
  t.equal(await again(), old.port)
})

t.test('where nobody knows, the reason is that of the last one, and it is tried again', async (t) => {
  const { server } = await redisFor(t)
  const sentinel = await startRedis({ sentinel: [] })
  t.teardown(() => sentinel.stop())
  const url = `redis+sentinel://127.0.0.1:${sentinel.port}/main`
  const connection = openConnection({ servers: { url }, key: 'k', commandTimeoutMs: 250 })
  t.teardown(() => connection.close())
  await until('it is known', () => (connection.lostBy as { code?: string } | null)?.code !== undefined)
  t.match(connection.lostBy, { code: 'NOPRIMARY' })
  const raw = new Redis({ port: sentinel.port, host: '127.0.0.1' })
  t.teardown(() => raw.disconnect())
  await raw.call('SENTINEL', 'MONITOR', 'main', '127.0.0.1', server.port, 1)
  await until('it is found', () => connection.isReady)
})

t.test('an old primary that still answers is left once sentinels name another one', async (t) => {
  const { server: old, raw } = await redisFor(t)
  const { server: current } = await redisFor(t)
  const sentinel = await startRedis({ sentinel: [`sentinel monitor main 127.0.0.1 ${old.port} 1`] })
  t.teardown(() => sentinel.stop())
  const servers = { url: `redis+sentinel://127.0.0.1:${sentinel.port}/main` }
  const connection = openConnection({ servers, key: 'k', commandTimeoutMs: 250 })
  t.teardown(() => connection.close())
  await until('it is there', () => connection.isReady)
  const { number } = connection
  const rawSentinel = new Redis({ port: sentinel.port, host: '127.0.0.1' })
  t.teardown(() => rawSentinel.disconnect())
  await rawSentinel.call('SENTINEL', 'REMOVE', 'main')
  await rawSentinel.call('SENTINEL', 'MONITOR', 'main', '127.0.0.1', current.port, 1)
  await until('it is at the other one', async () => {
    const info = await connection.redis.info('server').catch(() => '')
    return info.includes(`tcp_port:${current.port}`)
  })
  t.ok(connection.number > number)
  t.equal(await raw.ping(), 'PONG', 'the old one had nothing to say of it')
})

t.test('closing while it looks ends at once', async (t) => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const Connector = findingConnector({
    servers: [{ host: '127.0.0.1', port: 1 }],
    login: {},
    patienceMs: 5000,
    async ask() {
      resolve()
      return new Promise<View>(() => {})
    },
  })
  const redis = new Redis({ Connector })
  redis.on('error', () => {})
  await promise
  redis.disconnect()
  t.equal(redis.status, 'connecting')
})
