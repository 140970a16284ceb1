import t, { type Test } from 'tap'
import { makeControl } from '../../src/control/control.ts'
import {
  ProviderError,
  type CreateRequest,
  type Instance,
  type Provider,
} from '../../src/provider/provider.ts'
import { GatewayError } from '../../src/errors.ts'
import { openMemoryStore } from '../../src/store/memory/memory.ts'
import { makeFakeClock } from '../fixtures/clock.ts'
import { recordFacts } from '../fixtures/facts.ts'
import { until } from '../fixtures/until.ts'

const life = { idleMs: 1000, maxLifeMs: 10_000 }
const instanceOf = (id: string, labels = {}): Instance => ({
  id,
  name: id,
  host: '10.0.0.5',
  port: 8888,
  egressIp: '203.0.113.7',
  labels,
  credentials: 'vm',
})

function makeFakeProvider(there: Instance[]) {
  const calls: string[] = []
  let closed = 0
  const provider: Provider = {
    name: 'local',
    list: async () => [...there],
    async create({ name, labels }: CreateRequest) {
      calls.push(`create ${name}`)
      const instance = instanceOf(`${name}-life-1`, labels)
      there.push(instance)
      return instance
    },
    async delete(id) {
      calls.push(`delete ${id}`)
      there.splice(
        there.findIndex((instance) => instance.id === id),
        1,
      )
    },
    close: async () => void (closed += 1),
  }
  return { provider, calls, closed: () => closed }
}

function setUp(t: Test, there: Instance[], said: Partial<Parameters<typeof makeControl>[0]> = {}) {
  const clock = makeFakeClock()
  const store = openMemoryStore({ life, now: clock.now })
  const facts = recordFacts()
  const fake = makeFakeProvider(there)
  const control = makeControl({
    provider: fake.provider,
    wanted: null,
    labels: [],
    restrictions: [],
    store,
    events: facts.events,
    ...said,
  })
  t.teardown(() => control.stop())
  return { clock, store, facts, control, ...fake }
}

t.test('a provider whose list is all there is: its machines serve', async (t) => {
  const rule = {
    id: 'r',
    kind: 'deny',
    type: '*',
    institution: '*',
    upstreams: { ids: ['vm-1'] },
    overflow: false,
  } as const
  const { control, store, calls } = setUp(t, [instanceOf('vm-1', { pool: 'payments' })], {
    restrictions: [rule],
  })
  await control.start()
  t.same(calls, [])
  t.strictSame(await store.snapshots.read(), {
    version: 1,
    upstreams: [
      {
        ...instanceOf('vm-1', { pool: 'payments' }),
        provider: 'local',
        state: 'running',
        ejected: false,
        quarantined: false,
      },
    ],
    restrictions: [rule],
  })
})

t.test('a provider that makes machines is asked for as many as wanted, each with its labels', async (t) => {
  const { control, store, calls } = setUp(t, [], { wanted: 3, labels: [{ pool: 'a' }, { pool: 'b' }] })
  await control.start()
  t.same(calls, ['create local-1', 'create local-2', 'create local-3'])
  t.same(
    (await store.snapshots.read())?.upstreams.map(({ id, labels }) => [id, labels]),
    [
      ['local-1-life-1', { pool: 'a' }],
      ['local-2-life-1', { pool: 'b' }],
      ['local-3-life-1', {}],
    ],
  )
})

t.test('what a process before it left behind is deleted first', async (t) => {
  const { control, calls } = setUp(t, [instanceOf('old-1'), instanceOf('old-2')], { wanted: 1 })
  await control.start()
  t.same(calls, ['delete old-1', 'delete old-2', 'create local-1'])
})

t.test('a provider that fails is told to whoever starts it', async (t) => {
  const { control, provider, store } = setUp(t, [], { wanted: 1 })
  provider.create = async () => {
    throw new ProviderError('no_capacity', 'no port is free')
  }
  await t.rejects(control.start(), { code: 'no_capacity' })
  t.equal(await store.snapshots.version(), 0)
})

t.test('a store that is away does not stop it, and gets the fleet later', async (t) => {
  const clock = makeFakeClock()
  const store = openMemoryStore({ life, now: clock.now })
  let isDown = true
  const read = async () => {
    if (isDown) throw new GatewayError('store_unavailable', { detail: 'away' })
    return store.snapshots.read()
  }
  const away = { ...store, snapshots: { ...store.snapshots, read } }
  const { control, facts } = setUp(t, [instanceOf('vm-1')], { store: away })
  await control.start()
  t.strictSame(facts.names(), ['store_lost'])
  isDown = false
  await until('it is published', async () => (await store.snapshots.version()) === 1)
  t.same(facts.names(), ['store_lost', 'snapshot_published', 'store_found'])
})

t.test('its passes remove pins that have expired', async (t) => {
  const { control, store, clock } = setUp(t, [instanceOf('vm-1')])
  await control.start()
  const job = { id: 'job-1', type: null, institution: null }
  await store.pins.pin({ job, gatewayId: 'gw-1', version: 1, eligible: ['vm-1'], refused: [] })
  t.equal((await store.pins.counts()).get('vm-1'), 1)
  clock.advance(life.idleMs)
  await until('it is swept', async () => !(await store.pins.counts()).has('vm-1'))
})

t.test('stopped, it makes no pass more and closes the provider', async (t) => {
  const { control, closed } = setUp(t, [instanceOf('vm-1')])
  await control.start()
  await control.stop()
  t.equal(closed(), 1)
})
