// A gateway process without a file left (fault 41), which its start check and its limits keep from happening: then it is
// refused in words, no upstream is blamed, Redis is found again, and nothing is left of it once there are files.

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import t from 'tap'
import { requestThrough, startFleet, startRole } from '../fixtures/fleet.ts'
import { holdTunnel } from '../fixtures/held-tunnel.ts'
import { getThrough, openSocket, type Answer } from '../fixtures/raw-client.ts'
import { readAnswer } from '../fixtures/raw-answer.ts'
import { adminGet, metric } from '../fixtures/readings.ts'
import { startEchoTarget } from '../fixtures/tcp-target.ts'
import { until } from '../fixtures/until.ts'

/** No file with this number or a higher one is opened from now on; what is open stays. */
async function limitFiles(pid: number, limit: number): Promise<void> {
  await promisify(execFile)('prlimit', ['--pid', String(pid), `--nofile=${limit}:`])
}

t.test('without a file left it refuses in words, blames nobody, and recovers', async (t) => {
  const fleet = await startFleet(t)
  const redis = new Redis(fleet.redis.url)
  t.teardown(() => redis.disconnect())
  await startRole(t, fleet, 'control')
  const lanekeeper = await startRole(t, fleet, 'gateway')
  const gatewayPort = lanekeeper.gatewayPort!
  const echo = await startEchoTarget()
  t.teardown(echo.stop)
  const held = await holdTunnel({ gatewayPort }, { target: `127.0.0.1:${echo.port}`, userinfo: 'job=held:x' })
  t.teardown(held.close)
  const clients = await Promise.all(
    Array.from({ length: 3 }, async () => {
      const socket = await openSocket({ gatewayPort })
      t.teardown(() => socket.destroy())
      return socket
    }),
  )
  await until(
    'all are taken in',
    async () => (await metric(lanekeeper, 'lanekeeper_client_connections')) === 4,
  )
  const refused = ({ status, headers, body }: Answer, what: string) => {
    t.equal(status, 503, what)
    t.ok(headers['retry-after'])
    t.match(String(body), /"code":"overloaded".*no socket left \(EMFILE\)/)
  }

  // Below the standard streams: what is closed meanwhile leaves no room either.
  await limitFiles(lanekeeper.pid, 3)
  const [direct, named, plain] = clients
  direct!.write(`CONNECT 127.0.0.1:${echo.port} HTTP/1.1\r\nX-Job-Id: held\r\n\r\n`)
  refused(await readAnswer(direct!, 'CONNECT'), 'a dial')
  named!.write('CONNECT bank.example:443 HTTP/1.1\r\nX-Job-Id: held\r\n\r\n')
  refused(await readAnswer(named!, 'CONNECT'), 'a look-up')
  refused(
    await getThrough({
      gatewayPort,
      socket: plain!,
      url: `http://127.0.0.1:${fleet.target.port}/`,
      userinfo: 'job=held:x',
    }),
    'a plain request',
  )
  await redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
  await held.carries()
  await until('it has found that Redis is away', () =>
    /store of pins does not answer/.test(lanekeeper.output()),
  )
  t.equal(lanekeeper.child.exitCode, null)

  await limitFiles(lanekeeper.pid, 20_000)
  await until('it is ready again', async () => (await adminGet(lanekeeper, '/readyz')).status === 200)
  t.equal((await requestThrough(lanekeeper, fleet, 'job=held:x')).upstream, held.upstream)
  t.equal((await requestThrough(lanekeeper, fleet, 'job=new:x')).status, 200)
  await held.carries()
  t.equal(await metric(lanekeeper, 'lanekeeper_upstream_failures_total'), 0)
  t.equal(await metric(lanekeeper, 'lanekeeper_pins_moved_total'), 0)
})
