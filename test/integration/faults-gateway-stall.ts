// A gateway process that stands still for 2.5 s under traffic (fault 40), with time limits that are all over by then:
// nobody is blamed for it, no job moves (design 13.1), no turn is lost (13.4), and load balancers hear of it.
//
// It is control too, with probes under way: nothing is ejected either.

import t from 'tap'
import { startFaultProxy } from '../fixtures/fault-proxy.ts'
import { requestThrough, startFleet, startRole, type Fleet } from '../fixtures/fleet.ts'
import { holdTunnel } from '../fixtures/held-tunnel.ts'
import type { Lanekeeper } from '../fixtures/processes.ts'
import { adminGet, metric } from '../fixtures/readings.ts'
import { startEchoTarget } from '../fixtures/tcp-target.ts'
import { makeTroubles } from '../fixtures/troubled.ts'
import { until } from '../fixtures/until.ts'

const stallMs = 2500
/** Each one is over after the stall. */
const settings = {
  gateway: { headTimeoutMs: 1500, maxLagMs: 500 },
  upstreams: { connectTimeoutMs: 1000, replyTimeoutMs: 1500 },
  probes: { everyMs: 400, timeoutMs: 800, good: 1, bad: 1, ejectMs: 30_000 },
}
const clients = 15

/** Answers of upstreams take a while, so that some are waited for when it stands still. */
async function slowly(tinyproxy: { host: string; port: number }) {
  const front = await startFaultProxy(tinyproxy)
  front.delay(60, 'down')
  return front
}

/** Known jobs and new ones, all the time: what each request met. */
function startTraffic(gateway: Lanekeeper, fleet: Fleet) {
  const known = new Map<string, Set<string | null>>()
  const firsts: (string | null)[] = []
  const problems: string[] = []
  let isOver = false
  let requests = 0
  const one = async (job: string) => {
    const served = await requestThrough(gateway, fleet, `job=${job},type=payment:x`)
    requests += 1
    if (served.status !== 200) problems.push(`${job}: ${served.status}`)
    return served.upstream
  }
  const client = async (index: number) => {
    for (let turn = 0; !isOver; turn++) {
      const isNew = turn % 2 === 0
      const job = isNew ? `new-${index}-${turn}` : `known-${index}`
      const upstream = await one(job).catch((error: unknown) => {
        problems.push(`${job}: ${String(error)}`)
        return null
      })
      if (isNew) firsts.push(upstream)
      else known.set(job, (known.get(job) ?? new Set()).add(upstream))
    }
  }
  const all = Array.from({ length: clients }, (_, index) => client(index))
  return {
    known,
    firsts,
    problems,
    requests: () => requests,
    async stop() {
      isOver = true
      await Promise.all(all)
    },
  }
}

t.test('a process that stands still blames nobody for it', async (t) => {
  const troubles = await makeTroubles(t)
  const fleet = await startFleet(t, { front: slowly, settings })
  const stalled = await startRole(t, fleet, 'all', { ...troubles.env, LOG_LEVEL: 'info' })
  const other = await startRole(t, fleet, 'gateway')
  const echo = await startEchoTarget()
  t.teardown(echo.stop)
  const held = await holdTunnel(
    { gatewayPort: stalled.gatewayPort! },
    { target: `127.0.0.1:${echo.port}`, userinfo: 'job=held,type=payment:x' },
  )
  t.teardown(held.close)
  const traffic = startTraffic(stalled, fleet)
  await until('traffic flows', () => traffic.requests() > 60)

  const before = traffic.requests()
  await troubles.make(stalled, { kind: 'stall', ms: stallMs })
  // It stands still by now, and answers this as the first thing after that.
  const [ready, healthy] = await Promise.all([adminGet(stalled, '/readyz'), adminGet(stalled, '/healthz')])
  t.equal(ready.status, 503)
  t.match(JSON.parse(ready.body).missing, [/^this process comes to its work \d+ ms too late$/])
  t.equal(healthy.status, 200, 'it lives')
  t.equal((await adminGet(other, '/readyz')).status, 200, 'the others serve')
  const sinceMs = performance.now()
  await until('it is ready again', async () => (await adminGet(stalled, '/readyz')).status === 200)
  t.ok(performance.now() - sinceMs < 5000, 'soon (it is known for a second, and this machine may be busy)')
  await until('traffic flows again', () => traffic.requests() > before + 60)
  await traffic.stop()

  t.same(traffic.problems, [], 'everybody was served')
  for (const name of [
    'upstream_failures_total',
    'upstream_ejections_total',
    'pins_moved_total',
    'pins_lost_total',
    'requests_refused_total',
  ])
    t.equal(await metric(stalled, `lanekeeper_${name}`), 0, name)
  t.ok((await metric(stalled, 'lanekeeper_late_total')) >= 1, 'this machine may have added lags of its own')
  const lags = [...stalled.output().matchAll(/"lagMs":(\d+).*"this process comes to its work too late"/g)]
  t.equal(lags.filter(([, ms]) => Number(ms) > stallMs / 2).length, 1, 'one line')
  const said = (text: RegExp) => stalled.output().match(text)?.length ?? 0
  t.equal(said(/no answer in time|upstream failed|gets no new jobs|does not answer/g), 0)
  await held.carries()
  t.same(
    [...traffic.known].filter(([, upstreams]) => upstreams.size !== 1),
    [],
    'every job kept its upstream',
  )
  for (const [job, upstreams] of [...traffic.known].slice(0, 5)) {
    const { upstream } = await requestThrough(other, fleet, `job=${job},type=payment:x`)
    t.ok(upstreams.has(upstream), 'on the other gateway too')
  }
  const known = [...traffic.known.values()].flatMap((upstreams) => [...upstreams])
  const turns = fleet.upstreamIds.map(
    (id) => [...traffic.firsts, ...known, held.upstream].filter((upstream) => upstream === id).length,
  )
  t.ok(Math.max(...turns) - Math.min(...turns) <= 1, `turns are even: ${turns.join(' ')}`)
})
