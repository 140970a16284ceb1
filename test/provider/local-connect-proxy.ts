import { once } from 'node:events'
import t, { type Test } from 'tap'
import { startConnectProxy, type ConnectProxy } from '../../src/provider/local-connect-proxy.ts'
import { accepts } from '../fixtures/accepts.ts'
import { pseudoRandomBytes } from '../fixtures/pseudo-random.ts'
import { readBytes, readToEnd } from '../fixtures/raw-answer.ts'
import { connectThrough, openSocket, sendRaw, type ConnectRequest } from '../fixtures/raw-client.ts'
import { startEchoTarget, startTcpTarget, type TcpTarget } from '../fixtures/tcp-target.ts'
import { until } from '../fixtures/until.ts'

t.test('it answers as Tinyproxy does: HTTP/1.0 200 without a body', async (t) => {
  const { head, rest } = await tunnel(t, await startProxy(t), await start(t, startEchoTarget()))
  t.equal(head, 'HTTP/1.0 200 Connection established\r\n\r\n')
  t.equal(rest.length, 0)
})

t.test('a CONNECT without Host (HTTP/1.0) is welcome', async (t) => {
  const echo = await start(t, startEchoTarget())
  t.equal((await tunnel(t, await startProxy(t), echo, { version: '1.0' })).status, 200)
})

t.test('bytes that come with the head arrive first', async (t) => {
  const echo = await start(t, startEchoTarget())
  const { socket } = await tunnel(t, await startProxy(t), echo, { early: 'early ' })
  socket.write('late')
  t.equal(String(await readBytes(socket, 10)), 'early late')
})

t.test('what it cannot serve is refused by status, and the slot is free again', async (t) => {
  const proxy = await startProxy(t)
  const cases: [bytes: string, status: number][] = [
    ['CONNECT 127.0.0.1:1 HTTP/1.1\r\n\r\n', 500],
    ['CONNECT nobody.invalid:443 HTTP/1.1\r\n\r\n', 500],
    ['CONNECT [::1]:1 HTTP/1.1\r\n\r\n', 500],
    ['CONNECT 127.0.0.1 HTTP/1.1\r\n\r\n', 400],
    ['CONNECT 127.0.0.1:0 HTTP/1.1\r\n\r\n', 400],
    ['CONNECT 127.0.0.1:65536 HTTP/1.1\r\n\r\n', 400],
    ['CONNECT u@127.0.0.1:1 HTTP/1.1\r\n\r\n', 400],
    ['GET http://127.0.0.1:1/ HTTP/1.1\r\n\r\n', 501],
    [`CONNECT ${'a'.repeat(20_000)}`, 400],
  ]
  for (const [bytes, status] of cases) {
    const answer = await sendRaw({ gatewayPort: proxy.port }, bytes)
    t.equal(answer.status, status, bytes.slice(0, 60))
    answer.socket.end()
  }
  await until('no client is left', () => proxy.clients() === 0)
})

t.test('each side may end its half and still be sent the rest', async (t) => {
  const proxy = await startProxy(t)
  const answering = await start(
    t,
    startTcpTarget(({ socket, received }) => {
      socket.once('end', () => socket.end(`heard ${received().length}`))
    }),
  )
  const first = await tunnel(t, proxy, answering)
  first.socket.end('hello')
  t.equal(String(await readToEnd(first.socket)), 'heard 5')

  const ending = await start(
    t,
    startTcpTarget(({ socket }) => void socket.end('bye')),
  )
  const second = await tunnel(t, proxy, ending)
  t.equal(String(await readToEnd(second.socket)), 'bye')
  second.socket.end('after your end')
  await until('the target heard it', () => String(ending.connections[0]?.received()) === 'after your end')
  await until('no client is left', () => proxy.clients() === 0)
})

t.test('a reset on one side is a reset on the other', async (t) => {
  const proxy = await startProxy(t)
  const target = await start(t, startTcpTarget())
  const { socket } = await tunnel(t, proxy, target)
  socket.resetAndDestroy()
  await until('the target is reset', () => target.connections[0]?.closed() === 'reset')

  const other = await tunnel(t, proxy, target)
  target.connections[1]?.socket.resetAndDestroy()
  await t.rejects(readToEnd(other.socket), { code: 'ECONNRESET' })
})

t.test('a client that does not read stops its target', async (t) => {
  const chunk = pseudoRandomBytes(1_048_576)
  let full = false
  const target = await start(
    t,
    startTcpTarget(({ socket }) => {
      const fill = () => {
        while (socket.write(chunk));
        full = true
      }
      socket.on('drain', fill)
      fill()
    }),
  )
  const { socket } = await tunnel(t, await startProxy(t), target)
  const sent = () => target.connections[0]?.socket.bytesWritten ?? 0
  let before = -1
  await until(
    'the target stops sending',
    () => {
      const stopped = full && sent() === before
      before = sent()
      return stopped
    },
    { everyMs: 100 },
  )
  t.ok(sent() < 32 * chunk.length, `${sent()} bytes were taken from it`)
  t.ok((await readBytes(socket, 3 * chunk.length)).equals(Buffer.concat([chunk, chunk, chunk])))
})

t.test('a client that goes in the middle of its head is forgotten', async (t) => {
  const proxy = await startProxy(t)
  const socket = await openSocket({ gatewayPort: proxy.port })
  socket.write('CONNECT 127.0.0.1:1')
  await until('it is being served', () => proxy.clients() === 1)
  socket.resetAndDestroy()
  await until('no client is left', () => proxy.clients() === 0)
})

t.test('those that wait for a slot are served in the order they came', async (t) => {
  const proxy = await startProxy(t, { maxClients: 1 })
  const echo = await start(t, startEchoTarget())
  const first = await tunnel(t, proxy, echo)
  const served: string[] = []
  const waiting = ['second', 'third'].map(async (name) => {
    const { socket } = await tunnel(t, proxy, echo)
    served.push(name)
    socket.destroy()
  })
  await until('both wait', () => proxy.waiting() === 2)
  t.equal(echo.connections.length, 1)
  first.socket.destroy()
  await Promise.all(waiting)
  t.strictSame(served, ['second', 'third'])
})

t.test('close resets what is open, and frees the port', async (t) => {
  const proxy = await startProxy(t)
  const target = await start(t, startTcpTarget())
  const { socket } = await tunnel(t, proxy, target)
  const closed = once(socket.resume(), 'error')
  await proxy.close()
  t.match(await closed, [{ code: 'ECONNRESET' }])
  await until('the target is reset', () => target.connections[0]?.closed() === 'reset')
  t.notOk(await accepts(proxy.port))
  await t.resolves(proxy.close())
})

async function startProxy(t: Test, { maxClients = 10 } = {}): Promise<ConnectProxy> {
  const proxy = await startConnectProxy({ host: '127.0.0.1', port: 0, maxClients, localAddress: null })
  t.teardown(() => proxy.close())
  return proxy
}

async function start(t: Test, starting: Promise<TcpTarget>): Promise<TcpTarget> {
  const target = await starting
  t.teardown(() => target.stop())
  return target
}

async function tunnel(
  t: Test,
  { port }: ConnectProxy,
  target: TcpTarget,
  more: Partial<ConnectRequest> = {},
) {
  const answer = await connectThrough({ gatewayPort: port, target: `${target.host}:${target.port}`, ...more })
  t.teardown(() => answer.socket.destroy())
  return answer
}
