// What the parts do only together, through the gateway's own verbs. The roads of a request: test/integration.

import { once } from 'node:events'
import type { Socket } from 'node:net'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { GatewayError } from '../../src/errors.ts'
import { makeMemoryFeed } from '../../src/store/memory/feed.ts'
import { openMemoryStore } from '../../src/store/memory/memory.ts'
import type { TrafficStore } from '../../src/store/store.ts'
import { startGateway } from '../fixtures/gateway.ts'
import { readAnswer, readBytes, readToEnd } from '../fixtures/raw-answer.ts'
import { connectThrough, getThrough, openSocket } from '../fixtures/raw-client.ts'
import {
  established,
  establishing,
  startScriptedUpstream,
  stayingSilent,
  type Script,
  type ScriptedUpstream,
} from '../fixtures/scripted-upstream.ts'
import { until } from '../fixtures/until.ts'

const life = { idleMs: 600_000, maxLifeMs: 86_400_000 }
const target = 'localhost:443'
const asJob = (id: string) => ({ target, headers: { 'X-Job-Id': id } })

t.test('what is missing before a job can be served', async (t) => {
  const store = openMemoryStore({ life, now: Date.now })
  let isDown = false
  const beat: TrafficStore['heartbeats']['beat'] = async (report) => {
    if (isDown) throw new GatewayError('store_unavailable', { detail: 'away' })
    return store.heartbeats.beat(report)
  }
  const gateway = await startGateway({ store: { ...store, heartbeats: { ...store.heartbeats, beat } } })
  t.teardown(() => gateway.stop())
  t.strictSame(gateway.gateway.missing(), ['no fleet is loaded yet'])
  await gateway.publish({ upstreams: [{ port: 1 }] })
  t.strictSame(gateway.gateway.missing(), [])
  isDown = true
  await gateway.gateway.beat()
  t.strictSame(gateway.gateway.missing(), ['the store of pins does not answer'])
  isDown = false
  await gateway.gateway.beat()
  t.strictSame(gateway.gateway.missing(), [])
  await gateway.stop()
  t.strictSame(gateway.gateway.missing(), ['this gateway is stopping'])
})

t.test('a process that stood still is not ready, and soon again', async (t) => {
  const { gateway, stop } = await startGateway({ upstreams: [{ port: 1 }], settings: { maxLagMs: 200 } })
  t.teardown(() => stop())
  const endMs = performance.now() + 500
  while (performance.now() < endMs);
  t.match(gateway.missing(), [/^this process comes to its work \d+ ms too late$/])
  await until('it is', () => gateway.missing().length === 0)
})

/** In a thread of its own, so that they come while this one stands still. */
const manyClients = `
  const { connect } = require('node:net')
  const { parentPort, workerData: { port, count, came } } = require('node:worker_threads')
  const answers = []
  for (let client = 0; client < count; client++) {
    const socket = connect(port, '127.0.0.1', () => {
      socket.write('CONNECT localhost:443 HTTP/1.1\\r\\nX-Job-Id: job-' + client + '\\r\\n\\r\\n')
      if (Atomics.add(came, 0, 1) + 1 === count) Atomics.notify(came, 0)
    })
    const answer = (said) => {
      socket.destroy()
      if (answers.push(said) === count) parentPort.postMessage(answers)
    }
    socket.once('data', (bytes) => answer(String(bytes).slice(0, 12)))
    socket.once('end', () => answer('an end'))
    socket.once('error', (error) => answer(error.code))
  }
`

