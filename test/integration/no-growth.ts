// What a request leaves behind: nothing, or what is bounded. Thousands of jobs that are served and refused, then every
// count is where it was.

import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import { startGateway, type GatewayFixture } from '../fixtures/gateway.ts'
import { closedPort } from '../fixtures/listen.ts'
import { readAnswer } from '../fixtures/raw-answer.ts'
import { connectThrough, getThrough, openSocket, sendRaw, type Answer } from '../fixtures/raw-client.ts'
import { established, startScriptedUpstream, type Script } from '../fixtures/scripted-upstream.ts'
import { until } from '../fixtures/until.ts'

const known = 100
const atOnce = 50

/** Is target and upstream in one: opens the tunnel, answers any request in it, and ends when the other side does. */
const answering: Script = ({ socket }) => {
  socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'))
  socket.on('end', () => socket.end()).on('error', () => {})
  socket.write(established)
  socket.resume()
}

async function setUp(t: Test): Promise<GatewayFixture> {
  const upstream = await startScriptedUpstream(answering)
  t.teardown(upstream.stop)
  const started = await startGateway({
    // One that serves, and one that takes no connection.
    upstreams: [{ port: upstream.port }, { port: await closedPort(), labels: { is: 'gone' } }],
    restrictions: [
      {
        id: 'gone',
        kind: 'exclusive',
        type: 'gone',
        institution: '*',
        upstreams: { labels: { is: 'gone' } },
        overflow: false,
      } as never,
    ],
    guard: { ports: [80, 443] },
    settings: { knownPins: known, tunnelsPerJob: 4, tunnelsPerToken: 4 },
  })
  t.teardown(started.stop)
  return started
}

/** Everything that lives as long as the gateway and could grow with its requests. */
function sizes({ gateway, facts }: GatewayFixture) {
  const listeners = facts.events.eventNames().map((name) => facts.events.listenerCount(name))
  return {
    connections: gateway.connections,
    places: gateway.admission.connections,
    sources: gateway.admission.sources,
    tunnels: gateway.tunnels.count,
    taken: gateway.limits.taken,
    counted: gateway.limits.counted,
    seats: gateway.load.own.size,
    full: gateway.load.full.size,
    held: gateway.known.held.size,
    listeners: listeners.reduce((sum, count) => sum + count, 0),
    sockets: handles().filter((kind) => /^(TCPSocketWrap|TCPWrap|GetAddrInfo)/.test(kind)).length,
  }
}

function handles(): string[] {
  return process.getActiveResourcesInfo()
}

/** So many at a time: what they leave behind is asked for, not how many at once there may be. */
async function each(count: number, one: (index: number) => Promise<Answer>): Promise<Map<number, number>> {
  const statuses = new Map<number, number>()
  let next = 0
  const worker = async () => {
    for (let index = next++; index < count; index = next++) {
      const { status, socket } = await one(index)
      socket.destroy()
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  return statuses
}

t.test('thousands of jobs, served and refused, leave every count where it was', async (t) => {
  const started = await setUp(t)
  const { gatewayPort, gateway } = started
  const target = '127.0.0.1:443'
  const url = 'http://127.0.0.1/'
  const served = [
    (n: number) => connectThrough({ gatewayPort, target, userinfo: `job-${n}:x` }),
    (n: number) => getThrough({ gatewayPort, url, userinfo: `job-${n}:x` }),
  ]
  const refused = [
    () => connectThrough({ gatewayPort, target }),
    (n: number) => connectThrough({ gatewayPort, target: '127.0.0.1:22', userinfo: `no-${n}:x` }),
    (n: number) => connectThrough({ gatewayPort, target: `no-${n}.test:443`, userinfo: `no-${n}:x` }),
    (n: number) => connectThrough({ gatewayPort, target, userinfo: `job=no-${n},type=gone:x` }),
    (n: number) => getThrough({ gatewayPort, url: `http://127.0.0.1:22/${n}`, userinfo: `no-${n}:x` }),
    (n: number) => sendRaw({ gatewayPort }, `GET nonsense-${n}\r\n\r\n`),
    (n: number) => getThrough({ gatewayPort, url: '/v1/job', userinfo: `no-${n}:x` }),
  ]
  const before = sizes(started)

  t.strictSame(await each(2000, (n) => served[n % served.length]!(n)), new Map([[200, 2000]]))
  const statuses = await each(2000, (n) => refused[n % refused.length]!(n))
  t.strictSame([...statuses.keys()].sort(), [400, 403, 404, 407, 502, 503])

  await until('every count is where it was', () => {
    return JSON.stringify(sizes(started)) === JSON.stringify(before)
  }).catch(() => t.strictSame(sizes(started), before))
  await until('uses are told to the store', () => gateway.known.dirty.size === 0)
  await connectThrough({ gatewayPort, target, userinfo: 'the-last:x' }).then(({ socket }) => socket.destroy())
  t.ok(gateway.known.size <= known + 1, `pins remembered: ${gateway.known.size}`)
})

t.test('a connection that is challenged again and again gathers no listeners', async (t) => {
  const { gatewayPort, gateway } = await setUp(t)
  const warnings: Error[] = []
  const onWarning = (warning: Error) => void warnings.push(warning)
  process.on('warning', onWarning)
  t.teardown(() => process.off('warning', onWarning))
  const socket: Socket = await openSocket({ gatewayPort })
  t.teardown(() => socket.destroy())
  // Our own side gathers some: only the gateway's may be warned of.
  socket.setMaxListeners(0)
  for (let n = 0; n < 50; n++) {
    socket.write('CONNECT 127.0.0.1:443 HTTP/1.1\r\n\r\n')
    t.equal((await readAnswer(socket, 'GET')).status, 407)
  }
  t.strictSame(warnings, [])
  t.equal(gateway.connections, 1)
})
