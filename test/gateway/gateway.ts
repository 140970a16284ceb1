// What the parts do only together, through the gateway's own verbs. The roads of a request: test/integration.

import { once } from 'node:events'
import t from 'tap'
import { GatewayError } from '../../src/errors.ts'
import { makeMemoryFeed } from '../../src/store/memory/feed.ts'
import { openMemoryStore } from '../../src/store/memory/memory.ts'
import type { TrafficStore } from '../../src/store/store.ts'
import { startGateway } from '../fixtures/gateway.ts'
import { readToEnd } from '../fixtures/raw-answer.ts'
import { connectThrough } from '../fixtures/raw-client.ts'
import { establishing, startScriptedUpstream, stayingSilent } from '../fixtures/scripted-upstream.ts'
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