t.test('a stop serves those whom the kernel has taken already', async (t) => {
  const upstream = await startReading(establishing())
  t.teardown(upstream.stop)
  const { gateway, port, stop } = await startGateway({ upstreams: [upstream] })
  t.teardown(() => stop())
  const count = 60
  const came = new Int32Array(new SharedArrayBuffer(4))
  const clients = new Worker(manyClients, { eval: true, workerData: { port, count, came } })
  t.teardown(() => clients.terminate())
  const answered = once(clients, 'message')
  while (Atomics.load(came, 0) < count) Atomics.wait(came, 0, Atomics.load(came, 0), 50)
  t.equal(gateway.connections, 0, 'nobody was looked at yet')
  const stopped = stop(AbortSignal.timeout(20_000))
  const [answers] = (await answered) as [string[]]
  t.same([...new Set(answers)], ['HTTP/1.1 200'])
  await stopped
})

t.test('from the stop on an answer is the last of its connection', async (t) => {
  const { gatewayPort, gateway, stop } = await startGateway({
    upstreams: [{ port: 1 }],
    settings: { stopGraceMs: 60_000 },
  })
  const over = new AbortController()
  const ask = (socket?: Socket) =>
    getThrough({ gatewayPort, url: '/v1/job', userinfo: 'job-1:x', ...(socket && { socket }) })
  const before = await ask()
  t.not(before.headers.connection, 'close')
  const stopped = stop(over.signal)
  t.same(gateway.missing(), ['this gateway is stopping'])
  for (const { status, headers, socket } of [await ask(before.socket), await ask()]) {
    socket.destroy()
    t.equal(status, 404, 'it is served still')
    t.equal(headers.connection, 'close')
  }
  over.abort()
  await stopped
})

t.test('a stop at its deadline resets what is open, records it, and signs off', async (t) => {
  const upstream = await startScriptedUpstream(establishing())
  t.teardown(upstream.stop)
  const store = openMemoryStore({ life, now: Date.now })
  const gateway = await startGateway({ store, upstreams: [upstream] })
  t.teardown(() => gateway.stop())
  const { socket } = await connectThrough({ ...gateway, ...asJob('job-1') })
  t.teardown(() => socket.destroy())
  const reset = readToEnd(socket)
  const stopped = gateway.stop(AbortSignal.abort())
  await t.rejects(reset, { code: 'ECONNRESET' })
  await stopped
  t.match(gateway.facts.of('tunnel_closed'), [{ endedBy: 'stop', job: { id: 'job-1' } }])
  t.equal((await store.pins.read('job-1'))?.freshBy, null, 'its last touches were sent')
  t.same(await store.heartbeats.list(), [])
  t.equal(gateway.gateway.tunnels.count, 0)
  t.equal(gateway.gateway.connections, 0)
  await until('the upstream is left too', () => upstream.connections().open === 0)
})

t.test('a stop waits for tunnels that end by themselves', async (t) => {
  const upstream = await startScriptedUpstream(establishing())
  t.teardown(upstream.stop)
  const gateway = await startGateway({ upstreams: [upstream] })
  t.teardown(() => gateway.stop())
  const { socket } = await connectThrough({ ...gateway, ...asJob('job-1') })
  t.teardown(() => socket.destroy())
  const stopped = gateway.stop(new AbortController().signal)
  socket.end('last words')
  t.equal((await readToEnd(socket)).toString(), 'last words')
  await stopped
  t.match(gateway.facts.of('tunnel_closed'), [{ endedBy: 'client', bytesUp: 10, bytesDown: 10 }])
})

t.test('a stop while a dial hangs leaves nothing behind', async (t) => {
  const upstream = await startScriptedUpstream(stayingSilent, {
    onAccept: (socket) => void socket.once('end', () => socket.end()),
  })
  t.teardown(upstream.stop)
  const gateway = await startGateway({ upstreams: [upstream] })
  t.teardown(() => gateway.stop())
  const left = connectThrough({ ...gateway, ...asJob('job-1') }).catch(() => null)
  await until('the upstream was asked', () => upstream.heads.length === 1)
  t.same([...gateway.gateway.load.own], [['up-1', 1]])
  const ended = once(gateway.facts.events, 'request_refused')
  await gateway.stop()
  await Promise.all([left, ended])
  await until('the upstream is left too', () => upstream.connections().open === 0)
  t.same([...gateway.gateway.load.own], [])
  t.match(gateway.facts.of('request_refused'), [{ status: 499, job: { id: 'job-1' } }])
})

