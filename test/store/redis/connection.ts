// A connection that finds its way back; test/store/redis/client.ts has what the store makes of it.

import dns from 'node:dns'
import t from 'tap'
import type { Test } from 'tap'
import { openConnection } from '../../../src/store/redis/connection.ts'
import { startFaultProxy } from '../../fixtures/fault-proxy.ts'
import { redisFor } from '../../fixtures/redis-under-test.ts'
import { startRedis } from '../../fixtures/redis.ts'
import { until } from '../../fixtures/until.ts'

function open(t: Test, url: string, commandTimeoutMs = 250) {
  const connection = openConnection({ servers: { url }, key: 'k', commandTimeoutMs })
  t.teardown(() => connection.close())
  return connection
}

t.test('a handshake that is not answered is given up and begun again', async (t) => {
  const { server } = await redisFor(t)
  const proxy = await startFaultProxy({ host: '127.0.0.1', port: server.port })
  t.teardown(() => proxy.stop())
  proxy.stall('down')
  const connection = open(t, `redis://127.0.0.1:${proxy.port}`, 50)
  await until('it tried again', () => proxy.taken() >= 3)
  t.notOk(connection.isReady)
  proxy.heal()
  await until('it is there', () => connection.isReady)
})

t.test('its number is raised before commands may reach another server', async (t) => {
  const { server } = await redisFor(t)
  const connection = open(t, server.url)
  const seen: number[] = []
  connection.onReady(() => seen.push(connection.number))
  for (let n = 1; n <= 3; n++) {
    await until('it is there', () => seen.length === n)
    t.ok(connection.isReady)
    connection.drop()
    t.notOk(connection.isReady)
  }
  t.same(
    seen,
    [...new Set(seen)].toSorted((a, b) => a - b),
  )
})

/** Row 54. The system's resolver cannot be told what to say, so it is replaced where the driver's sockets ask it. */
t.test('a name that stops resolving, and comes back as another address, is resolved anew', async (t) => {
  const first = await startRedis({ settings: { bind: '127.0.0.1' } })
  t.teardown(() => first.stop())
  const second = await startRedis({ port: first.port, settings: { bind: '127.0.0.2' } })
  t.teardown(() => second.stop())
  let address: string | null = null
  const { lookup } = dns
  t.teardown(() => {
    dns.lookup = lookup
  })
  const lookupInstead = (
    name: string,
    options: dns.LookupAllOptions,
    done: (...answer: unknown[]) => void,
  ) => {
    if (name !== 'redis.test') return lookup(name, options, done)
    if (address === null)
      return done(Object.assign(new Error('getaddrinfo ENOTFOUND'), { code: 'ENOTFOUND' }))
    if (options.all) return done(null, [{ address, family: 4 }])
    return done(null, address, 4)
  }
  dns.lookup = lookupInstead as unknown as typeof dns.lookup
  const connection = open(t, `redis://redis.test:${first.port}`)
  const isAt = async (bind: string) =>
    String(await connection.redis.config('GET', 'bind').catch(() => '')).includes(bind)
  await until('it is known that there is no such name', () => connection.lostBy !== null)
  t.match(connection.lostBy, { code: 'ENOTFOUND' })
  address = '127.0.0.1'
  await until('it is at the first', () => isAt('127.0.0.1'))
  address = null
  await first.stop()
  await until('it is lost', () => (connection.lostBy as { code?: string } | null)?.code === 'ENOTFOUND')
  address = '127.0.0.2'
  await until('it is at the second', () => isAt('127.0.0.2'))
})

t.test('closing ends it at once, whatever it is at', async (t) => {
  const { server } = await redisFor(t)
  const proxy = await startFaultProxy({ host: '127.0.0.1', port: server.port })
  t.teardown(() => proxy.stop())
  proxy.stall('down')
  const cases: [name: string, url: string, event: string][] = [
    ['connecting', server.url, 'connecting'],
    ['shaking hands', `redis://127.0.0.1:${proxy.port}`, 'connect'],
    ['ready', server.url, 'ready'],
    ['waiting to reconnect', 'redis://127.0.0.1:1', 'reconnecting'],
    ['looking for a primary', `redis+sentinel://127.0.0.1:${proxy.port}/main`, 'connecting'],
    ['waiting to look again', 'redis+sentinel://127.0.0.1:1/main', 'end'],
  ]
  for (const [name, url, event] of cases) {
    const connection = openConnection({ servers: { url }, key: 'k', commandTimeoutMs: 5000 })
    await new Promise((resolve) => connection.redis.once(event, resolve))
    const startMs = performance.now()
    await connection.close()
    await connection.close()
    t.ok(performance.now() - startMs < 2000, name)
    const { number } = connection
    await new Promise((resolve) => setTimeout(resolve, 100))
    t.equal(connection.number, number, `${name}: and it stays closed`)
  }
})

t.test('what is no URL of Redis is refused without being shown', async (t) => {
  try {
    openConnection({ servers: { url: 'redis://:hunter2 @h' }, key: 'k', commandTimeoutMs: 250 })
    t.fail('opened')
  } catch (error) {
    t.type(error, TypeError)
    t.match((error as Error).message, /without spaces/)
    t.notMatch(String(error), /hunter2/)
  }
})
