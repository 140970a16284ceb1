import t, { type Test } from 'tap'
import { makeUpstreamEdits } from '../../src/control/edit-upstreams.ts'
import { makePublisher } from '../../src/control/publish.ts'
import { controlWorlds, operator, pinJob } from '../fixtures/control-under-test.ts'
import { added, apply } from '../fixtures/records-under-test.ts'

const { openWorld } = await controlWorlds(t)
const given = {
  host: '10.0.0.9',
  port: 8888,
  name: 'proxy',
  egressIp: '203.0.113.9',
  labels: { pool: 'p' },
  credentials: 'vm',
}

async function setUp(t: Test) {
  const world = await openWorld(t)
  const { fleet, store, facts, records } = world
  const publisher = makePublisher({ fleet, snapshots: store.snapshots, events: facts.events })
  await apply(
    records.store,
    added('up-1', { provider: 'static' }),
    added('up-2', { provider: 'local', port: 8889 }),
  )
  await publisher.pass()
  const told = { changes: 0, tunnels: new Map<string, number>() }
  let suffix = 0
  const edits = makeUpstreamEdits({
    fleet,
    upstreams: records.store.upstreams,
    publish: publisher.pass,
    load: async () => ({ pins: await store.pins.counts(), tunnels: told.tunnels }),
    newSuffix: () => `0000000${(suffix += 1)}`,
    changed: () => (told.changes += 1),
  })
  const read = (id: string) => records.store.upstreams.read(id)
  return { ...world, edits, told, read, publisher }
}

t.test('a machine is registered, and serves from then on', async (t) => {
  const { edits, read, told, records } = await setUp(t)
  const { version, answer } = await edits.register(given, operator)
  t.match(answer, {
    ...given,
    id: 'proxy-00000001',
    state: 'running',
    provider: 'static',
    addedBy: 'operator',
  })
  t.strictSame(await read('proxy-00000001'), answer)
  t.match(await records.store.ledger.read(version), operator.author)
  t.equal(told.changes, 1)
})

t.test('without a name it is called by its id', async (t) => {
  const { edits } = await setUp(t)
  const { answer } = await edits.register({ ...given, name: null }, operator)
  t.match(answer, { id: 'upstream-00000001', name: 'upstream-00000001' })
})

t.test('an address is registered once, until its upstream is deleted', async (t) => {
  const { edits, fleet } = await setUp(t)
  const { answer } = await edits.register(given, operator)
  await t.rejects(edits.register(given, operator), {
    code: 'conflict',
    detail: /"proxy-00000001" has the address 10.0.0.9:8888/,
  })
  await edits.remove(answer.id, { force: true }, operator)
  t.equal((await edits.register(given, operator)).answer.id, 'proxy-00000003', 'a new life has a new id')
  t.equal((await fleet.read()).upstreams.length, 3)
})

t.test('quarantine and release: once each, and then nothing changes', async (t) => {
  const { edits, read } = await setUp(t)
  const first = await edits.quarantine('up-1', operator)
  t.match(first.answer, { id: 'up-1', quarantined: true, rowVersion: 2 })
  t.strictSame(await read('up-1'), first.answer)
  t.strictSame(await edits.quarantine('up-1', operator), first, 'no new version')
  const released = await edits.release('up-1', operator)
  t.match(released, { version: first.version + 1, answer: { quarantined: false } })
  t.strictSame(await edits.release('up-1', operator), released)
})

t.test('what is not there, or deleted', async (t) => {
  const { edits } = await setUp(t)
  await edits.remove('up-1', { force: true }, operator)
  for (const id of ['nobody', 'up-1']) {
    await t.rejects(edits.quarantine(id, operator), { code: 'not_found', detail: new RegExp(`"${id}"`) })
    await t.rejects(edits.release(id, operator), { code: 'not_found' })
    await t.rejects(edits.remove(id, { force: false }, operator), { code: 'not_found' })
    await t.rejects(edits.remove(id, { force: true }, operator), { code: 'not_found' })
  }
})

t.test('who still takes jobs, or has some, is not removed', async (t) => {
  const world = await setUp(t)
  const { edits, told, store, read } = world
  const remove = () => edits.remove('up-1', { force: false }, operator)
  await t.rejects(
    remove(),
    { code: 'in_use', detail: /takes new jobs: quarantine/ },
    'idle, but not for sure',
  )
  await pinJob(world, { id: 'j' }, ['up-1'])
  await edits.quarantine('up-1', operator)
  await t.rejects(remove(), { code: 'in_use', detail: /1 pinned jobs and 0 open tunnels/ })
  await store.pins.release('j')
  told.tunnels.set('up-1', 2)
  await t.rejects(remove(), { code: 'in_use', detail: /0 pinned jobs and 2 open tunnels/ })
  told.tunnels.clear()
  const { answer } = await remove()
  t.match(answer, { state: 'deleted', deletedBy: 'operator' })
  t.strictSame(await read('up-1'), answer)
})

t.test('the quarantine is published before anything is counted, so no job can still come', async (t) => {
  const world = await setUp(t)
  await world.edits.quarantine('up-1', operator)
  t.equal(await world.store.snapshots.version(), 1)
  await world.edits.remove('up-1', { force: false }, operator)
  t.equal(await world.store.snapshots.version(), 2)
})

t.test('who is changed between the look and the removal stays', async (t) => {
  const world = await setUp(t)
  await world.edits.quarantine('up-1', operator)
  const { fleet, store, records, publisher } = world
  const edits = makeUpstreamEdits({
    fleet,
    upstreams: records.store.upstreams,
    publish: publisher.pass,
    async load() {
      await world.edits.release('up-1', operator)
      return { pins: await store.pins.counts(), tunnels: new Map() }
    },
    newSuffix: () => 'x',
    changed: () => {},
  })
  await t.rejects(edits.remove('up-1', { force: false }, operator), {
    code: 'conflict',
    detail: /changed meanwhile/,
  })
  t.match(await world.read('up-1'), { state: 'running' })
})

t.test('what a provider keeps is not removed behind its back', async (t) => {
  const { edits } = await setUp(t)
  await edits.quarantine('up-2', operator)
  await t.rejects(edits.remove('up-2', { force: false }, operator), {
    code: 'conflict',
    detail: /provider local/,
  })
  t.match((await edits.remove('up-2', { force: true }, operator)).answer, { state: 'deleted' })
})