t.test('two gateways on one store: a job has one upstream', async (t) => {
  const upstreams = await Promise.all([1, 2, 3].map(() => startScriptedUpstream(establishing())))
  for (const upstream of upstreams) t.teardown(upstream.stop)
  const store = openMemoryStore({ life, now: Date.now })
  const first = await startGateway({ store, upstreams, gatewayId: 'gw-1' })
  t.teardown(() => first.stop())
  const second = await startGateway({ store, gatewayId: 'gw-2' })
  t.teardown(() => second.stop())
  for (let i = 0; i < 6; i++) {
    const both = await Promise.all(
      [first, second].map((gateway) => connectThrough({ ...gateway, ...asJob(`job-${i}`) })),
    )
    const ids = both.map(({ headers }) => headers['x-upstream-id'])
    t.equal(ids[0], ids[1], `job-${i}`)
    for (const { socket } of both) socket.destroy()
  }
})

t.test('a pin that another gateway released is forgotten at once, one made since is not', async (t) => {
  const upstream = await startScriptedUpstream(establishing())
  t.teardown(upstream.stop)
  const feed = makeMemoryFeed()
  const gateway = await startGateway({
    store: { ...openMemoryStore({ life, now: Date.now }), feed },
    upstreams: [upstream],
  })
  t.teardown(() => gateway.stop())
  const { socket } = await connectThrough({ ...gateway, ...asJob('job-1') })
  t.teardown(() => socket.destroy())
  const { known } = gateway.gateway
  const { pinnedAtMs } = known.get('job-1')!
  feed.tell({ kind: 'released', jobId: 'job-1', pinnedAtMs: pinnedAtMs - 1 })
  t.ok(known.get('job-1'), 'the notice is of an older pin')
  feed.tell({ kind: 'released', jobId: 'job-1', pinnedAtMs })
  t.notOk(known.get('job-1'))
})

const webSocket = 'Connection: Upgrade\r\nUpgrade: websocket\r\n'
const switched = `HTTP/1.1 101 Switching Protocols\r\n${webSocket}\r\n`

/** Opens the tunnel, and says this to whatever comes through it. */
function answering(answer: string | Promise<string>): Script {
  return ({ socket }) => {
    socket.write(established)
    socket.once('data', async () => socket.write(await answer))
  }
}

/** It hears of our close, and closes then. */
function startReading(script: Script): Promise<ScriptedUpstream> {
  return startScriptedUpstream(
    (connection) => {
      connection.socket.resume()
      return script(connection)
    },
    { onAccept: (socket) => void socket.once('end', () => socket.end()) },
  )
}

/** As the raw client, of any road; answered with the head only. */
async function ask(gatewayPort: number, request: string) {
  const socket = await openSocket({ gatewayPort })
  socket.write(`${request} HTTP/1.1\r\nHost: localhost\r\nX-Job-Id: job-1\r\n`)
  return socket
}

t.test('an upstream that drains serves the jobs that it has, and gets no other', async (t) => {
  const upstreams = await Promise.all(['up-1', 'up-2'].map(() => startScriptedUpstream(establishing())))
  for (const upstream of upstreams) t.teardown(upstream.stop)
  const gateway = await startGateway({ upstreams })
  t.teardown(() => gateway.stop())
  const { socket, headers } = await connectThrough({ ...gateway, ...asJob('job-1') })
  t.teardown(() => socket.destroy())
  const drained = headers['x-upstream-id']
  await gateway.publish({
    upstreams: upstreams.map(({ port }, index) => ({
      port,
      state: `up-${index + 1}` === drained ? 'draining' : 'running',
    })),
  })
  socket.write('still here')
  t.equal((await readBytes(socket, 10)).toString(), 'still here')
  const again = await connectThrough({ ...gateway, ...asJob('job-1') })
  again.socket.destroy()
  t.equal(again.headers['x-upstream-id'], drained, 'its job comes back to it')
  for (let i = 2; i < 6; i++) {
    const other = await connectThrough({ ...gateway, ...asJob(`job-${i}`) })
    other.socket.destroy()
    t.not(other.headers['x-upstream-id'], drained)
  }
})

