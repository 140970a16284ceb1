import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { makeSync } from '../../src/control/sync.ts'
import type { Instance, Listing } from '../../src/provider/provider.ts'
import type { Author, NewUpstream } from '../../src/store/records.ts'
import { makeFakeClock } from '../fixtures/clock.ts'
import { controlWorlds } from '../fixtures/control-under-test.ts'
import { added, apply, changed } from '../fixtures/records-under-test.ts'
import { makeScriptedProvider } from '../fixtures/scripted-provider.ts'
import { drain, instance } from '../fixtures/upstream-records.ts'

const { openWorld } = await controlWorlds(t)
const minute = 60_000

/** Of the machine that `instance(id)` is. */
const recorded = (id: string, more: Partial<NewUpstream> = {}) =>
  added(id, {
    provider: 'gce',
    zone: 'zone-a',
    host: '10.0.0.1',
    egressIp: '203.0.113.1',
    listedIp: '203.0.113.1',
    incarnation: '1',
    addedBy: 'control',
    ...more,
  })

async function setUp(t: Test, ...ids: string[]) {
  const { records, fleet, facts } = await openWorld(t)
  const cloud = makeScriptedProvider()
  const clock = makeFakeClock()
  let onList: (listing: Listing) => Promise<Listing | void> = async () => {}
  const seen = new Map<string, string>()
  for (const id of ids) {
    await apply(records.store, recorded(id))
    cloud.machines.set(id, instance({ id }))
  }
  // Records are older than any grace.
  await records.pass(10 * minute)
  const provider = {
    ...cloud.provider,
    async list() {
      const listing = await cloud.provider.list()
      return (await onList(listing)) ?? listing
    },
  }
  const open = (store = records.store) =>
    makeSync({
      fleet: store.fleet,
      upstreams: store.upstreams,
      reports: store.syncs,
      provider,
      egressSeen: (id) => seen.get(id) ?? null,
      settings: { absences: 2, graceMs: minute, probes: true },
      holder: 'control-1',
      newId: randomUUID,
      now: clock.now,
      wallClock: () => 1_700_000_000_000 + clock.now(),
      signal: new AbortController().signal,
      events: facts.events,
      changed: () => {},
    })
  const sync = open()
  const pass = (confirmedBy: Author | null = null) => sync.pass({ pass: randomUUID(), confirmedBy })
  /** One after the other, far enough apart that what is missing in all of them is gone. */
  const passes = async () => {
    await pass()
    clock.advance(2 * minute)
    return pass()
  }
  const read = (id: string) => records.store.upstreams.read(id)
  const version = async () => (await fleet.head()).version
  const meanwhile = (act: typeof onList) => (onList = act)
  return { records, fleet, facts, cloud, clock, seen, pass, passes, read, version, meanwhile, open }
}

t.test('where all is as it should be nothing is written but the report', async (t) => {
  const { pass, version, facts, records } = await setUp(t, 'up-1', 'up-2')
  const before = await version()
  const report = await pass()
  t.match(report, { outcome: 'done', problems: [], listed: 2, recorded: 2, corrected: [], left: [] })
  t.equal(await version(), before)
  t.strictSame(await records.store.syncs.read(), report)
  t.match(facts.of('sync_done'), [{ outcome: 'done', listed: 2, corrected: 0, left: 0 }])
})

t.test('a machine that is gone is taken out once that is sure, and its tombstone says who', async (t) => {
  const { cloud, pass, clock, read, records, version } = await setUp(t, 'up-1', 'up-2')
  cloud.machines.delete('up-1')
  t.match(await pass(), { corrected: [], left: [{ id: 'up-1', detail: /looked for again/ }] })
  clock.advance(minute)
  t.match(await pass(), { corrected: [{ id: 'up-1', action: 'gone' }] })
  t.match(await read('up-1'), { state: 'deleted', deletedBy: 'provider' })
  t.match(await records.store.ledger.read(await version()), {
    actor: 'control',
    reason: 'sync: its machine is gone',
  })
})

t.test('a list that does not show a machine which is there takes nothing away', async (t) => {
  const { passes, meanwhile, read } = await setUp(t, 'up-1')
  meanwhile(async () => ({ instances: [], problems: [] }))
  t.match(await passes(), { corrected: [], left: [{ id: 'up-1', detail: /still has it/ }] })
  t.match(await read('up-1'), { state: 'running' })
})

t.test('a list that is cut off says so, and takes nothing away', async (t) => {
  const { cloud, passes, meanwhile, read } = await setUp(t, 'up-1')
  cloud.machines.clear()
  meanwhile(async (listing) => ({ ...listing, problems: ['zone-b did not answer'] }))
  t.match(await passes(), {
    outcome: 'incomplete',
    problems: ['zone-b did not answer'],
    left: [{ id: 'up-1', detail: /incomplete/ }],
  })
  t.match(await read('up-1'), { state: 'running' })
})

