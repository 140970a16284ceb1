import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { makeControl } from '../../src/control/control.ts'
import type { ControlSettings } from '../../src/control/passes.ts'
import type { Probe } from '../../src/control/probe.ts'
import { ControlError, GatewayError } from '../../src/errors.ts'
import { ProviderError, type Instance, type Provider } from '../../src/provider/provider.ts'
import type { Restriction } from '../../src/types.ts'
import { controlWorlds, life, operator, pinJob } from '../fixtures/control-under-test.ts'
import { until } from '../fixtures/until.ts'

const { openWorld } = await controlWorlds(t)
const rule: Restriction = {
  id: 'r',
  kind: 'deny',
  type: 'payment',
  institution: '*',
  upstreams: { ids: ['vm-1'] },
  overflow: false,
}
const listedOf = (id: string, port = 8888) => {
  return { id, name: id, host: '10.0.0.5', port, egressIp: '203.0.113.7', labels: {}, credentials: 'vm' }
}
const instanceOf = (id: string, port?: number): Instance => ({
  ...listedOf(id, port),
  zone: null,
  incarnation: null,
  status: 'running',
  createdAtMs: null,
})

function listing(instances: readonly Instance[]) {
  const told = { closed: 0 }
  const provider: Provider = {
    name: 'static',
    zones: [],
    place: async () => null,
    draft: () => {
      throw new ProviderError('no_capacity', 'makes none')
    },
    list: async () => ({ instances: [...instances], problems: [] }),
    read: async ({ id }) => instances.find((instance) => instance.id === id) ?? null,
    create: async () => instanceOf('never'),
    delete: async () => {},
    close: async () => void (told.closed += 1),
  }
  return { provider, told }
}

/** Without probes, what is listed runs at once. */
const settings: ControlSettings = {
  wanted: null,
  launchMs: 60_000,
  drainMs: 60_000,
  silentMs: 130_000,
  probes: { everyMs: 0, good: 2, bad: 3, ejectMs: 30_000, ejectMaxMs: 60_000 },
  sync: { everyMs: 60_000, absences: 2, graceMs: 120_000 },
}
let controls = 0

type Said = Partial<Parameters<typeof makeControl>[0]>

async function setUp(t: Test, instances: readonly Instance[], said: Said = {}) {
  const world = await openWorld(t)
  const { provider, told } = listing(instances)
  const make = (more: Said = {}) => {
    const control = makeControl({
      provider,
      settings,
      restrictions: [],
      probe: async () => ({ ok: true, ms: 1, egressIp: null }),
      store: world.store,
      records: world.records.store,
      events: world.facts.events,
      holder: `control-${(controls += 1)}`,
      newSuffix: () => '12345678',
      newRequestId: randomUUID,
      now: () => performance.now(),
      wallClock: Date.now,
      ...said,
      ...more,
    })
    t.teardown(() => control.stop())
    return control
  }
  return { ...world, told, make, control: make() }
}

const published = async ({ store }: Awaited<ReturnType<typeof setUp>>) => {
  const snapshot = await store.snapshots.read()
  return snapshot && { version: snapshot.version, ids: snapshot.upstreams.map(({ id }) => id) }
}

const isDeleted = ({ records }: Awaited<ReturnType<typeof setUp>>, id: string) =>
  until(`${id} is deleted`, async () => (await records.store.upstreams.read(id))?.state === 'deleted')

t.test(
  'started, it has taken in what the provider lists and the configuration says, and published it',
  async (t) => {
    const world = await setUp(t, [instanceOf('vm-1')], { restrictions: [rule] })
    await world.control.start()
    t.match(await world.store.snapshots.read(), {
      version: 1,
      upstreams: [{ ...listedOf('vm-1'), provider: 'static', state: 'running', quarantined: false }],
      restrictions: [rule],
    })
    t.equal(world.control.publisher.version, 1)
  },
)

t.test('a fleet without upstreams is published too: some may be registered later', async (t) => {
  const world = await setUp(t, [])
  await world.control.start()
  t.same(await published(world), { version: 1, ids: [] })
})

t.test('started again, it finds all as it was, and changes nothing', async (t) => {
  const world = await setUp(t, [instanceOf('vm-1')], { restrictions: [rule] })
  await world.control.start()
  await world.control.upstreams.quarantine('vm-1', operator)
  await world.control.stop()
  await world.make().start()
  t.match(await world.store.snapshots.read(), { version: 2, upstreams: [{ id: 'vm-1', quarantined: true }] })
})