t.test('what is open through an upstream that leaves the fleet is reset at once', async (t) => {
  const roads: { name: string; answer: string; request: string }[] = [
    { name: 'connect', answer: 'half an answ', request: `CONNECT ${target}` },
    {
      name: 'http',
      answer: 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf an answ',
      request: 'GET http://localhost/',
    },
    { name: 'upgrade', answer: `${switched}half an answ`, request: 'GET http://localhost/' },
  ]
  for (const { name, answer, request } of roads) {
    t.test(name, async (t) => {
      const upstream = await startReading(answering(answer))
      t.teardown(upstream.stop)
      const gateway = await startGateway({ upstreams: [upstream] })
      t.teardown(() => gateway.stop())
      const socket = await ask(gateway.gatewayPort, request)
      t.teardown(() => socket.destroy())
      socket.write(name === 'upgrade' ? `${webSocket}\r\n` : '\r\n')
      if (name === 'connect') socket.write('hello')
      let heard = ''
      socket.on('data', (chunk) => (heard += String(chunk)))
      await until('half an answer has come', () => heard.endsWith('half an answ'))
      const ended = readToEnd(socket)
      await gateway.publish({ upstreams: [{ id: 'up-9', port: upstream.port }] })
      await t.rejects(ended, { code: 'ECONNRESET' })
      await until('the upstream is left too', () => upstream.connections().open === 0)
      t.match(gateway.facts.of('tunnel_closed'), [{ endedBy: 'drained', upstream: 'up-1' }])
      t.equal(gateway.gateway.tunnels.count, 0)
      const again = await connectThrough({ ...gateway, ...asJob('job-1') })
      again.socket.destroy()
      t.equal(again.status, 502)
      t.match(again.headers['proxy-status'], /pin_lost/)
    })
  }
})

t.test('an upstream that leaves the fleet takes nothing along that goes through others', async (t) => {
  const upstreams = await Promise.all([1, 2].map(() => startScriptedUpstream(establishing())))
  for (const upstream of upstreams) t.teardown(upstream.stop)
  const gateway = await startGateway({ upstreams })
  t.teardown(() => gateway.stop())
  const tunnels = await Promise.all(
    ['job-1', 'job-2'].map((id) => connectThrough({ ...gateway, ...asJob(id) })),
  )
  for (const { socket } of tunnels) t.teardown(() => socket.destroy())
  const [stays, left] = tunnels[0]!.headers['x-upstream-id'] === 'up-1' ? tunnels : tunnels.toReversed()
  const reset = readToEnd(left!.socket)
  await gateway.publish({ upstreams: [upstreams[0]!] })
  await t.rejects(reset, { code: 'ECONNRESET' })
  stays!.socket.write('still here')
  t.equal((await readBytes(stays!.socket, 10)).toString(), 'still here')
})

