// The passes of control on a real PostgreSQL that takes no writes, is cut off, or is locked by somebody. Design 13: nothing is
// done that cannot be written down (9), nothing is made twice (6), and a machine goes only by a row that says so (5).

import { randomUUID } from 'node:crypto'
import pg from 'pg'
import t, { type Test } from 'tap'
import { makeController } from '../../src/control/controller.ts'
import { makeEvictions } from '../../src/control/evict.ts'
import { makePublisher } from '../../src/control/publish.ts'
import { makeSync } from '../../src/control/sync.ts'
import { openMemoryStore } from '../../src/store/memory/memory.ts'
import { openPg } from '../../src/store/postgres/pg.ts'
import { makeRecordStore } from '../../src/store/postgres/records.ts'
import type { NewUpstream } from '../../src/store/records.ts'
import { life, pinJob } from '../fixtures/control-under-test.ts'
import { recordFacts } from '../fixtures/facts.ts'
import { startFaultProxy } from '../fixtures/fault-proxy.ts'
import { ask, postgresFor } from '../fixtures/postgres.ts'
import { added, apply, ruleAdded } from '../fixtures/records-under-test.ts'
import { makeScriptedProvider } from '../fixtures/scripted-provider.ts'

const server = await postgresFor(t)
const unavailable = { code: 'database_unavailable' }
const timeouts = { connectMs: 5000, statementMs: 5000, lockMs: 250 }
const claimMs = 30_000
const good = async () => ({ ok: true, ms: 1, egressIp: '203.0.113.9' }) as const

/** Of a machine that control is to make. */
const ordered = (id: string) =>
  added(id, { ...ofCloud, state: 'provisioning', host: '', requestId: randomUUID(), addedBy: 'control' })
const ofCloud: Partial<NewUpstream> = { provider: 'gce', zone: 'zone-a' }

async function setUp(t: Test) {
  const url = await server.createDatabase()
  const proxy = await startFaultProxy({ host: '127.0.0.1', port: server.port })
  t.teardown(proxy.stop)
  const db = openPg({
    url: url.replace(`:${server.port}/`, `:${proxy.port}/`),
    timeouts,
    poolSize: 4,
  })
  t.teardown(() => db.close())
  const records = makeRecordStore({ db, fleet: 'main' })
  await records.migrate()
  const facts = recordFacts()
  const { events } = facts
  const store = openMemoryStore({ life, now: Date.now })
  const cloud = makeScriptedProvider()
  const orders = () => cloud.calls.filter(({ verb }) => verb === 'create' || verb === 'delete').length
  const publisher = makePublisher({ fleet: records.fleet, snapshots: store.snapshots, events })
  const evict = makeEvictions({
    fleet: records.fleet,
    pins: store.pins,
    snapshots: store.snapshots,
    events,
  })
  const controller = makeController({
    fleet: records.fleet,
    records,
    provider: cloud.provider,
    observe: async () => ({
      confirmedVersion: Infinity,
      use: () => ({ pins: 0, tunnels: 0, isEmpty: true }),
    }),
    probe: good,
    settings: { good: 1, launchMs: 600_000, drainMs: 60_000, claimMs },
    holder: 'control-1',
    newRequestId: randomUUID,
    now: () => performance.now(),
    random: () => 0.5,
    events,
    changed: () => {},
  })
  t.teardown(() => controller.stop())
  const live = async () => {
    await controller.pass()
    await controller.idle()
  }
  const name = new URL(url).pathname.slice(1)
  /** For the connections that are made from now on, and there are no others. */
  const readOnly = async (is: boolean) => {
    await ask(server.url, `alter database ${name} set default_transaction_read_only = ${is ? 'on' : 'off'}`)
    proxy.reset()
    await records.ping().catch(() => null)
  }
  return { url, proxy, records, facts, store, cloud, orders, publisher, evict, live, readOnly }
}

/** The ledger's rows of a kind of step. */
async function stepsOf({ records }: Pick<Awaited<ReturnType<typeof setUp>>, 'records'>, kind: string) {
  const { items } = await records.ledger.list({ after: null, limit: 100, about: null })
  return items.flatMap(({ steps }) => steps).filter((step) => step.kind === kind)
}

/** Two payments on two upstreams, of which one has become forbidden, and a wish to evict. */
async function misplaced(world: Awaited<ReturnType<typeof setUp>>) {
  const { records, store, publisher } = world
  await apply(records, added('up-1'), added('up-2'))
  await publisher.pass()
  for (const id of ['p-1', 'p-2']) await pinJob({ store }, { id, type: 'payment' }, ['up-1', 'up-2'])
  const rule = ruleAdded('r', { type: 'payment', institution: '*', upstreams: { ids: ['up-1'] } })
  const version = await apply(records, rule, { kind: 'eviction_asked' })
  await publisher.pass()
  const pinned = async () => (await store.pins.scan(null)).pins.map(({ job }) => job.id).sort()
  return { asked: version, pinned }
}

