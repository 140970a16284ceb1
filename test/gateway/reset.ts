import { once } from 'node:events'
import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import { endInOrder, reset } from '../../src/gateway/reset.ts'
import { pseudoRandomBytes } from '../fixtures/pseudo-random.ts'
import { readBytes, readToEnd } from '../fixtures/raw-answer.ts'
import { links } from '../fixtures/tls/links.ts'
import { tlsPair } from '../fixtures/tls/pair.ts'
import { until } from '../fixtures/until.ts'

/** What the kernel takes on loopback without anybody reading is well below this. */
const more = 32 * 1024 * 1024

for (const [name, connect] of Object.entries(links)) {
  async function setUp(t: Test) {
    const pair = await connect()
    t.teardown(pair.close)
    return pair
  }

  t.test(`over ${name}`, async (t) => {
    t.test('a reset is one, and closes this side', async (t) => {
      const { near, far, tcp } = await setUp(t)
      near.write('half an answ')
      await readBytes(far, 12)
      const closed = once(near, 'close')
      reset(near)
      reset(near)
      t.equal(await resetOf(far), 'ECONNRESET')
      await closed
      t.ok(tcp.near.destroyed)
    })

    t.test('a reset is one though bytes wait to be sent', async (t) => {
      const { near, far } = await setUp(t)
      near.write(pseudoRandomBytes(more))
      await until('the way is full', () => near.writableNeedDrain)
      const closed = once(near, 'close')
      reset(near)
      t.equal(await resetOf(far), 'ECONNRESET')
      await closed
    })

    t.test('one that is closed is left alone', async (t) => {
      const { near } = await setUp(t)
      near.destroy()
      await once(near, 'close')
      reset(near)
      endInOrder(near)
    })

    // Node 24.21 leaks the descriptor of a socket that is reset in this moment.
    t.test('one that says its end just now is closed', async (t) => {
      const { near, far, tcp } = await setUp(t)
      near.end()
      // node:stream asks for the end in the next turn.
      await new Promise<void>((resolve) => process.nextTick(() => process.nextTick(resolve)))
      t.notOk(near.writableFinished)
      const closed = Promise.all([near, tcp.near].map((socket) => once(socket, 'close')))
      reset(near)
      await closed
      far.resume()
      await once(far, 'end')
    })

    t.test('an end in good order is one', async (t) => {
      const { near, far } = await setUp(t)
      near.write('whole')
      await readBytes(far, 5)
      endInOrder(near)
      t.equal((await readToEnd(far)).length, 0)
      await until('it is closed', () => near.destroyed)
    })

    t.test('so is one whose end was said before', async (t) => {
      const { near, far } = await setUp(t)
      near.end('whole')
      t.equal((await readToEnd(far)).toString(), 'whole')
      endInOrder(near)
      t.ok(near.destroyed)
    })
  })
}

t.test('a reset while OpenSSL is at work', async (t) => {
  const { near, close } = await tlsPair(reset)
  t.teardown(close)
  await until('it is closed', () => near.destroyed)
})

t.test('an end in good order says close_notify', async (t) => {
  const { near, tcp, close } = await tlsPair()
  t.teardown(close)
  const bytes = () => tcp.near.bytesWritten
  const before = bytes()
  endInOrder(near)
  await once(near, 'close')
  // An alert of TLS 1.3: a head of 5 bytes, 2 of alert, 1 of type and 16 of seal.
  t.equal(bytes() - before, 24)
})

t.test('a client that takes no close_notify is cut off', async (t) => {
  const { near, far, close } = await tlsPair()
  t.teardown(close)
  far.pause()
  near.write(pseudoRandomBytes(more))
  await until('the way is full', () => near.writableNeedDrain)
  endInOrder(near)
  t.notOk(near.destroyed)
  await until('it is closed', () => near.destroyed)
})

/** A socket that is not read from never hears of a reset. */
async function resetOf(socket: Socket): Promise<string | undefined> {
  socket.resume()
  const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException]
  return error.code
}