t.test('a machine that was off the list and is on it again is a new upstream', async (t) => {
  const world = await setUp(t, [instanceOf('vm-1'), instanceOf('vm-2', 8889)])
  await world.control.start()
  await world.make({ provider: listing([instanceOf('vm-2', 8889)]).provider }).start()
  await isDeleted(world, 'vm-1')
  await world.make().start()
  t.same((await published(world))?.ids, ['vm-1.2', 'vm-2'])
})

t.test('what an operator deleted does not come back with the next start, and that is said', async (t) => {
  const world = await setUp(t, [instanceOf('vm-1'), instanceOf('vm-2', 8889)])
  await world.control.start()
  await world.control.upstreams.remove('vm-1', { force: true, deadlineMs: null }, operator)
  await isDeleted(world, 'vm-1')
  await world.make().start()
  t.same((await published(world))?.ids, ['vm-2'])
  t.match(world.facts.of('upstream_not_adopted'), [{ id: 'vm-1', detail: /operator deleted/ }])
})

t.test('an entry that leaves the list is drained; listed again meanwhile, it stays', async (t) => {
  const world = await setUp(t, [instanceOf('vm-1'), instanceOf('vm-2', 8889)])
  await world.control.start()
  await pinJob(world, { id: 'job-1' }, ['vm-1'])
  await world.make({ provider: listing([instanceOf('vm-2', 8889)]).provider }).start()
  const state = async () => (await world.records.store.upstreams.read('vm-1'))?.state
  t.equal(await state(), 'draining')
  await world.make().start()
  t.equal(await state(), 'running')
})

t.test('a reload takes in what the configuration says now, once the database answers', async (t) => {
  let isDown = false
  const rules = [rule]
  const world = await setUp(t, [instanceOf('vm-1'), instanceOf('vm-2', 8889)])
  const { store: records } = world.records
  const change: typeof records.fleet.change = async (edit) => {
    if (isDown) throw new ControlError('database_unavailable', 'away')
    return records.fleet.change(edit)
  }
  const control = world.make({
    records: { ...records, fleet: { ...records.fleet, change } },
    restrictions: rules,
  })
  const ids = async () => (await world.store.snapshots.read())?.restrictions.map(({ id }) => id)
  await control.start()
  t.same(await ids(), ['r'])
  isDown = true
  rules[0] = { ...rule, id: 'other' }
  control.reload()
  await until('it has noticed', () => world.facts.of('database_lost').length === 1)
  isDown = false
  await until('it is published', async () => (await ids())?.[0] === 'other')
  rules.pop()
  control.reload()
  control.reload()
  await until('that is published too', async () => (await ids())?.length === 0)
  t.equal((await world.store.snapshots.read())?.version, 3)
})

t.test('probes that are switched on by a reload begin, and what comes then waits for them', async (t) => {
  const asked: string[] = []
  const probe: Probe = async ({ id }) => {
    asked.push(id)
    return { ok: true, ms: 1, egressIp: null }
  }
  const now = { ...settings, probes: { ...settings.probes } }
  const world = await setUp(t, [instanceOf('vm-1')], { settings: now, probe })
  await world.control.start()
  t.same(asked, [])
  now.probes.everyMs = 100
  await until('it is probed', () => asked.includes('vm-1'))
  const { answer } = await world.control.upstreams.register(
    { host: '10.0.0.7', port: 1, name: null, egressIp: null, labels: {}, credentials: null },
    operator,
  )
  t.equal(answer.state, 'provisioning')
})

t.test('ready means: what is listed has been probed, and serves or says why not', async (t) => {
  const probes = { ...settings.probes, everyMs: 10_000 }
  const probe: Probe = async ({ port }) =>
    port === 8888
      ? { ok: true, ms: 1, egressIp: '203.0.113.8' }
      : { ok: false, ms: 1, problem: 'connection refused' }
  const world = await setUp(t, [instanceOf('vm-1'), instanceOf('vm-2', 8889)], {
    settings: { ...settings, probes },
    probe,
  })
  await world.control.start()
  t.same((await published(world))?.ids, ['vm-1'])
  t.match(await world.records.store.upstreams.read('vm-1'), { state: 'running', egressIp: '203.0.113.8' })
  t.match(await world.records.store.upstreams.read('vm-2'), {
    state: 'provisioning',
    problem: 'probe: connection refused',
    attempts: 1,
  })
})

