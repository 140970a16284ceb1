// Gateways behind a load balancer are restarted one after the other, and one is killed, while jobs come and go (hostile
// inputs, rows 37 and 39). No request fails in a restart, and no job changes its address (invariant 1), whichever gateway it
// comes to.

import { createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { startRole } from '../fixtures/fleet.ts'
import { seeded } from '../fixtures/flaky-front.ts'
import { startHaproxy } from '../fixtures/haproxy.ts'
import { holdTunnel } from '../fixtures/held-tunnel.ts'
import { newRecord, openTunnel, startJobLoad, type JobRecord } from '../fixtures/job-load.ts'
import { listen } from '../fixtures/listen.ts'
import { startPostgres } from '../fixtures/postgres.ts'
import { startLanekeeper, type Lanekeeper } from '../fixtures/processes.ts'
import { startRedis } from '../fixtures/redis.ts'
import { writeSettings } from '../fixtures/settings-file.ts'
import { startEchoTarget } from '../fixtures/tcp-target.ts'
import { freePort, startTinyproxy } from '../fixtures/tinyproxy.ts'
import { until } from '../fixtures/until.ts'

const restarts = 20
const upstreamCount = 6
/** Jobs that come back again and again for as long as the test runs, once a second each. */
const returningJobs = 60
/** New jobs, which make two or three requests each: with the others 300 CONNECT a second. */
const newJobsPerSecond = 104
const checks = { everyMs: 250, checkMs: 1000 }
/** Two checks, each with its pause and its time limit, and room for a machine that has other work. */
const stopGraceMs = 2 * (checks.everyMs + checks.checkMs) + 1000
/** Longer than any tunnel of the load, which last four seconds at most. */
const stopDeadlineMs = 15_000
const patient = { withinMs: 60_000, everyMs: 50 }

t.setTimeout(600_000)

const redis = await startRedis()
t.teardown(redis.stop)
const postgres = await startPostgres()
t.teardown(() => postgres.stop())
const target = await listen(
  createServer({ noDelay: true }, (socket) => void socket.write(`${socket.remoteAddress}\n`)),
)
t.teardown(target.close)
const echo = await startEchoTarget()
t.teardown(echo.stop)
const upstreams: { id: string; host: string; port: number; egressIp: string }[] = []
for (let index = 1; index <= upstreamCount; index++) {
  const bind = `127.0.1.${index}`
  const { port, stop } = await startTinyproxy({ bind, maxClients: 400 })
  t.teardown(stop)
  upstreams.push({ id: `up-${index}`, host: '127.0.0.1', port, egressIp: bind })
}
const env = {
  REDIS_URL: redis.url,
  DATABASE_URL: await postgres.createDatabase(),
  PROVIDER: 'static',
  TARGET_PORTS: '*',
  ALLOW_PRIVATE_TARGETS: 'true',
  LOG_LEVEL: 'warn',
  LANEKEEPER_CONFIG: await writeSettings(t, {
    // Late is what it is on a machine with other work; readyz would say so.
    gateway: { stopGraceMs, stopDeadlineMs, maxLagMs: 10_000 },
    static: { upstreams },
    upstreams: { maxTunnels: 350, connectTimeoutMs: 15_000, replyTimeoutMs: 30_000 },
    // A machine that has other work must not look like a store that is away.
    redis: { commandTimeoutMs: 10_000 },
    database: { connectTimeoutMs: 15_000, statementTimeoutMs: 30_000, lockTimeoutMs: 30_000 },
  }),
}
await startRole(t, { env }, 'control')
const slots = [await newSlot(), await newSlot()]
const haproxy = await startHaproxy(slots, checks)
t.teardown(haproxy.stop)

type Slot = { readonly gatewayPort: number; readonly adminPort: number; process: Lanekeeper }

async function newSlot(): Promise<Slot> {
  const ports = { gatewayPort: await freePort(), adminPort: await freePort() }
  return { ...ports, process: await startAt(ports) }
}

async function startAt({ gatewayPort, adminPort }: Omit<Slot, 'process'>): Promise<Lanekeeper> {
  const ports = { GATEWAY_PORT: String(gatewayPort), ADMIN_PORT: String(adminPort) }
  const gateway = await startLanekeeper({ ...env, ...ports, ROLE: 'gateway' })
  t.teardown(() => gateway.stop('SIGKILL'))
  return gateway
}

async function allUp(): Promise<void> {
  const isUp = async () => (await haproxy.servers()).every(({ status }) => status === 'UP')
  await until('the balancer takes both for ready', isUp, patient)
}

type Returning = { readonly record: JobRecord; readonly failures: { readonly atMs: number }[] }

/** They go on after a failure: a client would, too. */
function startReturningJobs(name: string) {
  const random = seeded(2)
  const jobs = Array.from({ length: returningJobs }, (_, index): Returning => {
    return { record: newRecord(`${name}-${index}`), failures: [] }
  })
  let isOver = false
  async function run({ record, failures }: Returning): Promise<void> {
    await delay(random() * 1000)
    while (!isOver) {
      const begunMs = performance.now()
      try {
        await (await visit(record)).closeAfter(random() * 200)
      } catch (error) {
        record.problems.push(String(error))
        failures.push({ atMs: begunMs })
      }
      await delay(Math.max(0, begunMs + 1000 - performance.now()))
    }
  }
  const runs = jobs.map(run)
  return {
    jobs,
    async stop() {
      isOver = true
      await Promise.all(runs)
    },
  }
}

function visit(record: JobRecord) {
  const to = { port: haproxy.port, target: `127.0.0.1:${target.port}`, userinfo: `job=${record.id}:x` }
  return openTunnel(record, to)
}

function startLoad(name: string) {
  const load = startJobLoad({
    gatewayPorts: [haproxy.port],
    target: `127.0.0.1:${target.port}`,
    perSecond: () => newJobsPerSecond,
    openingAtMost: 200,
    pauseAtMostMs: 300_000,
    name,
  })
  const returning = startReturningJobs(`${name}-returning`)
  const begunMs = performance.now()
  const records = () => [...load.jobs, ...returning.jobs.map(({ record }) => record)]
  const requests = () => records().reduce((sum, record) => sum + record.requests, 0)
  return {
    load,
    returning,
    records,
    failed: () => records().filter(({ problems }) => problems.length > 0),
    async stop() {
      const seconds = (performance.now() - begunMs) / 1000
      const rate = requests() / seconds
      await Promise.all([load.stop(), returning.stop()])
      t.comment(
        `${requests()} CONNECTs of ${records().length} jobs in ${seconds.toFixed(0)} s: ${rate.toFixed(0)} a second`,
      )
    },
  }
}

function moved(records: readonly JobRecord[]): readonly JobRecord[] {
  return records.filter(({ addresses }) => addresses.size > 1)
}

t.test(`${restarts} restarts in turn: no request fails`, async (t) => {
  await allUp()
  const running = startLoad('restarted')
  await until('jobs run', () => running.load.jobs.length > 200, patient)
  const took: number[] = []
  for (let restart = 0; restart < restarts && running.failed().length === 0; restart++) {
    const slot = slots[restart % slots.length]!
    const toldMs = performance.now()
    t.equal(await slot.process.stop(), 0, `restart ${restart + 1}: exit code`)
    took.push(performance.now() - toldMs)
    slot.process = await startAt(slot)
    await allUp()
  }
  await running.stop()
  const retries = (await haproxy.servers()).reduce((sum, server) => sum + server.retries, 0)
  t.comment(
    `from SIGTERM to the end ${Math.min(...took).toFixed(0)} to ${Math.max(...took).toFixed(0)} ms; ` +
      `connects that HAProxy had to make again: ${retries}`,
  )
  t.same(
    running.failed().map(({ id, problems }) => ({ id, problems })),
    [],
    'no request failed, no tunnel was cut',
  )
  t.same(moved(running.records()), [], 'no job changed its address')
  t.ok(Math.max(...took) < stopDeadlineMs, 'all tunnels ended by themselves')
})

t.test('a tunnel that does not end by itself is cut at the deadline, not before', async (t) => {
  await allUp()
  const slot = slots[0]!
  const asked = { target: `127.0.0.1:${echo.port}`, userinfo: 'job=long:x' }
  const held = await holdTunnel({ gatewayPort: slot.gatewayPort }, asked)
  const toldMs = performance.now()
  const ended = slot.process.stop()
  await delay(stopDeadlineMs - 2000)
  await held.carries()
  t.equal(await held.ended, 'reset')
  t.ok(performance.now() - toldMs > stopDeadlineMs - 500, 'at the deadline')
  t.equal(await ended, 0)
  slot.process = await startAt(slot)
})

t.test('SIGKILL: what it carried is cut, and nothing else', async (t) => {
  await allUp()
  const running = startLoad('killed')
  await until('jobs run', () => running.load.jobs.length > 200, patient)
  const slot = slots[0]!
  const carried = (await haproxy.servers())[0]!.sessions
  const underWay = running.load.underWay()
  const killedMs = performance.now()
  await slot.process.stop('SIGKILL')
  const isKnown = async () => (await haproxy.servers())[0]!.status !== 'UP'
  await until('the balancer knows', isKnown, patient)
  const knownMs = performance.now()
  await delay(5000)
  const late = running.returning.jobs.flatMap(({ failures }) => failures).filter(({ atMs }) => atMs > knownMs)
  t.same(late, [], 'nothing fails any more once the balancer knows')
  slot.process = await startAt(slot)
  await allUp()
  await delay(3000)
  await running.stop()

  const failed = running.failed()
  const problems = Map.groupBy(
    failed.flatMap((record) => record.problems),
    (problem) => problem.replace(/^Error: request \d+ of \S+: /, '').replace(/; heard .*/s, ''),
  )
  t.comment(
    `${carried} connections were open there, ${underWay} jobs under way; ${failed.length} jobs had a request cut, ` +
      `${(knownMs - killedMs).toFixed(0)} ms until the balancer knew: ` +
      [...problems].map(([problem, those]) => `${those.length} x ${problem}`).join(', '),
  )
  t.ok(failed.length > 0, 'it carried some')
  t.ok(failed.length <= underWay + returningJobs, 'and no more failed than were under way')
  for (const record of failed.filter(({ releasedMs }) => releasedMs === null))
    await (await visit(record)).closeAfter(0)
  t.same(moved(running.records()), [], 'no job changed its address, nor did those when they came again')
})

t.test('where no gateway is ready, jobs are served as far as can be', async (t) => {
  await allUp()
  const [known, unknown] = [newRecord('known'), newRecord('unknown')]
  for (let times = 0; times < 2; times++) await (await visit(known)).closeAfter(0)
  await redis.stop()
  const noneUp = async () => (await haproxy.servers()).every(({ status }) => status !== 'UP')
  await until('the balancer takes none for ready', noneUp, patient)
  for (let times = 0; times < 4; times++) await (await visit(known)).closeAfter(0)
  t.equal(known.addresses.size, 1, 'invariant 1: whichever gateway it comes to')
  await t.rejects(visit(unknown), /503 .*store_unavailable/s, 'who is unknown is told why')
})
