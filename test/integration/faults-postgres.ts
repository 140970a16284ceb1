// PostgreSQL away, silent, slow, read-only and locked, with whole processes: a control, a gateway, and one that is both, on a
// real Redis. Traffic never notices: jobs that are known and jobs that are new are served all the time, each keeps its
// address (design 13.1), and none is pinned to what was drained before (13.2). The admin API says what is wrong, in time,
// and what was asked for then is done once when it is asked for again (13.8).

import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import t, { type Test } from 'tap'
import { adminSend } from '../fixtures/admin-client.ts'
import { startFaultProxy } from '../fixtures/fault-proxy.ts'
import { requestThrough, startFleet, startRole, type Served } from '../fixtures/fleet.ts'
import { ask, freePort } from '../fixtures/postgres.ts'
import type { Lanekeeper } from '../fixtures/processes.ts'
import { writeSettings } from '../fixtures/settings-file.ts'
import { until } from '../fixtures/until.ts'

// A minute on a machine of its own, several on a busy one.
t.setTimeout(600_000)
const patient = { withinMs: 60_000, everyMs: 100 }
/** Three transactions one after the other, each as long as may be; and the clients of most people wait for 30 s. */
const boundMs = 20_000
const pauseMs = 100

const fleet = await startFleet(t)
const { postgres } = fleet
const proxy = await startFaultProxy({ host: '127.0.0.1', port: postgres.port })
t.teardown(proxy.stop)
const env = {
  ...fleet.env,
  DATABASE_URL: fleet.env.DATABASE_URL!.replace(`:${postgres.port}/`, `:${proxy.port}/`),
  LOG_LEVEL: 'info',
  // All else, and the limits of the database with it, as it comes.
  LANEKEEPER_CONFIG: await writeSettings(t, { probes: { everyMs: 0 } }),
}
const both = await startRole(t, { env }, 'all')
const control = await startRole(t, { env }, 'control')
const gateway = await startRole(t, { env }, 'gateway')
const gateways = [both, gateway]
const controls = [both, control]

/** What every job met, from the begin to the end of this file. */
const seen: { readonly job: string; readonly at: string; readonly served: Served }[] = []
const load = { isOn: true, known: [0, 1, 2, 3, 4, 5].map((n) => `known-${n}`), made: 0 }

async function visit(through: Lanekeeper, job: string): Promise<void> {
  const served = await requestThrough(through, fleet, `job=${job}:x`).catch((error: unknown) => ({
    status: 0,
    address: String(error),
    upstream: null,
  }))
  seen.push({ job, at: through === both ? 'all' : 'gateway', served })
}

async function keepAsking(through: Lanekeeper): Promise<void> {
  for (let turn = 0; load.isOn; turn += 1) {
    await visit(through, load.known[turn % load.known.length]!)
    await visit(through, `new-${(load.made += 1)}`)
    await delay(pauseMs)
  }
}

/** Requests of all kinds went through each gateway since. */
function untilServed(since: number, most = 8): Promise<unknown> {
  const count = (at: string) => seen.slice(since).filter((one) => one.at === at).length
  return until('jobs go on', () => Math.min(count('all'), count('gateway')) >= most, patient)
}

function linesOf({ output }: Lanekeeper, words: string): number {
  return output().split(words).length - 1
}
const lost = 'the database does not answer'
const found = 'the database answers again'

const [, , drained] = fleet.upstreamIds
await adminSend(control, 'POST', `/v1/upstreams/${drained}/drain`, { body: {} })
const drainedAt = await until(
  'its drain is acknowledged, and over',
  async () =>
    (await adminSend(control, 'GET', `/v1/upstreams/${drained}`)).body.drain.drainedAt as string | null,
  patient,
)
const loading = Promise.all(gateways.map(keepAsking))
await untilServed(0)

type Fault = {
  readonly name: string
  /** Resolves with what ends it. */
  readonly begin: (t: Test) => Promise<() => Promise<void>>
  readonly reads: 200 | 503
  readonly code: 'database_unavailable' | 'database_busy'
  readonly detail: RegExp
}

