// What this process was late for came in time (fault 40): timers run before sockets are read, so after a stall all that
// arrived meanwhile looks as if it were missing. Nobody is told that he was too slow, and nothing is closed, for our lag.

import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import t, { type Test } from 'tap'
import type { GatewaySettings } from '../../src/gateway/settings.ts'
import { startGateway } from '../fixtures/gateway.ts'
import { holdTunnel } from '../fixtures/held-tunnel.ts'
import { listen } from '../fixtures/listen.ts'
import { readAnswer, readBytes } from '../fixtures/raw-answer.ts'
import { basic, getThrough, openSocket } from '../fixtures/raw-client.ts'
import { establishing, saying, established, startScriptedUpstream } from '../fixtures/scripted-upstream.ts'
import { stall } from '../fixtures/stall.ts'
import { pathOf, pemOf } from '../fixtures/tls/files.ts'
import { until } from '../fixtures/until.ts'

const target = 'localhost:443'
const lines = ['CONNECT localhost:443 HTTP/1.1', `Proxy-Authorization: ${basic('job-1:x')}`, '', '']
const head = lines.join('\r\n')

async function setUp(t: Test, settings: Partial<GatewaySettings>, script = establishing()) {
  const upstream = await startScriptedUpstream(script)
  t.teardown(upstream.stop)
  const { stop, ...gateway } = await startGateway({ upstreams: [upstream], settings })
  t.teardown(() => stop())
  const open = async () => {
    const socket = await openSocket(gateway)
    t.teardown(() => socket.destroy())
    return socket
  }
  return { ...gateway, open }
}

/** What was sent is read; and of what comes next timers are the first. */
async function soon(): Promise<void> {
  await delay(50)
  await turn()
}

t.test('the rest of a head that came while we stood still', async (t) => {
  const { open } = await setUp(t, { headTimeoutMs: 600 })
  const socket = await open()
  socket.write(head.slice(0, 50))
  await soon()
  socket.write(head.slice(50))
  stall(1200)
  t.equal((await readAnswer(socket, 'CONNECT')).status, 200)
})

t.test('a head that did not come is too slow all the same', async (t) => {
  const { open } = await setUp(t, { headTimeoutMs: 600 })
  const socket = await open()
  socket.write(head.slice(0, 50))
  await soon()
  stall(1200)
  t.equal((await readAnswer(socket, 'GET')).status, 408)
})

t.test('a request on a connection that would have been idle for too long', async (t) => {
  const { gatewayPort, open } = await setUp(t, { keepAliveMs: 50 })
  const ask = { gatewayPort, url: '/v1/job', userinfo: 'job-1:x' }
  const { socket } = await getThrough({ ...ask, socket: await open() })
  // Node waits a second longer than it says to clients.
  const answered = getThrough({ ...ask, socket })
  stall(1300)
  t.equal((await answered).status, 404, 'the job has no pin, and that is told')
  await once(socket, 'end')
  t.pass('and after that it is closed as ever')
})

t.test('a byte in a tunnel that would have been idle for too long', async (t) => {
  const { gatewayPort, gateway } = await setUp(t, { tunnelIdleMs: 600 })
  const tunnel = await holdTunnel({ gatewayPort }, { target, userinfo: 'job-1:x' })
  t.teardown(tunnel.close)
  const carried = tunnel.carries()
  stall(1000)
  await carried
  t.equal(gateway.tunnels.count, 1)
})

t.test('the answer to an upgrade', async (t) => {
  const answer = 'HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'
  const script = saying(established, ({ socket }) => {
    socket.once('data', () => {
      socket.write(answer)
      stall(700)
    })
    socket.resume()
  })
  const { open } = await setUp(t, { replyTimeoutMs: 300 }, script)
  const socket = await open()
  socket.write(
    'GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\nX-Job-Id: job-1\r\nConnection: Upgrade\r\n' +
      'Upgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n',
  )
  t.match((await readBytes(socket, 12)).toString(), 'HTTP/1.1 101')
})

t.test('the rest of a TLS hello', async (t) => {
  const tls = { certificate: pathOf('gateway.pem'), key: pathOf('gateway.key'), clientCa: null }
  const { gatewayPort, gateway } = await setUp(t, { tls, headTimeoutMs: 1000 })
  /** In two parts, the second just before the stall. */
  const front = createServer((socket) => {
    const out = connect({ port: gatewayPort, host: '127.0.0.1', noDelay: true })
    for (const end of [socket, out]) end.on('error', () => end.destroy())
    socket.once('data', async (hello: Buffer) => {
      out.write(hello.subarray(0, 3))
      await until('it is there', () => gateway.connections === 1)
      await soon()
      out.write(hello.subarray(3))
      stall(1200)
      socket.pipe(out).pipe(socket)
    })
  })
  const { port, close } = await listen(front)
  t.teardown(close)
  const socket = connectTls({ host: '127.0.0.1', port, ca: pemOf('authority.pem') })
  t.teardown(() => socket.destroy())
  await once(socket, 'secureConnect')
  socket.write(head)
  t.equal((await readAnswer(socket, 'CONNECT')).status, 200)
})
