import t, { type Test } from 'tap'
import { makePublisher, snapshotOf } from '../../src/control/publish.ts'
import { GatewayError } from '../../src/errors.ts'
import { openMemoryStore } from '../../src/store/memory/memory.ts'
import type { FleetContent, UpstreamRecord } from '../../src/store/records.ts'
import type { Snapshots } from '../../src/store/store.ts'
import { controlWorlds, life } from '../fixtures/control-under-test.ts'
import { added, apply, changed, restriction, ruleAdded } from '../fixtures/records-under-test.ts'
import { snapshot } from '../fixtures/snapshot.ts'
import { drain, madeMs, upstreamRecord } from '../fixtures/upstream-records.ts'

const { openWorld } = await controlWorlds(t)
const empty = (): Snapshots => openMemoryStore({ life, now: () => 0 }).snapshots

const content: FleetContent = {
  version: 1,
  ledgerHash: '',
  evictionAsked: null,
  wantedSize: null,
  configuredSize: null,
  nowMs: madeMs,
  upstreams: [],
  restrictions: [],
}

/** A store of pins with a hand on it: `current` may be exchanged, `isDown` makes it throw. */
async function setUp(t: Test) {
  const { records, fleet, facts } = await openWorld(t)
  const store = { current: empty(), isDown: false, published: [] as number[], reads: 0 }
  const call =
    <A extends unknown[], R>(verb: () => (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      if (store.isDown) throw new GatewayError('store_unavailable', { detail: 'away' })
      return verb()(...args)
    }
  const snapshots: Snapshots = {
    async read() {
      store.reads += 1
      return call(() => store.current.read)()
    },
    version: call(() => store.current.version),
    async publish(given) {
      store.published.push(given.version)
      return call(() => store.current.publish)(given)
    },
  }
  const make = () => makePublisher({ fleet, snapshots, events: facts.events })
  return {
    records: records.store,
    tamper: records.tamper,
    fleet,
    store,
    snapshots,
    facts,
    make,
    publisher: make(),
  }
}

const idsIn = async ({ current }: { current: Snapshots }) =>
  (await current.read())?.upstreams.map(({ id }) => id)

const targets = { kind: 'targets', upstreams: { ids: [] }, targets: ['bank.example'], report: true } as const

t.test('the records are published under their version, and only what gateways need', async (t) => {
  const { records, publisher, store, facts } = await setUp(t)
  t.equal(publisher.version, 0)
  await apply(records, added('up-1'), added('up-2'), ruleAdded('r'), ruleAdded('t', targets))
  await publisher.pass()
  const published = await store.current.read()
  t.equal(published?.version, 1)
  t.match(published?.ledgerHash, /^[0-9a-f]{64}$/)
  t.same(
    published?.upstreams.map((upstream) => Object.keys(upstream).sort().join()),
    [
      'credentials,egressIp,ejected,host,id,labels,name,port,provider,quarantined,state',
      'credentials,egressIp,ejected,host,id,labels,name,port,provider,quarantined,state',
    ],
  )
  t.same(Object.keys(published?.restrictions[0] ?? {}).sort(), [
    'id',
    'institution',
    'kind',
    'overflow',
    'type',
    'upstreams',
  ])
  t.strictSame(published?.restrictions[1], restriction('t', targets))
  t.equal(publisher.version, 1)
  t.match(publisher.upstream('up-2'), { id: 'up-2' })
  t.equal(publisher.upstream('up-9'), null)
  t.strictSame(facts.of('snapshot_published'), [{ version: 1 }])
})

const closed = { atMs: madeMs, pins: 1, tunnels: 0 }

t.test('gateways are told of the upstreams that jobs may be on', async (t) => {
  const rows: readonly (readonly [name: string, said: Partial<UpstreamRecord>, isPublished: boolean])[] = [
    ['running', { state: 'running' }, true],
    ['running, and set aside', { state: 'running', ejected: true, quarantined: true }, true],
    ['running, and replaced', { state: 'running', replacedBy: 'up-2' }, true],
    ['draining: its jobs finish', { state: 'draining', drain: drain() }, true],
    ['drained: it may come back', { state: 'draining', drain: drain({ drainedAtMs: madeMs }) }, true],
    ['drained, to be deleted', { state: 'draining', drain: drain({ thenDelete: true }) }, true],
    ['draining, nobody knows why', { state: 'draining', drain: null }, true],
    ['closed at its deadline', { state: 'draining', drain: drain({ shut: closed }) }, false],
    ['once closed, and cancelled since', { state: 'running', drain: drain({ shut: closed }) }, true],
    ['being made', { state: 'provisioning', host: '' }, false],
    ['made, and its probes not good yet', { state: 'provisioning' }, false],
    ['being deleted', { state: 'deleting', drain: drain() }, false],
    ['failed', { state: 'failed' }, false],
  ]
  for (const [name, said, isPublished] of rows) {
    const { upstreams } = snapshotOf({ ...content, upstreams: [upstreamRecord({ id: 'up-1', ...said })] })
    t.equal(upstreams.length, isPublished ? 1 : 0, name)
  }
})

t.test('gateways are told the state, so that draining ones get no new jobs', async (t) => {
  const record = upstreamRecord({
    id: 'up-1',
    state: 'draining',
    drain: drain(),
    requestId: 'r',
    problem: 'p',
  })
  t.strictSame(snapshotOf({ ...content, upstreams: [record] }).upstreams, [
    {
      id: 'up-1',
      name: 'up-1',
      provider: 'gce',
      state: 'draining',
      host: '10.0.0.1',
      port: 8888,
      egressIp: '203.0.113.1',
      labels: {},
      ejected: false,
      quarantined: false,
      credentials: null,
    },
  ])
})

t.test(
  'what is closed leaves gateways with the next publication, and what is cancelled comes back',
  async (t) => {
    const { records, publisher, store } = await setUp(t)
    await apply(records, added('up-1', { state: 'draining', drain: drain() }), added('up-2'))
    await publisher.pass()
    t.same(await idsIn(store), ['up-1', 'up-2'])
    await apply(records, changed('up-1', { drain: drain({ drainedAtMs: madeMs, shut: closed }) }))
    await publisher.pass()
    t.same(await idsIn(store), ['up-2'])
    await apply(records, changed('up-1', { state: 'running', drain: null }))
    await publisher.pass()
    t.same(await idsIn(store), ['up-1', 'up-2'])
  },
)

t.test('a pass with nothing to do publishes nothing, and reads no more than versions', async (t) => {
  const { records, publisher, store } = await setUp(t)
  await apply(records, added('up-1'))
  await publisher.pass()
  store.reads = 0
  await publisher.pass()
  t.same(store.published, [1])
  t.equal(store.reads, 0)
})

t.test('several changes at once are one publication', async (t) => {
  const { records, publisher, store } = await setUp(t)
  for (const id of ['up-1', 'up-2', 'up-3']) await apply(records, added(id))
  await publisher.pass()
  t.same(store.published, [3])
})

t.test('a control that starts finds its fleet published, and publishes nothing', async (t) => {
  const { records, publisher, store, make } = await setUp(t)
  await apply(records, added('up-1'))
  await publisher.pass()
  const second = make()
  await second.pass()
  t.equal(second.version, 1)
  t.same(store.published, [1])
})

t.test('a store that is away gets the newest fleet with a later pass', async (t) => {
  const { records, publisher, store } = await setUp(t)
  await apply(records, added('up-1'))
  store.isDown = true
  await t.rejects(publisher.pass(), { code: 'store_unavailable' })
  await apply(records, added('up-2'))
  store.isDown = false
  await publisher.pass()
  t.same(await idsIn(store), ['up-1', 'up-2'])
})

t.test('a store that lost the fleet gets it back, under its version', async (t) => {
  const { records, publisher, store } = await setUp(t)
  await apply(records, added('up-1'))
  await publisher.pass()
  const before = await store.current.read()
  store.current = empty()
  await publisher.pass()
  t.strictSame(await store.current.read(), before)
})

t.test('a database older than the store goes on above it, with a row in the ledger', async (t) => {
  const { records, publisher, store, facts } = await setUp(t)
  await apply(records, added('up-1'))
  await store.current.publish(snapshot(7, ['of-before']))
  await publisher.pass()
  t.match(await store.current.read(), { version: 8 })
  t.same(await idsIn(store), ['up-1'])
  t.strictSame(facts.of('version_raised'), [{ above: 7, version: 8 }])
  t.match(await records.ledger.read(8), {
    actor: 'control',
    reason: /ahead of the database/,
    steps: [{ kind: 'version_raised', above: 7 }],
  })
  t.match(await records.ledger.verify(), { ok: true, version: 8 })
})

t.test('two controls that see it at once raise the version once', async (t) => {
  const { records, fleet, store, snapshots, facts } = await setUp(t)
  await apply(records, added('up-1'))
  await store.current.publish(snapshot(7, ['of-before']))
  const { promise: bothHaveLooked, resolve } = Promise.withResolvers<void>()
  let looks = 0
  const head = async () => {
    const seen = await fleet.head()
    looks += 1
    if (looks === 2) resolve()
    await bothHaveLooked
    return seen
  }
  const make = () => makePublisher({ fleet: { ...fleet, head }, snapshots, events: facts.events })
  await Promise.all([make().pass(), make().pass()])
  t.equal((await records.fleet.head()).version, 8)
  t.same(
    facts.of('version_raised').map(({ version }) => version),
    [8, 8],
  )
})

t.test('another history that came to the same number is not mistaken for ours', async (t) => {
  for (const [name, ledgerHash] of [
    ['of another database', 'f00'],
    ['of a program that told no hash', undefined],
  ] as const) {
    await t.test(name, async (t) => {
      const { records, publisher, store } = await setUp(t)
      await apply(records, added('ours'))
      const theirs = snapshot(1, ['theirs'])
      await store.current.publish(ledgerHash === undefined ? theirs : { ...theirs, ledgerHash })
      await publisher.pass()
      t.same(await idsIn(store), ['ours'])
      t.equal(publisher.version, 2)
    })
  }
})

t.test('a history that was changed under a published version is noticed while running, too', async (t) => {
  const { records, publisher, store, tamper } = await setUp(t)
  await apply(records, added('up-1'))
  await publisher.pass()
  // A restored database that has since come to the same number.
  await tamper(`update fleets set ledger_hash = 'f00'`)
  await publisher.pass()
  t.equal(publisher.version, 2)
  t.match(await store.current.read(), { version: 2 })
})

t.test('an empty database and an empty store: nothing to publish yet', async (t) => {
  const { publisher, store } = await setUp(t)
  await publisher.pass()
  t.equal(publisher.version, 0)
  t.equal(await store.current.version(), 0)
})
