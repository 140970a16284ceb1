import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import { limitConnections } from '../../src/admin/connections.ts'
import { makeAdmin } from '../fixtures/admin.ts'
import { listen } from '../fixtures/listen.ts'
import { readAnswer } from '../fixtures/raw-answer.ts'
import { openSocket } from '../fixtures/raw-client.ts'
import { until } from '../fixtures/until.ts'

/** A server that holds two connections, and answers a GET of /slow when the test does. */
async function setUp(t: Test) {
  const waiting: ServerResponse[] = []
  const server = createServer((req, res) => {
    if (req.url === '/slow') waiting.push(res)
    else res.end('at once')
  })
  limitConnections(server, 2)
  const { port, close } = await listen(server)
  t.teardown(close)

  async function open(): Promise<Socket> {
    const accepted = once(server, 'connection')
    const socket = await openSocket({ gatewayPort: port })
    t.teardown(() => socket.destroy())
    await accepted
    return socket
  }
  async function openSlow(): Promise<Socket> {
    const before = waiting.length
    const socket = await open()
    socket.write('GET /slow HTTP/1.1\r\nHost: h\r\n\r\n')
    await until('it is under way', () => waiting.length > before)
    return socket
  }
  return { open, openSlow, waiting }
}

const closed = (socket: Socket) => {
  socket.on('error', () => {})
  socket.resume()
  return once(socket, 'end').then(() => 'closed')
}
const get = (socket: Socket) => {
  socket.write('GET / HTTP/1.1\r\nHost: h\r\n\r\n')
  return readAnswer(socket, 'GET').then(({ status }) => status)
}

t.test('one too many is served, and the oldest closed', async (t) => {
  const { open } = await setUp(t)
  const [first, second] = [await open(), await open()]
  const end = closed(first)
  const third = await open()
  t.equal(await end, 'closed')
  t.same([await get(second), await get(third)], [200, 200])
})

t.test('before an older one with a request under way', async (t) => {
  const { open, openSlow, waiting } = await setUp(t)
  const slow = await openSlow()
  const end = closed(await open())
  const third = await open()
  t.equal(await end, 'closed')
  t.equal(await get(third), 200)
  waiting[0]!.end('at last')
  t.equal((await readAnswer(slow, 'GET')).status, 200)
})

t.test('with a request under way on each, the oldest', async (t) => {
  const { open, openSlow } = await setUp(t)
  const slow = await openSlow()
  await openSlow()
  const end = closed(slow)
  t.equal(await get(await open()), 200)
  t.equal(await end, 'closed')
})

t.test('room is made once for each', async (t) => {
  const { open } = await setUp(t)
  const first = await open()
  const second = await open()
  const end = closed(first)
  first.end()
  await end
  const third = await open()
  t.same([await get(second), await get(third)], [200, 200])
})

t.test('the admin port holds fifty, and answers who comes then', async (t) => {
  const admin = makeAdmin(t)
  const { port } = await admin.listen({ host: '127.0.0.1', port: 0 })
  const held = () =>
    new Promise<number>((resolve) => admin.app.server.getConnections((_, count) => resolve(count)))
  for (let index = 0; index < 80; index++) {
    const socket = await openSocket({ gatewayPort: port })
    socket.on('error', () => {})
    t.teardown(() => socket.destroy())
  }
  const probe = await openSocket({ gatewayPort: port })
  t.teardown(() => probe.destroy())
  probe.write('GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n')
  t.equal((await readAnswer(probe, 'GET')).status, 200)
  await until('the others are closed', async () => (await held()) === 50)
})
