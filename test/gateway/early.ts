import { once } from 'node:events'
import t, { type Test } from 'tap'
import { holdEarly } from '../../src/gateway/early.ts'
import { readBytes, readToEnd } from '../fixtures/raw-answer.ts'
import { socketPair } from '../fixtures/socket-pair.ts'
import { until } from '../fixtures/until.ts'

const limit = 1024
const none = Buffer.alloc(0)

async function setUp(t: Test, head: Buffer | string = none, maxBytes = limit) {
  const pair = await socketPair()
  t.teardown(pair.close)
  let gone = 0
  const early = holdEarly(pair.near, Buffer.from(head), maxBytes, () => (gone += 1))
  return { client: pair.far, near: pair.near, early, gone: () => gone }
}

t.test('the bytes behind the head and those that came later are kept, in order', async (t) => {
  const { client, near, early, gone } = await setUp(t, 'a')
  client.write('b')
  await until('b has come', () => near.bytesRead === 1)
  client.write('c')
  await until('c has come', () => near.bytesRead === 2)
  t.equal(Buffer.concat(early.take()).toString(), 'abc')
  t.equal(gone(), 0)
})

t.test('nothing is kept where nothing came', async (t) => {
  const { early } = await setUp(t)
  t.same(early.take(), [])
})

t.test('once taken, later bytes are left to the next reader', async (t) => {
  const { client, near, early } = await setUp(t)
  const taken = early.take()
  t.ok(near.isPaused())
  client.write('later')
  t.equal((await readBytes(near, 5)).toString(), 'later')
  t.same(taken, [])
})

t.test('at the limit the client has to wait, and nothing is lost', async (t) => {
  const bytes = Buffer.alloc(16 * 1024 * 1024, 'x')
  const { client, near, early } = await setUp(t)
  client.write(bytes)
  await until(
    'the limit is reached',
    () => near.isPaused() && near.readableLength >= near.readableHighWaterMark,
  )
  const held = Buffer.concat(early.take())
  t.ok(held.length >= limit && held.length <= limit + 64 * 1024, `${held.length} bytes were held`)
  t.ok(client.writableLength > 0, 'the client waits')
  t.ok(near.bytesRead < 512 * 1024, `${near.bytesRead} bytes were read`)
  client.end()
  t.equal(held.length + (await readToEnd(near)).length, bytes.length)
})

t.test('a head that is long already fills it', async (t) => {
  const { near } = await setUp(t, Buffer.alloc(limit))
  t.ok(near.isPaused())
})

t.test('a client that leaves is heard of', async (t) => {
  t.test('by a reset', async (t) => {
    const { client, gone } = await setUp(t, 'hello')
    client.resetAndDestroy()
    await until('it was heard', () => gone() > 0)
    t.equal(gone(), 1)
  })

  t.test('by an end, if it has not said a byte for the tunnel', async (t) => {
    const { client, gone } = await setUp(t)
    client.end()
    await until('it was heard', () => gone() > 0)
    t.equal(gone(), 1)
  })
})

t.test('a half-close behind bytes for the tunnel is no leaving', async (t) => {
  const { client, near, early, gone } = await setUp(t)
  client.end('request')
  await once(near, 'end')
  t.equal(gone(), 0)
  t.equal(Buffer.concat(early.take()).toString(), 'request')
})

t.test('after the bytes were taken nobody is told of anything', async (t) => {
  const { client, near, early, gone } = await setUp(t)
  early.take()
  client.resetAndDestroy()
  near.resume()
  await new Promise((resolve) => near.on('error', () => {}).once('close', resolve))
  t.equal(gone(), 0)
  t.equal(near.listenerCount('data') + near.listenerCount('end'), 1, "only node:net's own listener is left")
})
