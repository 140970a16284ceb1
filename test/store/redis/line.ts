// Hostile inputs, rows 3 and 4: a Redis that is slow, silent or far behind costs a bounded wait and bounded memory.

import { createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { openConnection } from '../../../src/store/redis/connection.ts'
import { makeLine, maxOutstanding, type Line } from '../../../src/store/redis/line.ts'
import { startFaultProxy } from '../../fixtures/fault-proxy.ts'
import { listen } from '../../fixtures/listen.ts'
import { redisFor } from '../../fixtures/redis-under-test.ts'
import { until } from '../../fixtures/until.ts'

async function lineTo(t: Test, port: number, commandTimeoutMs: number) {
  const servers = { url: `redis://127.0.0.1:${port}` }
  const more = { enableAutoPipelining: true }
  const connection = openConnection({ servers, key: 'k', commandTimeoutMs, more })
  t.teardown(() => connection.close())
  await until('it is connected', () => connection.isReady)
  const line = makeLine({ connection, commandTimeoutMs, hide: (text) => text })
  const ping = () => line.ask(() => connection.redis.ping())
  return { connection, line, ping }
}

/** How a call ended, and after how long. */
async function outcomeOf(call: Promise<unknown>) {
  const startMs = performance.now()
  const detail = await call.then(
    () => 'fine',
    (error: { code: string; fields: { detail: string } }) => {
      if (error.code !== 'store_unavailable') throw error
      return error.fields.detail.replace('Redis cannot be used now: ', '')
    },
  )
  return { detail, tookMs: performance.now() - startMs }
}

async function works({ ping }: { ping: () => Promise<unknown> }): Promise<void> {
  await until('it works again', () =>
    ping().then(
      () => true,
      () => false,
    ),
  )
}

/** A few thousand calls at once, then more for as long as a slow Redis would need for its first answer. */
async function storm(line: Line, ping: () => Promise<unknown>) {
  const calls = Array.from({ length: maxOutstanding + 1000 }, () => outcomeOf(ping()))
  let most = line.outstanding
  const endMs = performance.now() + 1500
  while (performance.now() < endMs) {
    for (let n = 0; n < 20; n++) calls.push(outcomeOf(ping()))
    most = Math.max(most, line.outstanding)
    await delay(10)
  }
  const outcomes = await Promise.all(calls)
  return { most, outcomes }
}

const faults = [
  { name: 'five seconds slow', start: 'delay' },
  { name: 'a black hole', start: 'blackHole' },
  { name: 'silent, its connections standing', start: 'stall' },
] as const
for (const { name, start } of faults) {
  t.test(`a Redis that is ${name}: each call ends within its time, and what waits is bounded`, async (t) => {
    const { server } = await redisFor(t)
    const proxy = await startFaultProxy({ host: '127.0.0.1', port: server.port })
    t.teardown(() => proxy.stop())
    const { connection, line, ping } = await lineTo(t, proxy.port, 250)
    await ping()
    if (start === 'delay') proxy.delay(5000)
    else proxy[start]()
    const { most, outcomes } = await storm(line, ping)
    t.equal(most, maxOutstanding, 'no more than that wait')
    t.ok(outcomes.filter(({ detail }) => detail === 'too many calls wait for it.').length >= 1000)
    t.notOk(outcomes.some(({ detail }) => detail === 'fine'))
    const longestMs = Math.max(...outcomes.map(({ tookMs }) => tookMs))
    t.ok(longestMs < 2500, `${longestMs} ms; the limit is 250, on a machine of many with thousands of calls`)
    const atOnce = outcomes.slice(-20)
    t.ok(Math.max(...atOnce.map(({ tookMs }) => tookMs)) < 100, 'later ones fail without waiting')
    t.equal(line.outstanding, 0)
    t.equal(connection.redis.autoPipelineQueueSize, 0, 'and the driver holds nothing')
    proxy.heal()
    await works({ ping })
  })
}

t.test('an answer that came while we stood still counts', async (t) => {
  const { server } = await redisFor(t)
  const { connection, ping } = await lineTo(t, server.port, 100)
  const { number } = connection
  const beforeItIsSent = outcomeOf(ping())
  stall(400)
  t.equal((await beforeItIsSent).detail, 'fine')
  const behindIt = outcomeOf(ping())
  // The driver writes in an immediate, so the answer comes during the stall.
  setImmediate(() => setImmediate(() => stall(400)))
  t.equal((await behindIt).detail, 'fine')
  t.equal(connection.number, number, 'and nothing was dropped')
})

function stall(ms: number): void {
  const endMs = performance.now() + ms
  while (performance.now() < endMs);
}

t.test('what is being waited for when silence is noticed ends with it', async (t) => {
  const { server } = await redisFor(t)
  const proxy = await startFaultProxy({ host: '127.0.0.1', port: server.port })
  t.teardown(() => proxy.stop())
  const { connection, ping } = await lineTo(t, proxy.port, 500)
  const { number } = connection
  proxy.stall('down')
  const first = outcomeOf(ping())
  await delay(400)
  const second = await outcomeOf(ping())
  t.match(await first, { detail: 'it does not answer in time.' })
  t.match(second.detail, /no connection/)
  t.ok(second.tookMs < 400, `${second.tookMs} of 500 ms`)
  proxy.heal()
  await until('there is another connection', () => connection.number > number && connection.isReady)
})

t.test(
  'slow but not silent: the connection stays, and after three timeouts calls fail at once',
  async (t) => {
    const dripping = await startDrippingRedis(t)
    const { connection, ping } = await lineTo(t, dripping.port, 200)
    const { number } = connection
    for (let n = 0; n < 3; n++) t.match(await outcomeOf(ping()), { detail: 'it does not answer in time.' })
    const refused = await outcomeOf(ping())
    t.match(refused, { detail: 'it is too slow.' })
    t.ok(refused.tookMs < 100)
    t.equal(connection.number, number)
    const looks = await until('one may look', async () => {
      const outcomes = await Promise.all([outcomeOf(ping()), outcomeOf(ping()), outcomeOf(ping())])
      const details = outcomes.map(({ detail }) => detail)
      return details.includes('it does not answer in time.') && details
    })
    t.same(looks, ['it does not answer in time.', 'it is too slow.', 'it is too slow.'])
    dripping.finish()
    await works({ ping })
    t.equal(connection.number, number)
  },
)

/** Its answer to the first PING has no end until it is told to finish; then it owes the others theirs. */
async function startDrippingRedis(t: Test): Promise<{ port: number; finish: () => void }> {
  let owed = 0
  let isFast = false
  let finish = () => {}
  const server = createServer((socket) => {
    const drip = setInterval(() => owed > 0 && socket.write('.'), 20)
    socket.once('close', () => clearInterval(drip))
    socket.on('data', (chunk: Buffer) => {
      const text = chunk.toString()
      if (/info/i.test(text)) return void socket.write('$11\r\nrole:master\r\n')
      const pings = text.match(/ping/gi)?.length ?? 0
      if (isFast) return void socket.write('+PONG\r\n'.repeat(pings))
      if (owed === 0) socket.write('+')
      owed += pings
    })
    finish = () => {
      clearInterval(drip)
      isFast = true
      socket.write(`\r\n${'+PONG\r\n'.repeat(owed - 1)}`)
    }
  })
  const { port, close } = await listen(server)
  t.teardown(close)
  return { port, finish: () => finish() }
}

t.test('errors of Redis are answers: they break nothing', async (t) => {
  const { server } = await redisFor(t)
  const { connection, line, ping } = await lineTo(t, server.port, 1000)
  for (let n = 0; n < 20; n++)
    t.match(await outcomeOf(line.ask(() => connection.redis.call('NOSUCH'))), { detail: 'it answered ERR.' })
  t.equal((await outcomeOf(ping())).detail, 'fine')
})

t.test('nothing is queued: what was asked as the connection broke is not sent by the next one', async (t) => {
  const { server, raw } = await redisFor(t)
  const { connection, line, ping } = await lineTo(t, server.port, 1000)
  const lost = outcomeOf(line.ask(() => connection.redis.set('k', 'v')))
  connection.drop()
  t.match((await lost).detail, /no connection/)
  t.match((await outcomeOf(line.ask(() => connection.redis.set('k', 'v')))).detail, /no connection/)
  await works({ ping })
  t.equal(await raw.get('k'), null)
})

t.test('what throws before it is sent is told too', async (t) => {
  const { server } = await redisFor(t)
  const { line } = await lineTo(t, server.port, 1000)
  const broken = line.ask(() => {
    throw new Error('broken')
  })
  await t.rejects(broken, { code: 'store_unavailable' })
  t.equal(line.outstanding, 0)
})
