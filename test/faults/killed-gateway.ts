// SIGKILL of a gateway with tunnels open (fault 39): its jobs keep their upstreams through the others at once (design 13.1);
// what it carried counts against the tunnel caps for 30 s more, and holds up a drain until the deadline, since dead and cut
// off look alike (13.5).

import t from 'tap'
import { adminSend } from '../fixtures/admin-client.ts'
import { requestThrough, startFleet, startRole } from '../fixtures/fleet.ts'
import { holdTunnel } from '../fixtures/held-tunnel.ts'
import { connectThrough, getThrough } from '../fixtures/raw-client.ts'
import { startEchoTarget } from '../fixtures/tcp-target.ts'
import { until } from '../fixtures/until.ts'

const cap = 3
const reportLifeMs = 30_000
const deadlineMs = 45_000

t.test('a gateway that is killed', async (t) => {
  const fleet = await startFleet(t, {
    settings: { upstreams: { maxTunnels: cap }, gateway: { stopGraceMs: 0 } },
  })
  const control = await startRole(t, fleet, 'control', { DRAIN_DEADLINE_MS: String(deadlineMs) })
  const killed = await startRole(t, fleet, 'gateway')
  const other = await startRole(t, fleet, 'gateway')
  const echo = await startEchoTarget()
  t.teardown(echo.stop)
  const target = `127.0.0.1:${echo.port}`
  const hold = (userinfo: string) => holdTunnel({ gatewayPort: killed.gatewayPort! }, { target, userinfo })
  const ask = async (job: string) => {
    const to = { gatewayPort: other.gatewayPort!, target, userinfo: `${job}:x` }
    const { status, headers, socket } = await connectThrough(to)
    socket.destroy()
    return { status, upstream: headers['x-upstream-id'], retryAfter: headers['retry-after'] }
  }

  const full = await hold('full:x')
  for (let more = 1; more < cap; more++) await hold('full:x')
  const roomy = await hold('roomy:x')
  const draining = await hold('draining:x')
  t.equal(new Set([full, roomy, draining].map(({ upstream }) => upstream)).size, 3, 'one upstream each')
  await until('the other one knows that it is full', async () => (await ask('full')).status === 503)

  const killedMs = performance.now()
  await killed.stop('SIGKILL')
  await full.ended
  for (let turn = 0; turn < 5; turn++)
    t.same(await ask('roomy'), { status: 200, upstream: roomy.upstream, retryAfter: undefined })
  const refused = await ask('full')
  t.equal(refused.status, 503, 'what it carried may be carried still')
  t.ok(refused.retryAfter)

  const { upstream: drained } = draining
  await adminSend(control, 'POST', `/v1/upstreams/${drained}/drain`, { key: 'drain' })
  const released = await getThrough({
    gatewayPort: other.gatewayPort!,
    url: '/v1/job',
    method: 'DELETE',
    userinfo: 'draining:x',
  })
  released.socket.destroy()
  t.equal(released.status, 204)
  const shown = async () => (await adminSend(control, 'GET', `/v1/upstreams/${drained}`)).body
  await until('no pin is left there', async () => (await shown()).pins === 0)

  await until('the cap forgets it', async () => (await ask('full')).status === 200, { withinMs: 60_000 })
  const forgottenMs = performance.now() - killedMs
  t.ok(
    forgottenMs > reportLifeMs - 3000,
    `after ${Math.round(forgottenMs)} ms: it spoke last a second before`,
  )
  t.equal((await ask('full')).upstream, full.upstream, 'and the job is where it was')
  t.equal((await requestThrough(other, fleet, 'draining:x')).status, 200, 'released, it is a new job')
  t.equal((await shown()).drain.drainedAt, null, 'a drain goes on waiting')
  const { drain } = await until(
    'the drain is over',
    async () => {
      const upstream = await shown()
      return upstream.drain.drainedAt !== null && upstream
    },
    { withinMs: 60_000, everyMs: 100 },
  )
  t.ok(Date.parse(drain.drainedAt) >= Date.parse(drain.deadline), 'until its deadline')
  t.match(drain.shut, { pins: 0, tunnels: 1 }, 'and tells what it did not wait for')
})