const database = new URL(fleet.env.DATABASE_URL!).pathname.slice(1)
const heal = async () => proxy.heal()
const faults: readonly Fault[] = [
  {
    name: 'away',
    begin: async () => {
      await postgres.halt()
      return () => postgres.start()
    },
    reads: 503,
    code: 'database_unavailable',
    detail: /nothing listens there|the connection broke/,
  },
  {
    name: 'behind a network that swallows all',
    begin: async () => {
      proxy.blackHole()
      return heal
    },
    reads: 503,
    code: 'database_unavailable',
    detail: /in time|within/,
  },
  {
    name: 'slower than its limits',
    begin: async () => {
      proxy.delay(4000, 'down')
      return heal
    },
    reads: 503,
    code: 'database_unavailable',
    detail: /in time|within/,
  },
  {
    name: 'read-only',
    begin: async () => {
      const say = async (is: string) => {
        await ask(postgres.url, `alter database ${database} set default_transaction_read_only = ${is}`)
        proxy.reset()
      }
      await say('on')
      return () => say('off')
    },
    reads: 200,
    code: 'database_unavailable',
    detail: /read-only/,
  },
  {
    name: 'locked by somebody, the row of the fleet',
    begin: async (t) => {
      const client = new pg.Client(fleet.env.DATABASE_URL!)
      await client.connect()
      t.teardown(() => client.end().catch(() => undefined))
      await client.query('begin')
      await client.query('select 1 from fleets for update')
      return () => client.end()
    },
    reads: 200,
    code: 'database_busy',
    detail: /other transactions are in the way/,
  },
]

const rowsNow = async () =>
  Number((await ask(fleet.env.DATABASE_URL!, 'select count(*) as n from ledger'))[0]!['n'])
const readyz = (of: Lanekeeper) => adminSend(of, 'GET', '/readyz')

for (const { name, begin, reads, code, detail } of faults) {
  t.test(`PostgreSQL is ${name}`, async (t) => {
    const before = { seen: seen.length, rows: await rowsNow() }
    const logged = controls.map((one) => [linesOf(one, lost), linesOf(one, found)] as const)
    const isOutage = reads === 503
    const end = await begin(t)
    const key = randomUUID()
    const change = () =>
      adminSend(control, 'POST', `/v1/upstreams/${fleet.upstreamIds[0]}/quarantine`, { key })

    const beganMs = performance.now()
    const refused = await change()
    t.match(refused, { status: 503, body: { code, detail } })
    t.ok(Number(refused.headers.get('retry-after')) >= 1)
    if (code === 'database_unavailable') t.match(refused.body.detail, /Meanwhile all traffic goes on/)
    const read = await adminSend(control, 'GET', '/v1/upstreams')
    t.equal(read.status, reads)
    t.ok(performance.now() - beganMs < 2 * boundMs, 'each is answered in time')

    for (const one of controls)
      for (const path of ['/v1/jobs/known-0', '/v1/explain?type=payment', '/healthz'])
        t.equal((await adminSend(one, 'GET', path)).status, 200, `${path} needs no database`)
    await untilServed(seen.length)
    for (const one of gateways) t.match(await readyz(one), { status: 200, body: { ready: true } })
    if (isOutage) {
      const saying = async () => {
        const answers = [await readyz(control), await readyz(both)]
        return answers[0]!.status === 503 && answers[1]!.body.impaired !== undefined ? answers : null
      }
      const [of, ofBoth] = await until('it is noticed', saying, patient)
      t.match(of!.body, { ready: false, missing: [detail] })
      t.match(ofBoth!.body, { ready: true, missing: [], impaired: [detail] })
    }

    await end()
    await until('control is ready', async () => (await readyz(control)).status === 200, patient)
    const again = await until(
      'the same request, made again, is answered',
      async () => {
        const answer = await change()
        return answer.status === 503 || answer.body.code === 'idempotency_in_flight' ? null : answer
      },
      patient,
    )
    t.match(again, { status: 200, body: { quarantined: true } })
    t.match(await change(), { status: 200, body: again.body }, 'and once more the same')
    t.equal(await rowsNow(), before.rows + 1, 'it was done once')
    await adminSend(control, 'POST', `/v1/upstreams/${fleet.upstreamIds[0]}/release`)
    await untilServed(seen.length)

    for (const [n, one] of controls.entries()) {
      const [lostBefore, foundBefore] = logged[n]!
      await until('that it is back is told', () => linesOf(one, lost) === linesOf(one, found), patient)
      t.equal(linesOf(one, lost) - lostBefore, isOutage ? 1 : 0, 'the outage is one line')
      t.equal(linesOf(one, found) - foundBefore, isOutage ? 1 : 0, 'and its end another')
    }
    const failed = seen.slice(before.seen).filter(({ served }) => served.status !== 200)
    t.same(failed, [], 'and each job was served, the whole time')
  })
}