t.test(
  'read-only: no job is released, no machine ordered, for none of it could be written down',
  async (t) => {
    const world = await setUp(t)
    const { records, evict, live, readOnly, orders } = world
    const { asked, pinned } = await misplaced(world)
    await apply(records, ordered('vm-1'))
    await readOnly(true)
    for (let pass = 0; pass < 3; pass += 1) {
      await t.rejects(evict(), unavailable)
      await t.rejects(live(), unavailable)
    }
    t.same(await pinned(), ['p-1', 'p-2'])
    t.equal(orders(), 0)
    await readOnly(false)
    await evict()
    t.same(await pinned(), ['p-2'])
    t.match(await stepsOf(world, 'jobs_evicted'), [{ asked, jobs: 1 }])
    await live()
    t.equal(orders(), 1)
  },
)

t.test('a disk that is full behind an eviction: it is counted when there is room', async (t) => {
  const world = await setUp(t)
  const { url, evict, facts } = world
  const { asked, pinned } = await misplaced(world)
  await ask(
    url,
    `create function no_room() returns trigger language plpgsql as
       $$ begin raise exception 'could not extend file' using errcode = '53100'; end $$;
     create trigger no_room before insert on ledger for each row execute function no_room()`,
  )
  await t.rejects(evict(), unavailable)
  await t.rejects(evict(), unavailable)
  t.same(await pinned(), ['p-2'])
  t.same(facts.of('jobs_evicted'), [{ asked, jobs: 1 }], 'told at once, and once')
  await ask(url, 'drop trigger no_room on ledger')
  t.equal(await evict(), true)
  t.match(await stepsOf(world, 'jobs_evicted'), [{ asked, jobs: 1 }])
  t.match(await world.records.ledger.verify(), { ok: true })
})

t.test('cut off in the middle of a step: no alarm for each, the same order again, one machine', async (t) => {
  const { url, proxy, records, cloud, live, facts } = await setUp(t)
  await apply(records, ordered('vm-1'))
  // The machine is made, and what came of it cannot be written down.
  proxy.cutAt(['insert into ledger'], 'before', { andCut: true })
  await live()
  t.equal(cloud.machines.size, 1)
  await t.rejects(live(), unavailable, 'told once, by the pass')
  t.same([...facts.of('pass_failed'), ...facts.of('upstream_step_failed')], [])
  proxy.heal()
  const waiting = await records.upstreams.read('vm-1')
  t.match(waiting, { state: 'provisioning', attempts: 0, problem: null }, 'the upstream is not to blame')
  await ask(url, `update upstreams set claimed_until = now() - interval '1 s'`)
  for (let pass = 0; pass < 2; pass += 1) await live()
  t.match(await records.upstreams.read('vm-1'), { state: 'running' })
  const [first, second] = cloud.calls.filter(({ verb }) => verb === 'create')
  const { requestId } = first!.given as { readonly requestId: string }
  t.match(second?.given, { requestId })
  t.equal(cloud.machines.size, 1)
  t.match(await records.ledger.verify(), { ok: true })
})

t.test('a row that somebody has locked for long', async (t) => {
  const { url, records, cloud, facts, live } = await setUp(t)
  await apply(records, ordered('vm-1'), ordered('vm-2'))
  for (let pass = 0; pass < 3; pass += 1) await live()
  const client = new pg.Client(url)
  await client.connect()
  const release = () => client.end().catch(() => undefined)
  t.teardown(release)
  await client.query('begin')
  await client.query(`select 1 from upstreams where id = 'vm-1' for update`)

  await t.test('a sync corrects the others, and says which one it leaves', async (t) => {
    const sync = makeSync({
      fleet: records.fleet,
      upstreams: records.upstreams,
      reports: records.syncs,
      provider: cloud.provider,
      egressSeen: () => null,
      settings: { absences: 2, graceMs: 0, probes: true },
      holder: 'control-1',
      newId: randomUUID,
      now: () => performance.now(),
      wallClock: Date.now,
      signal: new AbortController().signal,
      events: facts.events,
      changed: () => {},
    })
    // Both have moved inside the network.
    for (const [id, one] of cloud.machines) cloud.machines.set(id, { ...one, host: `${one.host}9` })
    const pass = () => sync.pass({ pass: randomUUID(), confirmedBy: null })
    t.match(await pass(), {
      outcome: 'done',
      corrected: [{ id: 'vm-2' }],
      left: [{ id: 'vm-1', detail: /other transactions are in the way/ }],
    })
    await release()
    t.match(await pass(), { corrected: [{ id: 'vm-1' }], left: [] }, 'later it has its turn')
  })
})
