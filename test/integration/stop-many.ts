// SIGTERM with many tunnels open, as behind a load balancer (hostile inputs 37, 38): readyz goes, all who come are served
// for the grace, then nobody new; open tunnels end by themselves or at the deadline.

import type { Socket } from 'node:net'
import t from 'tap'
import { startLanekeeper } from '../fixtures/processes.ts'
import { connectThrough, openSocket } from '../fixtures/raw-client.ts'
import { readBytes } from '../fixtures/raw-answer.ts'
import { adminGet } from '../fixtures/readings.ts'
import { writeSettings } from '../fixtures/settings-file.ts'
import { startEchoTarget } from '../fixtures/tcp-target.ts'
import { until } from '../fixtures/until.ts'

const tunnels = 1000
const tunnelsPerJob = 40
const inGrace = 100
/** Long enough for a busy test machine to be served meanwhile. */
const grace = { stopGraceMs: 4000, stopDeadlineMs: 8000 }

t.test(`${tunnels} tunnels, a grace and a deadline`, async (t) => {
  const target = await startEchoTarget()
  t.teardown(target.stop)
  const lanekeeper = await startLanekeeper({
    LOCAL_UPSTREAMS: '1',
    ALLOW_PRIVATE_TARGETS: 'true',
    TARGET_PORTS: '*',
    LOG_LEVEL: 'error',
    LANEKEEPER_CONFIG: await writeSettings(t, {
      gateway: grace,
      local: { tinyproxy: 'never', maxClients: 5000 },
      upstreams: { maxTunnels: 5000 },
    }),
  })
  t.teardown(() => lanekeeper.stop('SIGKILL'))
  const gatewayPort = lanekeeper.gatewayPort!
  const cut: { readonly tunnel: number; readonly atMs: number }[] = []
  let stoppedMs = 0

  async function open(tunnel: number): Promise<Socket> {
    const userinfo = `job-${Math.floor(tunnel / tunnelsPerJob)}:x`
    const { status, socket } = await connectThrough({
      gatewayPort,
      target: `127.0.0.1:${target.port}`,
      userinfo,
    })
    if (status !== 200) throw new Error(`tunnel ${tunnel} was answered ${status}`)
    socket.on('error', () => cut.push({ tunnel, atMs: performance.now() - stoppedMs }))
    t.teardown(() => socket.destroy())
    return socket
  }
  /** So many at once, as a load balancer's clients would come. */
  async function openMany(from: number, count: number): Promise<Socket[]> {
    const sockets: Socket[] = []
    for (let next = from; next < from + count; next += 50) {
      const ids = Array.from({ length: Math.min(50, from + count - next) }, (_, index) => next + index)
      sockets.push(...(await Promise.all(ids.map(open))))
    }
    return sockets
  }
  async function echoes(sockets: readonly Socket[]): Promise<number> {
    const heard = await Promise.all(
      sockets.map(async (socket) => {
        socket.write('word')
        return (await readBytes(socket, 4)).toString()
      }),
    )
    return heard.filter((word) => word === 'word').length
  }

  const held = await openMany(0, tunnels)
  stoppedMs = performance.now()
  const stopped = lanekeeper.stop()
  await until(
    'it says that it is not ready',
    async () => (await adminGet(lanekeeper, '/readyz')).status === 503,
  )
  const late = await openMany(tunnels, inGrace)
  const servedMs = performance.now() - stoppedMs
  t.ok(
    servedMs < grace.stopGraceMs,
    `${inGrace} that came within the grace (${servedMs} ms) were served, each`,
  )
  t.equal(await echoes([...held, ...late]), tunnels + inGrace, 'and all tunnels carry their bytes')

  await until('it takes nobody any more', () =>
    openSocket({ gatewayPort }).then(
      (socket) => void socket.destroy(),
      () => true,
    ),
  )
  t.ok(performance.now() - stoppedMs >= grace.stopGraceMs, 'not before the grace is over')
  t.equal(await echoes(held), tunnels, 'open tunnels go on all the same')
  t.strictSame(cut, [], 'none was cut so far')
  const [leaving, staying] = [held.slice(0, tunnels / 2), [...held.slice(tunnels / 2), ...late]]
  for (const socket of leaving) socket.end()

  t.equal(await stopped, 0)
  await until('the rest is cut', () => cut.length >= staying.length)
  t.equal(cut.length, staying.length, 'those that did not end by themselves, and no other')
  const firstMs = Math.min(...cut.map(({ atMs }) => atMs))
  // Timers and clocks of two processes.
  t.ok(firstMs > grace.stopDeadlineMs - 100, `and none before the deadline (${firstMs} ms)`)
})
