// Wall clocks that jump by an hour, both ways, on the hosts of a gateway and of control (fault 53): pins, tunnels, heartbeats
// and drains go on as if nothing had happened (design 13.1, 13.5), since durations are monotonic and times of pins are
// Redis's. Only job tokens go by the wall clock.

import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { mintJobToken } from '../../src/routing/job-token.ts'
import { adminSend } from '../fixtures/admin-client.ts'
import { requestThrough, startFleet, startRole } from '../fixtures/fleet.ts'
import { holdTunnel } from '../fixtures/held-tunnel.ts'
import { startLanekeeper, type Lanekeeper } from '../fixtures/processes.ts'
import { connectThrough, getThrough } from '../fixtures/raw-client.ts'
import { adminGet, metric } from '../fixtures/readings.ts'
import { startEchoTarget } from '../fixtures/tcp-target.ts'
import { makeTroubles, type Troubles } from '../fixtures/troubled.ts'
import { until } from '../fixtures/until.ts'

const hourMs = 3_600_000
const root = join(import.meta.dirname, '../..')

t.test('the wall clock is read by few', async (t) => {
  const readers = globSync('src/**/*.ts', { cwd: root }).filter((file) =>
    /Date\.now|new Date\(\)/.test(readFileSync(join(root, file), 'utf8')),
  )
  t.same(readers.sort(), [
    // For job tokens, and what reports and the ledger show to people.
    'src/build.ts',
    // For people.
    'src/cli/main.ts',
    // A certificate ends by it.
    'src/gateway/certificate.ts',
    // As above.
    'src/provider/local.ts',
  ])
})

const key = { id: 'k1', secret: 'a-secret-of-32-characters-or-more' }
const tokenFor = (id: string, lifeMs: number) =>
  mintJobToken({ job: { id, type: null, institution: null }, expiresAtMs: Date.now() + lifeMs }, key)

async function statusWith({ gatewayPort }: Lanekeeper, target: string, token: string): Promise<number> {
  const answer = await connectThrough({ gatewayPort: gatewayPort!, target, userinfo: `job-token:${token}` })
  answer.socket.destroy()
  return answer.status
}