t.test('without a list there is a report of that', async (t) => {
  const { cloud, pass, facts } = await setUp(t, 'up-1')
  cloud.fail('list', 'rate_limited')
  t.match(await pass(), { outcome: 'failed', problems: [/^rate_limited: /], recorded: 1, corrected: [] })
  t.match(facts.of('sync_done'), [{ outcome: 'failed' }])
})

t.test('what somebody changed while the cloud answered is left for the next pass', async (t) => {
  const cases: { name: string; behind: (cloud: Map<string, Instance>) => void }[] = [
    { name: 'gone', behind: (machines) => machines.delete('up-1') },
    {
      name: 'renewed',
      behind: (machines) => machines.set('up-1', instance({ id: 'up-1', egressIp: '203.0.113.9' })),
    },
    {
      name: 'moved',
      behind: (machines) => machines.set('up-1', instance({ id: 'up-1', host: '10.0.0.9' })),
    },
  ]
  for (const { name, behind } of cases) {
    await t.test(name, async (t) => {
      const { cloud, pass, clock, meanwhile, read, records } = await setUp(t, 'up-1')
      behind(cloud.machines)
      if (name === 'gone') {
        await pass()
        clock.advance(2 * minute)
      }
      meanwhile(async () => {
        await apply(records.store, changed('up-1', { quarantined: true }))
      })
      t.match(await pass(), { corrected: [], left: [{ id: 'up-1', detail: /changed meanwhile/ }] })
      t.match(await read('up-1'), { state: 'running', quarantined: true, host: '10.0.0.1' })
    })
  }
})

t.test('another external address is another upstream: one ends, one waits for its probes', async (t) => {
  const { cloud, pass, read } = await setUp(t, 'up-1')
  cloud.machines.set('up-1', instance({ id: 'up-1', egressIp: '203.0.113.9' }))
  t.match(await pass(), {
    corrected: [{ id: 'up-1', action: 'renewed', detail: /203.0.113.1 and is 203.0.113.9/ }],
  })
  t.match(await read('up-1'), { state: 'deleted', deletedBy: 'provider' })
  t.match(await read('up-1.2'), {
    state: 'provisioning',
    instanceId: 'up-1',
    egressIp: '203.0.113.9',
    listedIp: '203.0.113.9',
    incarnation: '1',
    addedBy: 'provider',
  })
  t.match(await pass(), { corrected: [], left: [] }, 'and that is that')
  t.equal(cloud.callsOf('delete').length, 0)
})

t.test('a machine that is to go, or is being replaced, still is when its address is another', async (t) => {
  const leaving = drain({ thenDelete: true, by: 'control' })
  const cases = [
    {
      name: 'drained to be deleted',
      to: { state: 'draining', drain: leaving },
      becomes: { state: 'deleting', drain: { by: 'control' }, requestId: /-/ },
    },
    {
      name: 'only drained: the new life is another upstream',
      to: { state: 'draining', drain: drain() },
      becomes: { state: 'provisioning', drain: null },
    },
    {
      name: 'replaced',
      to: { replacedBy: 'up-9' },
      becomes: { state: 'provisioning', replacedBy: 'up-9' },
    },
    {
      name: 'another machine under its name',
      to: { state: 'draining', drain: leaving },
      incarnation: '2',
      becomes: { state: 'provisioning', drain: null },
    },
  ] as const
  for (const { name, to, becomes, ...more } of cases) {
    await t.test(name, async (t) => {
      const { records, cloud, pass, read } = await setUp(t, 'up-1')
      await apply(records.store, { kind: 'upstream_changed', id: 'up-1', from: {}, to })
      cloud.machines.set('up-1', instance({ id: 'up-1', egressIp: '203.0.113.9', ...more }))
      t.match(await pass(), { corrected: [{ id: 'up-1', action: 'renewed' }] })
      t.match(await read('up-1'), { state: 'deleted', deletedBy: 'provider' })
      t.match(await read('up-1.2'), becomes)
    })
  }
})

t.test('a machine that a person keeps from jobs stays so, whatever its address becomes', async (t) => {
  const drain = {
    sinceMs: 0,
    deadlineMs: 0,
    thenDelete: false,
    by: 'operator' as const,
    drainedAtMs: 1,
    shut: null,
  }
  for (const kept of [{ quarantined: true }, { state: 'draining' as const, drain }]) {
    const { cloud, pass, read, records } = await setUp(t, 'up-1')
    await apply(records.store, changed('up-1', kept))
    cloud.machines.set('up-1', instance({ id: 'up-1', egressIp: '203.0.113.9' }))
    await pass()
    t.match(await read('up-1.2'), { state: 'provisioning', quarantined: true, drain: null })
  }
})