t.test('a pass of sync that is asked for begins soon, and its report is that one', async (t) => {
  const world = await setUp(t, [instanceOf('vm-1')])
  await world.control.start()
  t.equal(await world.control.sync.report(), null)
  const { pass } = await world.control.sync.ask({ confirm: false }, operator.author)
  await until('it is there', async () => (await world.control.sync.report())?.pass === pass)
  t.match(await world.control.sync.report(), {
    outcome: 'done',
    listed: 1,
    recorded: 1,
    corrected: [],
    left: [],
  })
})

t.test(
  'one that meets an outage of the database is made later, and its report is still that one',
  async (t) => {
    const world = await setUp(t, [instanceOf('vm-1')])
    const { records } = world
    let isDown = false
    const read: typeof records.store.fleet.read = async () => {
      if (isDown) throw new ControlError('database_unavailable', 'away')
      return records.store.fleet.read()
    }
    const kept: string[] = []
    const keep: typeof records.store.syncs.keep = (report) => {
      kept.push(report.pass)
      return records.store.syncs.keep(report)
    }
    const often = { ...settings, sync: { ...settings.sync, everyMs: 50 } }
    const control = world.make({
      records: {
        ...records.store,
        fleet: { ...records.store.fleet, read },
        syncs: { ...records.store.syncs, keep },
      },
      settings: often,
    })
    await control.start()
    isDown = true
    const { pass } = await control.sync.ask({ confirm: true }, operator.author)
    await until('the outage is noticed', () => control.database.problem === 'away')
    isDown = false
    await until('it is reported', () => kept.includes(pass))
    t.equal(world.facts.of('database_lost').length, 1)
  },
)

t.test('two that start at once take the same in, once', async (t) => {
  const world = await setUp(t, [instanceOf('vm-1')], { restrictions: [rule] })
  await Promise.all([world.control.start(), world.make().start()])
  t.same(await published(world), { version: 1, ids: ['vm-1'] })
})

t.test('one that is overtaken while it looks, looks again', async (t) => {
  const world = await setUp(t, [instanceOf('vm-1')])
  const { store: records } = world.records
  let overtaken: Promise<void> | null = null
  const list: typeof records.upstreams.list = async (request) => {
    const seen = await records.upstreams.list(request)
    await (overtaken ??= world.control.start())
    return seen
  }
  await world.make({ records: { ...records, upstreams: { ...records.upstreams, list } } }).start()
  t.same(await published(world), { version: 1, ids: ['vm-1'] })
  t.match(
    world.facts.of('pass_failed'),
    [{ pass: 'take in', error: { code: 'conflict' } }],
    'and that is told',
  )
})

t.test('a list of thousands is taken in with a handful of questions', async (t) => {
  const many = Array.from({ length: 3000 }, (_, index) => instanceOf(`vm-${index}`, 1000 + index))
  const world = await setUp(t, many)
  const { store: records } = world.records
  let questions = 0
  const counted = <A extends unknown[], R>(ask: (...args: A) => R) => {
    return (...args: A): R => {
      questions += 1
      return ask(...args)
    }
  }
  const { list, read } = records.upstreams
  const upstreams = { ...records.upstreams, list: counted(list), read: counted(read) }
  await world.make({ records: { ...records, upstreams } }).start()
  t.equal((await published(world))?.ids.length, 3000)
  t.ok(questions < 10, `${questions} questions`)
})

t.test('a change is published at once, and its eviction follows', async (t) => {
  const world = await setUp(t, [instanceOf('vm-1'), instanceOf('vm-2', 8889)])
  await world.control.start()
  await pinJob(world, { id: 'p', type: 'payment' }, ['vm-1'])
  await world.control.restrictions.add(rule, { force: false, evict: true }, operator)
  await until('the job is evicted', async () => (await world.store.pins.read('p')) === null)
  await until('its end is published', async () => (await world.store.snapshots.version()) === 3)
})

t.test('a provider that fails is told to whoever starts it', async (t) => {
  const { provider } = listing([])
  const list = async () => {
    throw new ProviderError('rate_limited', 'slowly')
  }
  const { control, store } = await setUp(t, [], { provider: { ...provider, list } })
  await t.rejects(control.start(), { code: 'rate_limited' })
  t.equal(await store.snapshots.version(), 0)
})