t.test('PostgreSQL is away when processes start', async (t) => {
  await postgres.halt()
  const ports = async () => ({ GATEWAY_PORT: String(await freePort()), ADMIN_PORT: String(await freePort()) })
  const [first, second] = [await ports(), await ports()]
  const here = { ...env, DATABASE_URL: fleet.env.DATABASE_URL! }
  const starting = Promise.all([
    startRole(t, { env: { ...here, ...first } }, 'all'),
    startRole(t, { env: { ...here, ...second } }, 'control'),
  ])
  starting.catch(() => null)
  const [all, alone] = [first, second].map(({ GATEWAY_PORT, ADMIN_PORT }) => ({
    gatewayPort: Number(GATEWAY_PORT),
    adminPort: Number(ADMIN_PORT),
  }))
  const answers = (one: typeof all, status: number) =>
    until(
      `readyz says ${status}`,
      async () => {
        const answer = await adminSend(one!, 'GET', '/readyz').catch(() => null)
        return answer?.status === status && /PostgreSQL/.test(JSON.stringify(answer.body)) ? answer : null
      },
      patient,
    )
  t.match(await answers(all, 200), { body: { ready: true, impaired: [/nothing listens there/] } })
  t.match(await answers(alone, 503), { body: { ready: false, missing: [/nothing listens there/] } })
  for (const job of ['known-0', 'late-1', 'late-2'])
    t.match(await requestThrough(all!, fleet, `job=${job}:x`), { status: 200 }, `${job} is served`)
  t.equal((await adminSend(alone!, 'GET', '/v1/explain')).status, 200)
  t.match(await adminSend(alone!, 'GET', '/v1/upstreams'), {
    status: 503,
    body: { code: 'database_unavailable' },
  })
  await postgres.start()
  for (const process of await starting) {
    t.match(await readyz(process), { status: 200, body: { missing: [] } }, 'they come up by themselves')
    t.equal(linesOf(process, lost), 1)
    t.equal(linesOf(process, '"a pass failed"'), 0)
  }
})

t.test('all told', async (t) => {
  load.isOn = false
  await loading
  t.same(
    seen.filter(({ served }) => served.status !== 200),
    [],
    `${seen.length} requests`,
  )
  const ways = Map.groupBy(seen, ({ job }) => job)
  t.ok(ways.size > 100)
  for (const [job, visits] of ways)
    if (new Set(visits.map(({ served }) => served.address)).size !== 1) t.fail(`${job} changed its address`)
  t.notOk(
    seen.some(({ served }) => served.upstream === drained),
    'nobody came to the one that was drained',
  )
  const { state, drain } = (await adminSend(control, 'GET', `/v1/upstreams/${drained}`)).body
  t.same([state, drain.drainedAt], ['draining', drainedAt], 'which still is')
  t.match((await adminSend(control, 'GET', '/v1/ledger/verify')).body, { ok: true })
  for (const one of [both, control, gateway]) t.equal(linesOf(one, '"a pass failed"'), 0)
})