t.test('a stale view of an address renews nothing', async (t) => {
  const { pass, meanwhile, read } = await setUp(t, 'up-1')
  meanwhile(async () => ({ instances: [instance({ id: 'up-1', egressIp: '203.0.113.9' })], problems: [] }))
  t.match(await pass(), { corrected: [], left: [{ id: 'up-1', detail: /says otherwise when asked again/ }] })
  t.match(await read('up-1'), { state: 'running', egressIp: '203.0.113.1' })
})

t.test('what the world sees counts: another address there is another upstream too', async (t) => {
  const { pass, seen, read } = await setUp(t, 'up-1')
  seen.set('up-1', '198.51.100.7')
  t.match(await pass(), { corrected: [{ id: 'up-1', action: 'renewed' }] })
  t.match(await read('up-1'), { state: 'deleted' })
  t.match(await read('up-1.2'), { state: 'provisioning' })
})

t.test('an address inside changes the same upstream', async (t) => {
  const { cloud, pass, read } = await setUp(t, 'up-1')
  cloud.machines.set('up-1', instance({ id: 'up-1', host: '10.0.0.9' }))
  t.match(await pass(), { corrected: [{ id: 'up-1', action: 'moved' }] })
  t.match(await read('up-1'), { state: 'running', host: '10.0.0.9', egressIp: '203.0.113.1' })
})

t.test('a machine of others with our label is adopted, once, also by two at once', async (t) => {
  const { cloud, pass, open, read } = await setUp(t, 'up-1')
  cloud.machines.set(
    'vm-9',
    instance({ id: 'vm-9', host: '10.0.0.9', labels: { pool: 'p' }, incarnation: '9' }),
  )
  const another = open()
  const reports = await Promise.all([pass(), another.pass({ pass: 'other', confirmedBy: null })])
  t.same(
    reports.flatMap(({ corrected }) => corrected.map(({ id }) => id)),
    ['vm-9'],
  )
  t.match(await read('vm-9'), {
    state: 'provisioning',
    labels: { pool: 'p' },
    incarnation: '9',
    addedBy: 'provider',
  })
  t.equal(await read('vm-9.2'), null)
})

t.test(
  'a machine that should be deleted and is still there is deleted; what went by itself lives again',
  async (t) => {
    const { cloud, pass, passes, read, records } = await setUp(t, 'up-1', 'up-2')
    await apply(
      records.store,
      { kind: 'upstream_deleted', id: 'up-1', by: 'operator' },
      { kind: 'upstream_deleted', id: 'up-2', by: 'provider' },
    )
    t.match(await pass(), {
      corrected: [{ id: 'up-2', action: 'adopted' }],
      left: [{ id: 'up-1', detail: /may be listed a while longer/ }],
    })
    t.match(await read('up-2.2'), { state: 'provisioning', instanceId: 'up-2' })
    t.match(await passes(), { corrected: [{ id: 'up-1', action: 'leftover' }] })
    t.same([...cloud.machines.keys()], ['up-2'])
    t.equal(await read('up-1.2'), null)
  },
)

t.test('one that failed is forgotten after an hour: its row is deleted as any other', async (t) => {
  const { pass, records, read } = await setUp(t)
  await apply(records.store, recorded('up-1', { state: 'failed', host: '' }))
  t.match(await pass(), { corrected: [] })
  await records.pass(3_600_000)
  t.match(await pass(), { corrected: [{ id: 'up-1', action: 'forgotten' }] })
  t.match(await read('up-1'), { state: 'deleting', requestId: /^[0-9a-f-]{36}$/ })
})

t.test('too much gone at once stops what takes away, until a person confirms it', async (t) => {
  const { cloud, passes, pass, read, records, version } = await setUp(t, 'up-1', 'up-2', 'up-3')
  cloud.machines.clear()
  cloud.machines.set('vm-9', instance({ id: 'vm-9', host: '10.0.0.9', incarnation: '9' }))
  t.match(await passes(), {
    outcome: 'stopped',
    problems: [/3 of 3 running upstreams.*confirm/],
    left: [{ detail: /not confirmed/ }, {}, {}],
  })
  t.match(await read('vm-9'), { state: 'provisioning' }, 'what comes is taken in all the same')
  t.match(await pass({ actor: 'admin:alice', reason: 'the project was moved' }), { outcome: 'done' })
  t.match(await read('up-3'), { state: 'deleted' })
  t.match(await records.store.ledger.read(await version()), {
    reason: 'sync: its machine is gone; confirmed by admin:alice (the project was moved)',
  })
})

t.test('a cloud that fails in the middle leaves that one for the next pass', async (t) => {
  const { cloud, pass, clock, read } = await setUp(t, 'up-1', 'up-2')
  cloud.machines.delete('up-1')
  await pass()
  clock.advance(2 * minute)
  cloud.fail('read', 'unavailable')
  t.match(await pass(), { outcome: 'done', corrected: [], left: [{ id: 'up-1', detail: /unavailable/ }] })
  t.match(await pass(), { corrected: [{ id: 'up-1', action: 'gone' }] })
  t.match(await read('up-2'), { state: 'running' })
})
