// How many connections a gateway takes, of everybody and of one source; and that who is turned away is told so at
// once, can do nothing, and costs next to nothing (hostile inputs 0.10, A20, A21).

import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import type { GatewaySettings } from '../../src/gateway/settings.ts'
import { startGateway } from '../fixtures/gateway.ts'
import { readAnswer, readToEnd } from '../fixtures/raw-answer.ts'
import { connectThrough, openSocket } from '../fixtures/raw-client.ts'
import { establishing, startScriptedUpstream } from '../fixtures/scripted-upstream.ts'
import { until } from '../fixtures/until.ts'

const target = '127.0.0.1:443'

async function setUp(t: Test, settings: Partial<GatewaySettings> = {}) {
  const upstream = await startScriptedUpstream(establishing())
  t.teardown(upstream.stop)
  const { gatewayPort, gateway, facts, stop } = await startGateway({ upstreams: [upstream], settings })
  t.teardown(stop)

  async function openFrom(localAddress: string): Promise<Socket> {
    const socket = connect({ host: '127.0.0.1', port: gatewayPort, localAddress, allowHalfOpen: true })
    t.teardown(() => socket.destroy())
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject))
    socket.on('error', () => {})
    return socket
  }
  /** Connections that say nothing, once the gateway has taken them in or turned them away. */
  async function openIdle(count: number, localAddress = '127.0.0.1'): Promise<Socket[]> {
    const before = gateway.connections
    const sockets = await Promise.all(Array.from({ length: count }, () => openFrom(localAddress)))
    await until('they are all seen', () => gateway.connections >= before + count)
    return sockets
  }
  async function tunnelFrom(localAddress: string, job: string): Promise<number> {
    const socket = await openFrom(localAddress)
    socket.write(`CONNECT ${target} HTTP/1.1\r\nX-Job-Id: ${job}\r\n\r\n`)
    return (await readAnswer(socket, 'CONNECT')).status
  }
  const reasons = () => facts.of('connection_refused').map(({ reason }) => reason)
  return { upstream, gatewayPort, gateway, facts, openFrom, openIdle, tunnelFrom, reasons }
}

t.test('a gateway with all its connections says so at once, and serves again when one ends', async (t) => {
  const { gatewayPort, gateway, openIdle, tunnelFrom, reasons } = await setUp(t, { maxConnections: 5 })
  const idle = await openIdle(5)
  const socket = await openSocket({ gatewayPort })
  const answer = await readAnswer(socket, 'GET')
  t.equal(answer.status, 503, 'before it has said a word')
  t.match(answer.headers, {
    'proxy-status': 'lanekeeper; error=connection_limit_reached; details="overloaded"',
    'retry-after': '1',
    connection: 'close',
    'content-type': 'application/problem+json',
  })
  t.equal((await readToEnd(socket)).length, 0, 'closed in good order')
  t.same(reasons(), ['connections'])
  socket.destroy()
  idle[0]!.destroy()
  await until('two have ended', () => gateway.connections === 4)
  t.equal(await tunnelFrom('127.0.0.1', 'job-1'), 200)
})

t.test('a thousand idle connections of one source keep no other source out (A21)', async (t) => {
  const { gateway, openFrom, tunnelFrom, reasons } = await setUp(t, {
    maxConnections: 150,
    connectionsPerSource: 100,
  })
  let most = 0
  for (let n = 0; n < 1000; n++) {
    await openFrom('127.0.0.2')
    most = Math.max(most, gateway.connections)
  }
  await until('the rest is turned away', () => reasons().length === 900)
  t.equal(new Set(reasons()).size, 1)
  t.equal(reasons()[0], 'source')
  t.ok(most < 145, `nor does it stay: 100 have a place, 32 may read why they have none (${most} were open)`)
  t.equal(await tunnelFrom('127.0.0.3', 'job-1'), 200)
})

