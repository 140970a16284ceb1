import t, { type Test } from 'tap'
import { makeEvictions } from '../../src/control/evict.ts'
import { makePublisher } from '../../src/control/publish.ts'
import { GatewayError } from '../../src/errors.ts'
import type { Pins } from '../../src/store/store.ts'
import { controlWorlds, pinJob, type World } from '../fixtures/control-under-test.ts'
import { added, apply, ruleAdded } from '../fixtures/records-under-test.ts'

const { openWorld } = await controlWorlds(t)
const ids = ['up-1', 'up-2']
const payment = { type: 'payment' }
/** Payments may no longer be on up-1. */
const rule = ruleAdded('r', { type: 'payment', institution: '*', upstreams: { ids: ['up-1'] } })
const asked = { kind: 'eviction_asked' } as const

async function setUp(t: Test) {
  const world = await openWorld(t)
  const { fleet, store, facts, records } = world
  const publisher = makePublisher({ fleet, snapshots: store.snapshots, events: facts.events })
  await apply(records.store, ...ids.map((id) => added(id)))
  await publisher.pass()
  // Two payments and two others, one of each on either upstream.
  for (const id of ['p-1', 'p-2']) await pinJob(world, { id, ...payment }, ids)
  for (const id of ['o-1', 'o-2']) await pinJob(world, { id }, ids)
  const evictWith = (pins: Pick<Pins, 'scan' | 'release'>) =>
    makeEvictions({ fleet, pins, snapshots: store.snapshots, events: facts.events })
  return { ...world, publisher, evict: evictWith(store.pins), evictWith }
}

const standing = async ({ store }: World) =>
  (await store.pins.scan(null)).pins.map(({ job, upstreamId }) => `${job.id} ${upstreamId}`).sort()
const all = ['o-1 up-1', 'o-2 up-2', 'p-1 up-1', 'p-2 up-2']

t.test('without a wish nobody is evicted, whatever the rules', async (t) => {
  const world = await setUp(t)
  await apply(world.records.store, rule)
  await world.publisher.pass()
  t.equal(await world.evict(), false)
  t.same(await standing(world), all)
})

t.test('jobs that fit no longer are released, counted and written down; the others stay', async (t) => {
  const world = await setUp(t)
  const version = await apply(world.records.store, rule, asked)
  await world.publisher.pass()
  t.equal(await world.evict(), true)
  t.same(await standing(world), ['o-1 up-1', 'o-2 up-2', 'p-2 up-2'])
  t.strictSame(world.facts.of('jobs_evicted'), [{ asked: version, jobs: 1 }])
  t.match(await world.records.store.ledger.read(version + 1), {
    actor: 'control',
    steps: [{ kind: 'jobs_evicted', asked: version, jobs: 1 }],
  })
  t.equal(await world.evict(), false, 'and that was it')
})

t.test('a rule that says only what its lanes may reach evicts nobody', async (t) => {
  const world = await setUp(t)
  const targets = { kind: 'targets', upstreams: { ids: [] }, targets: ['bank.example'] } as const
  await apply(world.records.store, ruleAdded('r', { institution: '*', ...targets }), asked)
  await world.publisher.pass()
  t.equal(await world.evict(), true)
  t.same(await standing(world), all)
})

t.test('the end of an eviction that found nobody is written down too', async (t) => {
  const world = await setUp(t)
  const version = await apply(world.records.store, ruleAdded('r', { institution: 'nobody' }), asked)
  await world.publisher.pass()
  await world.evict()
  t.match(await world.records.store.ledger.read(version + 1), { steps: [{ kind: 'jobs_evicted', jobs: 0 }] })
  t.strictSame(world.facts.of('jobs_evicted'), [])
})

t.test(
  'nobody is evicted before the rules are published: jobs could be pinned by the old ones again',
  async (t) => {
    const world = await setUp(t)
    await apply(world.records.store, rule, asked)
    t.equal(await world.evict(), false)
    t.same(await standing(world), all)
  },
)

t.test('a job that has come back elsewhere meanwhile keeps its new pin', async (t) => {
  const world = await setUp(t)
  await apply(world.records.store, rule, asked)
  await world.publisher.pass()
  const { pins } = world.store
  const scan: Pins['scan'] = async (after) => {
    const seen = await pins.scan(after)
    await pins.release('p-1')
    await pinJob(world, { id: 'p-1', ...payment }, ['up-2'])
    return seen
  }
  await world.evictWith({ scan, release: pins.release })()
  t.ok((await standing(world)).includes('p-1 up-2'))
  t.strictSame(world.facts.of('jobs_evicted'), [])
})

t.test('the wish outlives a crash in between', async (t) => {
  const world = await setUp(t)
  const version = await apply(world.records.store, rule, asked)
  await world.publisher.pass()
  const crash = async () => {
    throw new GatewayError('store_unavailable', { detail: 'away' })
  }
  await t.rejects(world.evictWith({ scan: world.store.pins.scan, release: crash })(), {
    code: 'store_unavailable',
  })
  t.equal((await world.fleet.head()).evictionAsked, version)
  await world.evict()
  t.equal((await world.fleet.head()).evictionAsked, null)
  t.ok(!(await standing(world)).includes('p-1 up-1'))
})

t.test('of two controls at once the first one clears the wish, and no job is counted twice', async (t) => {
  const world = await setUp(t)
  const version = await apply(world.records.store, rule, asked)
  await world.publisher.pass()
  await Promise.all([world.evict(), world.evict()])
  t.equal((await world.fleet.head()).evictionAsked, null)
  const { items } = await world.records.store.ledger.list({ after: null, limit: 10, about: null })
  const evicted = items.flatMap(({ steps }) => steps).filter((step) => step.kind === 'jobs_evicted')
  t.ok(evicted.every((step) => step.asked === version))
  t.equal(
    evicted.reduce((sum, { jobs }) => sum + jobs, 0),
    1,
  )
})

t.test('who comes when all is done writes nothing down', async (t) => {
  const world = await setUp(t)
  const version = await apply(world.records.store, rule, asked)
  await world.publisher.pass()
  const { pins } = world.store
  const scan: Pins['scan'] = async (after) => {
    await world.evict()
    return pins.scan(after)
  }
  await world.evictWith({ scan, release: pins.release })()
  t.equal((await world.fleet.head()).version, version + 1)
})

t.test('a newer wish is not cleared by the end of an older one', async (t) => {
  const world = await setUp(t)
  await apply(world.records.store, rule, asked)
  await world.publisher.pass()
  const { pins } = world.store
  let newer = 0
  const scan: Pins['scan'] = async (after) => {
    newer ||= await apply(world.records.store, ruleAdded('r-2', { type: 'other' }), asked)
    return pins.scan(after)
  }
  await world.evictWith({ scan, release: pins.release })()
  t.equal((await world.fleet.head()).evictionAsked, newer)
})
