// What probes make of upstreams that fail (hostile inputs, rows 33 to 36): real Tinyproxies behind fault proxies, a control
// that probes them, a gateway. Nobody but a probe ejects, one that flaps is ejected ever longer, and never more than half of
// the fleet is out at once (design 9).

import { createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { adminSend } from '../fixtures/admin-client.ts'
import { startFaultProxy, type FaultProxy } from '../fixtures/fault-proxy.ts'
import { startRole } from '../fixtures/fleet.ts'
import { newRecord, openTunnel, type JobRecord } from '../fixtures/job-load.ts'
import { foldLedger, readLedger, type LedgerRow } from '../fixtures/ledger-fold.ts'
import { listen } from '../fixtures/listen.ts'
import { startPostgres } from '../fixtures/postgres.ts'
import { connectThrough } from '../fixtures/raw-client.ts'
import { metric } from '../fixtures/readings.ts'
import { startRedis } from '../fixtures/redis.ts'
import { writeSettings } from '../fixtures/settings-file.ts'
import { startTinyproxy } from '../fixtures/tinyproxy.ts'
import { until } from '../fixtures/until.ts'

const ids = ['up-1', 'up-2', 'up-3', 'up-4'] as const
type Id = (typeof ids)[number]
const probes = { everyMs: 500, timeoutMs: 2500, good: 2, bad: 2, ejectMs: 2000, ejectMaxMs: 60_000 }
const flapMs = 2000
const flaps = 8
const patient = { withinMs: 60_000, everyMs: 50 }
/** A bound of the issue is for a machine of its own; this one has other work. */
const busy = 3
let jobs = 0

t.setTimeout(600_000)

const redis = await startRedis()
t.teardown(redis.stop)
const postgres = await startPostgres()
t.teardown(() => postgres.stop())
const target = await listen(
  createServer({ noDelay: true }, (socket) => void socket.write(`${socket.remoteAddress}\n`)),
)
t.teardown(target.close)
const faults = new Map<Id, FaultProxy>()
const upstreams: { id: string; host: string; port: number; egressIp: string }[] = []
for (const [index, id] of ids.entries()) {
  const egressIp = `127.0.1.${index + 1}`
  const tinyproxy = await startTinyproxy({ bind: egressIp })
  t.teardown(tinyproxy.stop)
  const fault = await startFaultProxy(tinyproxy)
  t.teardown(fault.stop)
  faults.set(id, fault)
  upstreams.push({ id, host: fault.host, port: fault.port, egressIp })
}
const env = {
  REDIS_URL: redis.url,
  DATABASE_URL: await postgres.createDatabase(),
  PROVIDER: 'static',
  TARGET_PORTS: '*',
  ALLOW_PRIVATE_TARGETS: 'true',
  LOG_LEVEL: 'warn',
  LANEKEEPER_CONFIG: await writeSettings(t, {
    static: { upstreams },
    probes,
    upstreams: { replyTimeoutMs: 2000 },
    redis: { commandTimeoutMs: 10_000 },
    database: { connectTimeoutMs: 15_000, statementTimeoutMs: 30_000, lockTimeoutMs: 30_000 },
  }),
}
const control = await startRole(t, { env }, 'control')
const gateway = await startRole(t, { env }, 'gateway')
const asked = `127.0.0.1:${target.port}`

async function ejectedNow(): Promise<string[]> {
  const { body } = await adminSend(control, 'GET', '/v1/upstreams?limit=100')
  return (body.items as { id: string; ejected: boolean }[])
    .filter(({ ejected }) => ejected)
    .map(({ id }) => id)
}

async function untilEjected(...wanted: readonly Id[]): Promise<void> {
  const isSo = async () => (await ejectedNow()).sort().join() === [...wanted].sort().join()
  await until(`ejected: ${wanted.join(' ') || 'none'}`, isSo, patient)
  const { body } = await adminSend(control, 'GET', '/v1/fleet')
  const isKnown = async () => (await metric(gateway, 'lanekeeper_fleet_version')) >= body.version
  await until('the gateway knows', isKnown, patient)
}

/** A short tunnel. @throws Error where it is refused, or goes another way than before */
async function visit(job: JobRecord): Promise<string> {
  const to = { port: gateway.gatewayPort!, target: asked, userinfo: `job=${job.id}:x` }
  await (await openTunnel(job, to)).closeAfter(0)
  return job.upstream!
}

const newJob = () => newRecord(`job-${(jobs += 1)}`)

async function jobOn(id: Id): Promise<JobRecord> {
  for (;;) {
    const job = newJob()
    if ((await visit(job)) === id) return job
  }
}

async function answerTo(job: JobRecord): Promise<string> {
  const userinfo = `job=${job.id}:x`
  const { status, body, socket, headers } = await connectThrough({
    gatewayPort: gateway.gatewayPort!,
    target: asked,
    userinfo,
  })
  socket.destroy()
  if (status === 503 && headers['retry-after'] === undefined) throw new Error('a 503 without Retry-After')
  return status === 200 ? '200' : `${status} ${JSON.parse(String(body)).code}`
}

type Change = {
  readonly id: string
  readonly atMs: number
  readonly ejected: boolean
  readonly forMs: number
}

/** Since then: who was ejected, for how long, and who was let in again. */
async function changesSince(version: number): Promise<Change[]> {
  const rows = (await readLedger(control)).filter((row) => row.version > version)
  return rows.flatMap((row) => row.steps.flatMap((step) => changeIn(step, row)))
}

function changeIn(step: LedgerRow['steps'][number], { at }: LedgerRow): Change[] {
  if (step.kind !== 'upstream_changed' || step.to.ejected === undefined) return []
  const atMs = Date.parse(at)
  return [{ id: step.id, atMs, ejected: step.to.ejected, forMs: (step.to.ejectedUntilMs ?? atMs) - atMs }]
}

async function versionNow(): Promise<number> {
  return (await adminSend(control, 'GET', '/v1/fleet')).body.version as number
}

/** The most that were out at once, at any version. */
function mostOut(changes: readonly Change[]): number {
  const out = new Set<string>()
  const counts = changes.map(({ id, ejected }) => {
    if (ejected) out.add(id)
    else out.delete(id)
    return out.size
  })
  return Math.max(0, ...counts)
}

t.test('33, 34 one is silent: a probe ejects it, its jobs are told, all others go on', async (t) => {
  const [home, other] = [await jobOn('up-1'), await jobOn('up-2')]
  const silent = faults.get('up-1')!
  silent.stall()
  t.equal(await answerTo(home), '504 upstream_timeout', 'nobody knows whose fault it is')
  await untilEjected('up-1')
  for (let n = 0; n < 12; n++) t.not(await visit(newJob()), 'up-1', 'new jobs go elsewhere')
  t.equal(await visit(other), 'up-2')
  t.equal(await answerTo(home), '504 upstream_timeout', 'a job that is pinned there stays')
  await until(
    'its sockets are gone',
    async () => (await metric(gateway, 'lanekeeper_upstream_tunnels')) === 0,
    patient,
  )

  silent.heal()
  await untilEjected()
  t.equal(await visit(home), 'up-1', 'invariant 1: where it was before')
  const after = []
  for (let n = 0; n < 8; n++) after.push(await visit(newJob()))
  t.ok(after.includes('up-1'), 'and new jobs come again')
})

t.test('35 one flaps: ejected ever longer, and no job notices', async (t) => {
  const home = await jobOn('up-2')
  const begun = await versionNow()
  const flapping = faults.get('up-1')!
  const untilMs = performance.now() + flaps * 2 * flapMs
  const served: string[] = []
  const work = (async () => {
    while (performance.now() < untilMs) {
      served.push(await visit(newJob()), await visit(home))
      await delay(50)
    }
  })()
  for (let flap = 0; flap < flaps; flap++) {
    flapping.cut()
    await delay(flapMs)
    flapping.heal()
    await delay(flapMs)
  }
  await work
  const changes = await changesSince(begun)
  const ejections = changes.filter(({ ejected }) => ejected)
  t.comment(
    `${flaps} times down and up in ${(flaps * 2 * flapMs) / 1000} s: ejected for ${ejections.map(({ forMs }) => forMs).join(', ')} ms; ` +
      `${served.length} requests served`,
  )
  t.ok(ejections.length > 0 && ejections.length <= 4, 'few changes')
  t.same([...new Set(changes.map(({ id }) => id))], ['up-1'], 'nobody else')
  for (const [index, { forMs }] of ejections.entries())
    if (index > 0) t.equal(forMs, ejections[index - 1]!.forMs * 2, 'twice as long each time')
  await until('it is in again', async () => (await ejectedNow()).length === 0, {
    withinMs: 120_000,
    everyMs: 200,
  })
})

for (const [name, fail] of [
  ['dead', (fault: FaultProxy) => fault.cut()],
  ['silent', (fault: FaultProxy) => fault.stall()],
] as const) {
  t.test(`36 all are ${name}: half of them stay in, and serve within seconds of their return`, async (t) => {
    const home = await jobOn('up-3')
    const begun = await versionNow()
    for (const fault of faults.values()) fail(fault)
    await until('as many are out as may be', async () => (await ejectedNow()).length === 2, patient)
    // Long enough for probes to find the others as bad.
    await delay(probes.timeoutMs * probes.bad * 2)
    const codes = new Set([await answerTo(newJob()), await answerTo(newJob()), await answerTo(newJob())])
    for (const code of codes) t.match(code, /^50[234] (upstream_failed|upstream_timeout|no_upstream)$/)
    t.equal((await ejectedNow()).length, 2)

    const backMs = performance.now()
    for (const fault of faults.values()) fault.heal()
    await until('a new job is served', async () => (await answerTo(newJob())) === '200', patient)
    t.ok(performance.now() - backMs < 5000 * busy, 'within seconds')
    t.equal(await visit(home), 'up-3', 'invariant 1')
    await until('all are in again', async () => (await ejectedNow()).length === 0, {
      withinMs: 120_000,
      everyMs: 200,
    })
    t.ok(mostOut(await changesSince(begun)) <= 2, 'never more than half at any version')
  })
}

t.test('the ledger tells it all', async (t) => {
  t.same(foldLedger(await readLedger(control)).problems, [])
  t.match((await adminSend(control, 'GET', '/v1/ledger/verify')).body, { ok: true })
})