t.test('connections on which nothing whole has come yet have a limit of their own', async (t) => {
  const { openIdle, openFrom, tunnelFrom, reasons } = await setUp(t, { headsPerSource: 3 })
  const [slow] = await openIdle(3)
  const refused = await readAnswer(await openFrom('127.0.0.1'), 'GET')
  t.equal(refused.status, 429)
  t.match(refused.headers, { 'retry-after': '5', 'proxy-status': /details="rate_limited"/ })
  t.equal(await tunnelFrom('127.0.0.2', 'job-1'), 200, 'another source')
  slow!.write(`CONNECT ${target} HTTP/1.1\r\nX-Job-Id: job-2\r\n`)
  slow!.write('\r\n')
  t.equal((await readAnswer(slow!, 'CONNECT')).status, 200)
  t.equal(await tunnelFrom('127.0.0.1', 'job-3'), 200, 'its head has come')
  t.same(reasons(), ['heads'])
})

t.test('what ends before its head leaves no trace (A20)', async (t) => {
  const { gateway, openIdle, tunnelFrom } = await setUp(t, { headsPerSource: 2, headTimeoutMs: 200 })
  const [left, silent] = await openIdle(2)
  left!.destroy()
  const answer = await readAnswer(silent!, 'GET')
  t.equal(answer.status, 408)
  await until('both are closed', () => gateway.connections === 0)
  t.equal(gateway.admission.sources, 0)
  for (const job of ['job-1', 'job-2', 'job-3']) t.equal(await tunnelFrom('127.0.0.1', job), 200)
})

for (const [who, settings] of [
  ['one too many', { maxConnections: 1 }],
  ['a source that may not connect', { allowSources: ['192.0.2.0/24'] }],
] as const) {
  t.test(`${who} is not heard: nothing that it sends goes anywhere`, async (t) => {
    const { upstream, gateway, facts, openFrom, openIdle } = await setUp(t, settings)
    if (who === 'one too many') await openIdle(1)
    const requests = [
      `CONNECT ${target} HTTP/1.1\r\nX-Job-Id: job-1\r\n\r\nbytes`,
      'GET http://127.0.0.1/ HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Job-Id: job-1\r\n\r\n',
      'GET http://127.0.0.1/ HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Job-Id: job-1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n',
      'DELETE /v1/job HTTP/1.1\r\nHost: gateway\r\nX-Job-Id: job-1\r\n\r\n',
      'GET http://127.0.0.1/ HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Job-Id: job-1\r\nExpect: nothing\r\n\r\n',
      'no request at all\r\n\r\n',
    ]
    for (const request of requests) {
      const socket = await openFrom('127.0.0.1')
      const answer = await readAnswer(socket, 'GET')
      t.equal(answer.status, who === 'one too many' ? 503 : 407)
      socket.write(request)
      t.equal((await readToEnd(socket).catch(() => Buffer.alloc(0))).length, 0, 'one answer')
    }
    await until('they are closed', () => gateway.connections === (who === 'one too many' ? 1 : 0))
    t.equal(upstream.connections().accepted, 0)
    t.same(facts.of('pin_made'), [])
    t.same(facts.of('request_refused'), [])
  })
}

t.test('a connection that asks for credentials and is kept has one place', async (t) => {
  const { gateway, openFrom } = await setUp(t, { maxConnections: 2, headsPerSource: 1 })
  const socket = await openFrom('127.0.0.1')
  socket.write(`CONNECT ${target} HTTP/1.1\r\n\r\n`)
  t.equal((await readAnswer(socket, 'GET')).status, 407)
  socket.write(`CONNECT ${target} HTTP/1.1\r\nX-Job-Id: job-1\r\n\r\n`)
  t.equal((await readAnswer(socket, 'CONNECT')).status, 200)
  const other = await connectThrough({ gatewayPort: socket.remotePort!, target, userinfo: 'job-2:x' })
  t.equal(other.status, 200)
  other.socket.destroy()
  socket.destroy()
  await until('none is left', () => gateway.connections === 0 && gateway.admission.sources === 0)
})