t.test('an upstream that leaves the fleet while it is dialled', async (t) => {
  t.test('by a new job: that gets another one', async (t) => {
    let letAnswer = () => {}
    const slow = await startReading(({ socket }) => {
      letAnswer = () => void socket.write(established)
    })
    t.teardown(slow.stop)
    const other = await startScriptedUpstream(establishing())
    t.teardown(other.stop)
    const gateway = await startGateway({ upstreams: [slow] })
    t.teardown(() => gateway.stop())
    const answered = connectThrough({ ...gateway, ...asJob('job-1') })
    await until('it is dialled', () => slow.heads.length === 1)
    await gateway.publish({ upstreams: [{ id: 'up-9', port: other.port }] })
    letAnswer()
    const { socket, headers } = await answered
    t.teardown(() => socket.destroy())
    t.equal(headers['x-upstream-id'], 'up-9')
    await until('the first is left', () => slow.connections().open === 0)
  })

  t.test('by a job that has had a tunnel: its pin is lost', async (t) => {
    let letAnswer = () => {}
    const upstream = await startReading((connection) => {
      if (connection.index === 0) return establishing()(connection)
      letAnswer = () => void connection.socket.write(established)
    })
    t.teardown(upstream.stop)
    const gateway = await startGateway({ upstreams: [upstream] })
    t.teardown(() => gateway.stop())
    const first = await connectThrough({ ...gateway, ...asJob('job-1') })
    first.socket.destroy()
    const answered = connectThrough({ ...gateway, ...asJob('job-1') })
    await until('it is dialled', () => upstream.heads.length === 2)
    await gateway.publish({ upstreams: [{ id: 'up-9', port: upstream.port }] })
    letAnswer()
    const { status, headers, socket } = await answered
    socket.destroy()
    t.equal(status, 502)
    t.match(headers['proxy-status'], /pin_lost/)
    await until('it is left', () => upstream.connections().open === 0)
  })

  t.test('by an upgrade that the target has not answered yet: its pin is lost', async (t) => {
    const answer = Promise.withResolvers<string>()
    const upstream = await startReading(answering(answer.promise))
    t.teardown(upstream.stop)
    const gateway = await startGateway({ upstreams: [upstream] })
    t.teardown(() => gateway.stop())
    const socket = await ask(gateway.gatewayPort, 'GET http://localhost/')
    t.teardown(() => socket.destroy())
    socket.write(`${webSocket}\r\n`)
    await until('the target is asked', () => upstream.bytesRead() > upstream.heads.join('').length)
    await gateway.publish({ upstreams: [{ id: 'up-9', port: upstream.port }] })
    answer.resolve(switched)
    const { status, headers } = await readAnswer(socket, 'GET')
    t.equal(status, 502)
    t.match(headers['proxy-status'], /pin_lost/)
    await until('its end is known', () => gateway.facts.of('tunnel_closed').length === 1)
    t.match(gateway.facts.of('tunnel_closed'), [{ endedBy: 'drained' }])
    await until('it is left', () => upstream.connections().open === 0)
  })
})

t.test('a store that has lost the fleet, or has an older one, closes nothing', async (t) => {
  const upstream = await startScriptedUpstream(establishing())
  t.teardown(upstream.stop)
  const open = () => openMemoryStore({ life, now: Date.now })
  let current = open()
  const store: TrafficStore = {
    ...current,
    snapshots: {
      publish: (snapshot) => current.snapshots.publish(snapshot),
      version: () => current.snapshots.version(),
      read: () => current.snapshots.read(),
    },
    heartbeats: { ...current.heartbeats, beat: (report) => current.heartbeats.beat(report) },
  }
  const gateway = await startGateway({ store })
  t.teardown(() => gateway.stop())
  await store.snapshots.publish({ version: 4, upstreams: [], restrictions: [] })
  await gateway.publish({ upstreams: [upstream] })
  const { socket } = await connectThrough({ ...gateway, ...asJob('job-1') })
  t.teardown(() => socket.destroy())
  for (const version of [0, 4, 5]) {
    current = open()
    await current.snapshots.publish({ version, upstreams: [], restrictions: [] })
    await gateway.gateway.fleet.refresh()
    await gateway.gateway.beat()
    t.equal(await current.snapshots.version(), 5, 'it is given back what it lost')
  }
  socket.write('still here')
  t.equal((await readBytes(socket, 10)).toString(), 'still here')
  t.equal(gateway.gateway.tunnels.count, 1)
})