t.test('a database that is away is waited for', async (t) => {
  const world = await setUp(t, [instanceOf('vm-1')])
  let isDown = true
  const { store: records } = world.records
  const migrate = async () => {
    if (isDown) throw new ControlError('database_unavailable', 'away')
    await records.migrate()
  }
  const started = world.make({ records: { ...records, migrate } }).start()
  await until('it has noticed', () => world.facts.of('database_lost').length === 1)
  t.equal(await published(world), null)
  isDown = false
  await started
  t.same(await published(world), { version: 1, ids: ['vm-1'] })
  t.equal(world.facts.of('database_found').length, 1)
})

t.test('before its tables are up to date, no pass asks the database for anything', async (t) => {
  const world = await setUp(t, [instanceOf('vm-1')])
  const { store: records } = world.records
  const job = { id: 'job-1', type: null, institution: null }
  await world.store.reports.add({ id: randomUUID(), job, upstream: null, outcome: 'ok' })
  const told: string[] = []
  // It runs beside the one that writes reports down.
  const sweep: typeof world.store.pins.sweep = async (limit) => {
    told.push('swept')
    return world.store.pins.sweep(limit)
  }
  const migrate = async () => {
    await until('passes have run', () => told.filter((name) => name === 'swept').length > 1)
    await records.migrate()
    told.push('migrated')
  }
  const add: typeof records.reports.add = async (reports) => {
    told.push('written')
    await records.reports.add(reports)
  }
  const control = world.make({
    store: { ...world.store, pins: { ...world.store.pins, sweep } },
    records: { ...records, migrate, reports: { ...records.reports, add } },
  })
  await control.start()
  await until('the report is written down', () => told.includes('written'))
  t.ok(told.indexOf('written') > told.indexOf('migrated'))
})

t.test('told to stop, it waits for the database no longer', async (t) => {
  const world = await setUp(t, [])
  const migrate = async () => {
    throw new ControlError('database_unavailable', 'away')
  }
  const control = world.make({ records: { ...world.records.store, migrate } })
  const started = control.start()
  await until('it has noticed', () => world.facts.of('database_lost').length === 1)
  control.cancelStart()
  await started
  t.equal(control.publisher.version, 0)
})

t.test('a store of pins that is away does not stop it, and gets the fleet later', async (t) => {
  const world = await setUp(t, [instanceOf('vm-1')])
  let isDown = true
  const version = async () => {
    if (isDown) throw new GatewayError('store_unavailable', { detail: 'away' })
    return world.store.snapshots.version()
  }
  const store = { ...world.store, snapshots: { ...world.store.snapshots, version } }
  await world.make({ store }).start()
  t.strictSame(world.facts.of('store_lost'), [{ detail: 'away' }])
  isDown = false
  await until('it is published', async () => (await published(world))?.version === 1)
  await until('it is told', () => world.facts.of('store_found').length === 1)
  t.equal(world.facts.of('database_lost').length, 0, 'which is not the fault of the database')
})

t.test('its passes remove pins that have expired', async (t) => {
  const world = await setUp(t, [instanceOf('vm-1')])
  await world.control.start()
  await pinJob(world, { id: 'job-1' }, ['vm-1'])
  t.equal((await world.store.pins.counts()).get('vm-1'), 1)
  world.clock.advance(life.idleMs)
  await until('it is swept', async () => !(await world.store.pins.counts()).has('vm-1'))
})

t.test('the load of an upstream: pins of all, tunnels of all gateways together', async (t) => {
  const world = await setUp(t, [instanceOf('vm-1')])
  await world.control.start()
  await pinJob(world, { id: 'job-1' }, ['vm-1'])
  for (const [id, open] of [
    ['gw-1', 2],
    ['gw-2', 3],
  ] as const)
    await world.store.heartbeats.beat({ id, version: 1, tunnels: { 'vm-1': open }, pins: {} })
  t.strictSame(await world.control.load(), { pins: new Map([['vm-1', 1]]), tunnels: new Map([['vm-1', 5]]) })
})

t.test('stopped, it makes no pass more and closes the provider', async (t) => {
  const { control, told } = await setUp(t, [instanceOf('vm-1')])
  await control.start()
  await control.stop()
  t.equal(told.closed, 1)
})