t.test('jumps of a gateway and of control', async (t) => {
  const troubles = await makeTroubles(t)
  const fleet = await startFleet(t, { settings: { gateway: { tokenKeys: [key] } } })
  const env = { ...troubles.env, GATEWAY_TOKENS: 'static' }
  const control = await startRole(t, fleet, 'control', env)
  const gateway = await startRole(t, fleet, 'gateway', env)
  const other = await startRole(t, fleet, 'gateway', { GATEWAY_TOKENS: 'static' })
  const gatewayPort = gateway.gatewayPort!
  const echo = await startEchoTarget()
  t.teardown(echo.stop)
  const target = `127.0.0.1:${echo.port}`
  const hold = async (job: string) => {
    const tunnel = await holdTunnel({ gatewayPort }, { target, userinfo: `job=${job}:static` })
    t.teardown(tunnel.close)
    return tunnel
  }
  const drained = await hold('job-drained')
  const kept = await hold('job-kept')
  const served = async (at: Lanekeeper, job: string) =>
    (await requestThrough(at, fleet, `job=${job}:static`)).upstream
  const touched = await served(gateway, 'job-touched')
  const [short, long, ended] = [hourMs / 2, 2 * hourMs, -hourMs / 2].map((ms) => tokenFor('job-token', ms))
  const { status } = await adminSend(control, 'POST', `/v1/upstreams/${drained.upstream}/drain`, {
    key: 'drain',
  })
  t.ok(status === 200 || status === 202, `the drain is taken (${status})`)
  let changes = 0
  /** All passes and a heartbeat have come by since. */
  const changeReachesAll = async () => {
    changes += 1
    const rule = { id: `r-${changes}`, kind: 'deny', type: `t-${changes}`, institution: '*' }
    const body = { ...rule, upstreams: { ids: [kept.upstream] } }
    const answer = await adminSend(control, 'POST', '/v1/restrictions', { key: rule.id, body })
    t.equal(answer.status, 201)
    const ledger = await adminSend(control, 'GET', '/v1/ledger')
    const version = Math.max(...ledger.body.items.map((row: { version: number }) => row.version))
    for (const at of [gateway, other])
      await until('it has the change', async () => (await metric(at, 'lanekeeper_fleet_version')) >= version)
  }
  const drainedAt = async (): Promise<string | null> =>
    (await adminSend(control, 'GET', `/v1/upstreams/${drained.upstream}`)).body.drain.drainedAt
  await changeReachesAll()

  for (const [jumpMs, tokens] of [
    [hourMs, { short: 407, long: 200, ended: 407 }],
    // It was over half an hour ago, and is good again: nobody else can know.
    [-hourMs, { short: 200, long: 200, ended: 200 }],
    [0, { short: 200, long: 200, ended: 407 }],
  ] as const) {
    for (const process of [gateway, control]) await troubles.make(process, { kind: 'clock', ms: jumpMs })
    await changeReachesAll()
    t.equal(await statusWith(gateway, target, ended!), tokens.ended, `${jumpMs}: a token that was over`)
    t.equal(await statusWith(gateway, target, short!), tokens.short, `${jumpMs}: half an hour`)
    t.equal(await statusWith(gateway, target, long!), tokens.long, `${jumpMs}: two hours`)
    await drained.carries()
    await kept.carries()
    t.equal(await drainedAt(), null, 'a drain waits for its tunnel as ever')
    t.equal(await served(gateway, 'job-kept'), kept.upstream)
    t.equal(await served(gateway, 'job-touched'), touched)
    t.equal(await served(other, 'job-touched'), touched)
    t.equal((await adminGet(gateway, '/readyz')).status, 200)
  }
  for (const at of [gateway, other])
    for (const name of ['pins_lost_total', 'pins_moved_total', 'pin_conflicts_total', 'late_total'].slice(
      0,
      3,
    ))
      t.equal(await metric(at, `lanekeeper_${name}`), 0, name)
  t.equal(await metric(gateway, 'lanekeeper_upstream_tunnels'), 2, 'no tunnel was closed')
  t.notMatch(gateway.output() + control.output(), /does not answer|a pass failed/)

  drained.close()
  // The others may have been pinned there as well.
  for (const job of ['job-drained', 'job-touched', 'job-token']) {
    const answer = await getThrough({
      gatewayPort,
      url: '/v1/job',
      method: 'DELETE',
      userinfo: `${job}:static`,
    })
    answer.socket.destroy()
  }
  await until('the drain is over', drainedAt, { withinMs: 30_000 })
})

/** Pins in memory are of this process alone, and no Redis tells their time. */
async function startEmbedded(t: Test): Promise<{ lanekeeper: Lanekeeper; troubles: Troubles }> {
  const troubles = await makeTroubles(t)
  const lanekeeper = await startLanekeeper({
    ...troubles.env,
    ALLOW_PRIVATE_TARGETS: 'true',
    TARGET_PORTS: '*',
    LOG_LEVEL: 'warn',
    LOCAL_UPSTREAMS: '3',
  })
  t.teardown(() => lanekeeper.stop())
  return { lanekeeper, troubles }
}

t.test('pins in memory outlive a jump too', async (t) => {
  const echo = await startEchoTarget()
  t.teardown(echo.stop)
  const { lanekeeper, troubles } = await startEmbedded(t)
  const upstreamOf = async (job: string) => {
    const to = { gatewayPort: lanekeeper.gatewayPort!, target: `127.0.0.1:${echo.port}` }
    const { headers, socket } = await connectThrough({ ...to, userinfo: `${job}:x` })
    socket.destroy()
    return headers['x-upstream-id']
  }
  const shown = async () =>
    (await adminSend(lanekeeper, 'GET', '/v1/jobs/job-1')).body as { pinnedAt: string; expiresAt: string }
  const first = await upstreamOf('job-1')
  const { pinnedAt } = await shown()
  for (const jumpMs of [hourMs, -hourMs]) {
    await troubles.make(lanekeeper, { kind: 'clock', ms: jumpMs })
    await upstreamOf(`job-${jumpMs}`)
    t.equal(await upstreamOf('job-1'), first, `${jumpMs}`)
    t.equal((await shown()).pinnedAt, pinnedAt, 'it is the same pin')
  }
})
