// Two versions side by side on one Redis and one PostgreSQL, under load: a rolling update, and the way back (hostile inputs
// 58). Gateways are replaced one by one, as behind a load balancer; both controls run at the same time for a while; an
// upstream is drained while all of it is mixed.
//
// Invariants of design 13: 1 (an address for life, over both versions), 2 and 5 (a drain is acknowledged by both, and its
// jobs finish), 9 (one ledger).

import { createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { makeKeys } from '../../src/store/redis/keys.ts'
import { adminSend } from '../fixtures/admin-client.ts'
import { newRecord, openTunnel, type JobRecord } from '../fixtures/job-load.ts'
import { listen } from '../fixtures/listen.ts'
import { ask as askDatabase, postgresFor } from '../fixtures/postgres.ts'
import type { Lanekeeper } from '../fixtures/processes.ts'
import { getThrough } from '../fixtures/raw-client.ts'
import { metric } from '../fixtures/readings.ts'
import { startRedis } from '../fixtures/redis.ts'
import { writeSettings } from '../fixtures/settings-file.ts'
import { patchedTree, presentTree, treeAt, type SourceTree } from '../fixtures/source-tree.ts'
import { startTinyproxy } from '../fixtures/tinyproxy.ts'
import { until } from '../fixtures/until.ts'

/** The last one before gateways told each other of pins. */
const earlier = 'dea82cd'
const addresses = ['127.0.1.1', '127.0.1.2', '127.0.1.3', '127.0.1.4', '127.0.1.5']
const lanes = ['type=payment,institution=bank-a', 'type=statement,institution=bank-b']
/** Jobs that live through all of it. */
const keepers = 30
const keeperEveryMs = 500
const newPerSecond = 8
/** How long each mixture is left to itself. */
const mixedMs = 3000
const patient = { withinMs: 60_000, everyMs: 50 }

t.setTimeout(600_000)
const keys = makeKeys('main')

/** What a next version may do: more in each record, other scripts, a notice that nobody knows, another column. */
const next = patchedTree(t, 'a next version', {
  patch: {
    'store/redis/lua/pin-record.lua': [
      ['local text = cjson.encode(pin)', "pin.next = 'kept'\n  local text = cjson.encode(pin)"],
    ],
    'store/redis/lua/feed.lua': [
      [
        "redis.pcall('PUBLISH', feed, cjson.encode(notice))",
        "notice.next = 1\n  redis.pcall('PUBLISH', feed, cjson.encode(notice))\n  redis.pcall('PUBLISH', feed, cjson.encode({ f = 1, next = 'a notice that nobody knows' }))",
      ],
    ],
    'store/redis/heartbeats.ts': [['pins, listeners })', 'pins, listeners, next: 1 })']],
    'store/redis/snapshot.ts': [
      ['{ f: recordFormat, ...snapshot }', '{ f: recordFormat, ...snapshot, next: 1 } as SnapshotRecord'],
    ],
  },
  added: {
    'store/postgres/migrations/9000_next.sql': `
      alter table fleets add column next text not null default 'n';
      alter table upstreams add column next text not null default 'n';
      alter table restrictions add column next text;
      alter table ledger add column next text;
      create table nexts (id integer primary key);`,
  },
})
const present = presentTree('this version')
const before = treeAt(t, `the version of ${earlier}`, earlier)

await rollingUpdate(present, next)
if (before) {
  await rollingUpdate(before, next)
  await rollingUpdate(before, present)
} else {
  const why = `commit ${earlier} is not in this clone (shallow?): the earlier version was NOT run beside this one`
  process.stderr.write(`\n*** ${why} ***\n\n`)
  await t.test(`from ${earlier}`, { skip: why }, () => {})
}

async function rollingUpdate(old: SourceTree, fresh: SourceTree): Promise<void> {
  await t.test(`from ${old.name} to ${fresh.name}, and back`, async (t) => {
    const fleet = await startFleet(t)
    const feed = await listenTo(t, fleet.redisUrl)
    let controls = [await fleet.start(old, 'control')]
    const gateways = [await fleet.start(old, 'gateway'), await fleet.start(old, 'gateway')]
    const load = startLoad(() => gateways.map(({ gatewayPort }) => gatewayPort!), fleet.target)
    t.teardown(load.stop)
    /** As a load balancer does it: first the new one takes jobs, then the other one is left out, and told to stop. */
    const replace = async (index: number, version: SourceTree) => {
      const leaving = gateways[index]!
      gateways[index] = await fleet.start(version, 'gateway')
      t.equal(await leaving.stop(), 0, `a gateway gives way to one of ${version.name}`)
    }
    const stopOldest = async () => t.equal(await controls.shift()!.stop(), 0, 'a control ends')
    await load.keep(keepers)

    await replace(0, fresh)
    await load.goesOn()
    await load.keep(keepers)
    controls.push(await fleet.start(fresh, 'control'))
    t.comment('both gateways and both controls: one of each version')
    await load.goesOn()
    for (const [index, control] of controls.entries())
      await changeRules(t, control, gateways, `rule-${index}`)
    await drainOne(t, fleet, controls[1]!, load)
    await stopOldest()
    await replace(1, fresh)
    t.comment(`all are of ${fresh.name}`)
    await load.goesOn()
    await load.keep(keepers)

    await replace(0, old)
    controls = [...controls, await fleet.start(old, 'control')]
    t.comment('on the way back: one of each again')
    await load.goesOn()
    for (const [index, control] of controls.entries())
      await changeRules(t, control, gateways, `back-${index}`)
    await drainOne(t, fleet, controls[1]!, load)
    await stopOldest()
    await replace(1, old)
    await load.goesOn()
    await load.stop()

    const { jobs } = load
    t.comment(`${jobs.length} jobs, ${jobs.reduce((sum, { requests }) => sum + requests, 0)} requests`)
    const failed = jobs.filter(({ problems }) => problems.length > 0)
    t.same(failed.slice(0, 5), [], `${failed.length} of ${jobs.length} jobs failed`)
    const moved = jobs.filter(({ addresses }) => addresses.size !== 1)
    t.same(moved.slice(0, 5), [], `${moved.length} jobs changed their address`)
    const conflicts = await Promise.all(
      gateways.map((gateway) => metric(gateway, 'lanekeeper_pin_conflicts_total')),
    )
    t.same(conflicts, [0, 0], 'no gateway remembers another pin than Redis holds')
    t.match(
      (await adminSend(controls[0]!, 'GET', '/v1/ledger/verify')).body,
      { ok: true },
      'one ledger, whole',
    )
    if (fresh === next) await wasThere(t, fleet, feed())
  })
}

/** The next version did what it was made for, and the other one has left alone what it does not know. */
async function wasThere(t: Test, { stored, databaseUrl }: Fleet, notices: readonly string[]): Promise<void> {
  t.ok(
    notices.some((text) => text.includes('nobody knows')),
    'a notice of an unknown kind was told',
  )
  const records = Object.values((await stored()).pins).map((text) => JSON.parse(text) as { next?: unknown })
  t.ok(
    records.some((record) => record.next === 'kept'),
    'an unknown field of a pin is still there',
  )
  const [row] = await askDatabase(
    databaseUrl,
    'select count(*)::int as rows from upstreams where next is not null',
  )
  t.ok(Number(row?.rows) >= addresses.length, 'the new column is there')
}

type Fleet = Awaited<ReturnType<typeof startFleet>>

async function startFleet(t: Test) {
  const redis = await startRedis()
  t.teardown(redis.stop)
  const postgres = await postgresFor(t)
  const target = await listen(
    createServer({ noDelay: true }, (socket) => {
      socket.on('error', () => {})
      socket.write(`${socket.remoteAddress}\n`)
    }),
  )
  t.teardown(target.close)
  const upstreams: object[] = []
  for (const [index, bind] of addresses.entries()) {
    const { host, port, stop } = await startTinyproxy({ bind, maxClients: 300 })
    t.teardown(stop)
    upstreams.push({ id: `vm-${index + 1}`, host, port, egressIp: bind })
  }
  const databaseUrl = await postgres.createDatabase()
  const env = {
    REDIS_URL: redis.url,
    DATABASE_URL: databaseUrl,
    PROVIDER: 'static',
    TARGET_PORTS: '*',
    ALLOW_PRIVATE_TARGETS: 'true',
    LOG_LEVEL: 'warn',
    // Only what both versions know.
    LANEKEEPER_CONFIG: await writeSettings(t, {
      static: { upstreams },
      // A connection may wait for long on a busy machine, before it is taken.
      gateway: { stopGraceMs: 2000 },
      database: { connectTimeoutMs: 5000, statementTimeoutMs: 10_000, lockTimeoutMs: 10_000 },
      // A busy test machine is neither a Redis that is away nor the fault of an upstream.
      redis: { commandTimeoutMs: 5000 },
      upstreams: { maxTunnels: 250, connectTimeoutMs: 10_000, replyTimeoutMs: 20_000 },
      probes: { everyMs: 5000, timeoutMs: 30_000 },
    }),
  }

  async function start(version: SourceTree, role: 'gateway' | 'control'): Promise<Lanekeeper> {
    const lanekeeper = await version.start({ ...env, ROLE: role })
    t.teardown(() => lanekeeper.stop('SIGKILL'))
    return lanekeeper
  }
  /** What gateways say, and the pins that are counted: for people, where something is not as it should be. */
  async function stored() {
    const raw = new Redis(redis.url)
    const [reports, counts] = await Promise.all([raw.hgetall(keys.gateways), raw.hgetall(keys.counts)])
    const pins = await raw.hgetall(keys.pins)
    raw.disconnect()
    return { reports, counts, pins }
  }
  return { start, stored, redisUrl: redis.url, databaseUrl, target: `127.0.0.1:${target.port}` }
}

/** @returns all that was told so far */
async function listenTo(t: Test, redisUrl: string): Promise<() => readonly string[]> {
  const redis = new Redis(redisUrl)
  t.teardown(() => redis.disconnect())
  const notices: string[] = []
  redis.on('message', (_, text) => notices.push(text))
  await redis.subscribe(keys.feed)
  return () => notices
}

type Load = ReturnType<typeof startLoad>

/** Jobs that ask any gateway again and again, and others that come and go. */
function startLoad(ports: () => readonly number[], target: string) {
  const jobs: JobRecord[] = []
  const kept: JobRecord[] = []
  const over = new AbortController()
  const running = new Set<Promise<void>>()
  let served = 0

  const laneOf = ({ id }: JobRecord) => lanes[Number(id.slice(1)) % lanes.length]!
  const userinfoOf = (job: JobRecord) => `job=${job.id},${laneOf(job)}:x`
  const anyPort = () => ports()[Math.floor(Math.random() * ports().length)]!

  function begin(isOver: (job: JobRecord) => boolean): JobRecord {
    const job = newRecord(`j${jobs.length}`)
    jobs.push(job)
    const work = live(job, isOver).catch((error: unknown) => void job.problems.push(String(error)))
    running.add(work)
    void work.then(() => running.delete(work))
    return job
  }

  async function live(job: JobRecord, isOver: (job: JobRecord) => boolean): Promise<void> {
    while (!over.signal.aborted && !isOver(job)) {
      const tunnel = await openTunnel(job, { port: anyPort(), target, userinfo: userinfoOf(job) })
      served += 1
      await tunnel.closeAfter(Math.random() * 200)
      await delay(keeperEveryMs * Math.random() * 2, undefined, { signal: over.signal }).catch(
        () => undefined,
      )
    }
    // Pins that nobody released are looked at in the end.
    if (over.signal.aborted) return
    const url = '/v1/job'
    const { status, socket } = await getThrough({
      gatewayPort: anyPort(),
      method: 'DELETE',
      url,
      userinfo: userinfoOf(job),
    })
    socket.destroy()
    if (status !== 204 && status !== 404) throw new Error(`its release was answered ${status}`)
    job.releasedMs = performance.now()
  }

  const newcomers = setInterval(() => begin(({ requests }) => requests >= 3), 1000 / newPerSecond)

  return {
    jobs: jobs as readonly JobRecord[],

    /** Resolves when each has been served. */
    async keep(count: number): Promise<void> {
      const some = Array.from({ length: count }, () => begin(({ releasedMs }) => releasedMs !== null))
      kept.push(...some)
      await until('they are served', () => some.every(({ upstream }) => upstream !== null), patient)
    },

    /** For a while, and for many requests. */
    async goesOn(): Promise<void> {
      const before = served
      await delay(mixedMs)
      await until('the load goes on', () => served > before + keepers, patient)
    },

    on: (upstream: string) => jobs.filter((job) => job.upstream === upstream),

    /** Those that are kept on it end. */
    leave(upstream: string): void {
      // `live` sees it before its next request, and says that it is over.
      for (const job of kept) if (job.upstream === upstream) job.releasedMs = 0
    },

    async stop(): Promise<void> {
      clearInterval(newcomers)
      over.abort()
      await Promise.all(running)
    },
  }
}

/** A lane of its own, which no job here uses: what counts is that the version comes to all gateways. */
async function changeRules(
  t: Test,
  control: Lanekeeper,
  gateways: readonly Lanekeeper[],
  id: string,
): Promise<void> {
  const rule = { id, kind: 'deny', type: 'other', institution: '*', upstreams: { ids: ['vm-5'] } }
  const { status, body } = await adminSend(control, 'POST', '/v1/restrictions', { body: rule, key: id })
  t.equal(status, 201, JSON.stringify(body))
  const { body: fleet } = await adminSend(control, 'GET', '/v1/fleet')
  for (const gateway of gateways)
    await until(
      'its version has come',
      async () => (await metric(gateway, 'lanekeeper_fleet_version')) >= fleet.version,
      patient,
    )
}

/** The first that runs: acknowledged by gateways of both versions, and drained once its jobs are over. */
async function drainOne(t: Test, fleet: Fleet, control: Lanekeeper, load: Load): Promise<void> {
  const { body: list } = await adminSend(control, 'GET', '/v1/upstreams?state=running')
  const { id } = list.items[0] as { id: string }
  const { status, body } = await adminSend(control, 'POST', `/v1/upstreams/${id}/drain`, {
    body: {},
    key: `drain-${id}`,
  })
  t.equal(status, 202, JSON.stringify(body))
  load.leave(id)
  const look = async () => (await adminSend(control, 'GET', `/v1/upstreams/${id}`)).body
  try {
    await until(`${id} is drained`, async () => (await look()).drain?.drainedAt, patient)
  } catch (error) {
    const { reports, counts, pins } = await fleet.stored()
    const left = load.on(id).filter((job) => pins[job.id] || job.problems.length > 0)
    t.comment(
      `left on ${id}: ${JSON.stringify({ reports, counts, left, pins: left.map((job) => pins[job.id]) })}`,
    )
    t.same(left, [], 'its jobs have ended')
    throw error
  }
  const drained = performance.now()
  const late = load.jobs.filter((job) => job.upstream === id && job.lastClosedMs > drained)
  t.same(late, [], `nobody uses ${id} any more`)
}
