// Bytes that come before they are wanted, and clients that leave while we wait: nothing is lost, nothing
// crashes, nothing leaks.

import t, { type Test } from 'tap'
import { connect } from 'node:net'
import { startLanekeeper, type Lanekeeper } from '../fixtures/processes.ts'
import { readBytes } from '../fixtures/raw-answer.ts'
import { basic, connectThrough } from '../fixtures/raw-client.ts'
import { metric, openDescriptors } from '../fixtures/readings.ts'
import { startRedis } from '../fixtures/redis.ts'
import { establishing, startScriptedUpstream, type Script } from '../fixtures/scripted-upstream.ts'
import { until } from '../fixtures/until.ts'

const target = '127.0.0.1:4433'

async function startAll(t: Test, script: Script, env: { readonly [name: string]: string } = {}) {
  const upstream = await startScriptedUpstream(script)
  t.teardown(upstream.stop)
  const gateway = await startLanekeeper({
    PROVIDER: 'static',
    STATIC_UPSTREAMS: `127.0.0.1:${upstream.port}`,
    TARGET_PORTS: '*',
    ALLOW_PRIVATE_TARGETS: 'true',
    LOG_LEVEL: 'silent',
    ...env,
  })
  t.teardown(() => gateway.stop('SIGKILL'))
  return { upstream, gateway, gatewayPort: gateway.gatewayPort! }
}

const silentUntilLeft: Script = ({ socket }) => void socket.once('end', () => socket.end()).resume()

/** Sends a CONNECT and resets the connection a little later, at another moment each time. */
async function connectAndReset(gatewayPort: number, job: string, afterMs: number): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port: gatewayPort })
  socket.on('error', () => {})
  socket.write(`CONNECT ${target} HTTP/1.1\r\nProxy-Authorization: ${basic(`${job}:x`)}\r\n\r\n`)
  await new Promise((resolve) => setTimeout(resolve, afterMs))
  socket.resetAndDestroy()
}

async function backToStart(gateway: Lanekeeper, descriptors: number): Promise<void> {
  await until(
    'no client connection is left',
    async () => (await metric(gateway, 'lanekeeper_client_connections')) === 0,
  )
  await until('no tunnel is left', async () => (await metric(gateway, 'lanekeeper_upstream_tunnels')) === 0)
  await until(`the descriptors are back at ${descriptors}`, () => openDescriptors(gateway) <= descriptors)
}

t.test('bytes sent in the packet of the CONNECT arrive first, and in order', async (t) => {
  const { gatewayPort } = await startAll(t, establishing())
  const { status, socket } = await connectThrough({
    gatewayPort,
    target,
    userinfo: 'early-1:x',
    early: 'hello ',
  })
  t.teardown(() => socket.destroy())
  t.equal(status, 200)
  socket.write('world')
  t.equal((await readBytes(socket, 11)).toString(), 'hello world')
})

t.test('bytes glued to the 200 of the upstream arrive behind our 200', async (t) => {
  const { gatewayPort } = await startAll(t, establishing({ glued: 'SSH-2.0-banner\r\n' }))
  const { status, socket, head } = await connectThrough({ gatewayPort, target, userinfo: 'glued-1:x' })
  t.teardown(() => socket.destroy())
  t.equal(status, 200)
  t.notMatch(head, 'content-length')
  t.equal((await readBytes(socket, 16)).toString(), 'SSH-2.0-banner\r\n')
})

t.test('64 KiB and more of early bytes arrive whole', async (t) => {
  const { gatewayPort } = await startAll(t, establishing())
  const early = Buffer.alloc(300_000, 'abcdefghijk')
  const { status, socket } = await connectThrough({ gatewayPort, target, userinfo: 'early-2:x', early })
  t.teardown(() => socket.destroy())
  t.equal(status, 200)
  t.ok((await readBytes(socket, early.length)).equals(early))
})

t.test('clients that reset while their tunnel is dialled leave nothing behind', async (t) => {
  const { gateway, gatewayPort, upstream } = await startAll(t, silentUntilLeft)
  await metric(gateway, 'lanekeeper_known_pins')
  const descriptors = openDescriptors(gateway)
  await Promise.all(
    Array.from({ length: 40 }, (_, index) => connectAndReset(gatewayPort, `gone-${index}`, index * 5)),
  )
  await backToStart(gateway, descriptors)
  await until('the upstream has lost all its connections too', () => upstream.connections().open === 0)
  t.equal(gateway.child.exitCode, null, 'the gateway runs on')
})

t.test('clients that reset while we wait for Redis leave nothing behind', async (t) => {
  const redis = await startRedis()
  t.teardown(redis.stop)
  const { gateway, gatewayPort } = await startAll(t, establishing(), { REDIS_URL: redis.url })
  await metric(gateway, 'lanekeeper_known_pins')
  const descriptors = openDescriptors(gateway)
  process.kill(redis.pid, 'SIGSTOP')
  t.teardown(() => process.kill(redis.pid, 'SIGCONT'))
  await Promise.all(
    Array.from({ length: 40 }, (_, index) => connectAndReset(gatewayPort, `gone-${index}`, index * 5)),
  )
  const { status, headers, socket } = await connectThrough({ gatewayPort, target, userinfo: 'unknown:x' })
  socket.destroy()
  t.equal(status, 503, 'a job that nobody knows is refused while Redis is silent')
  t.match(headers['proxy-status'], /error=proxy_internal_error/)
  process.kill(redis.pid, 'SIGCONT')
  await until('a new job is served again', async () => {
    const answer = await connectThrough({ gatewayPort, target, userinfo: 'later:x' })
    answer.socket.destroy()
    return answer.status === 200
  })
  await backToStart(gateway, descriptors + 1)
  t.equal(gateway.child.exitCode, null, 'the gateway runs on')
})

t.test('a known job goes on while Redis is away, a new one is refused', async (t) => {
  const redis = await startRedis()
  t.teardown(redis.stop)
  const { gatewayPort } = await startAll(t, establishing(), { REDIS_URL: redis.url })
  const ask = async (job: string) => {
    const { status, socket, headers } = await connectThrough({ gatewayPort, target, userinfo: `${job}:x` })
    socket.destroy()
    return { status, upstream: headers['x-upstream-id'] }
  }
  const first = await ask('known')
  t.equal(first.status, 200)
  await redis.stop()
  t.strictSame(await ask('known'), first, 'the same upstream as before')
  t.equal((await ask('unknown')).status, 503)
})
