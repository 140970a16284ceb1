import t, { type Test } from 'tap'
import { makeRestrictionEdits } from '../../src/control/edit-restrictions.ts'
import { makePublisher } from '../../src/control/publish.ts'
import { GatewayError } from '../../src/errors.ts'
import type { RestrictionRecord } from '../../src/store/records.ts'
import type { Restriction } from '../../src/types.ts'
import { controlWorlds, operator, pinJob } from '../fixtures/control-under-test.ts'
import { added, apply } from '../fixtures/records-under-test.ts'

const { openWorld } = await controlWorlds(t)
const ids = ['up-1', 'up-2']
const plain = { force: false, evict: false }
const rule: Restriction = {
  id: 'r',
  kind: 'exclusive',
  type: 'payment',
  institution: '*',
  upstreams: { ids: ['up-1'] },
  overflow: false,
}
const denyAll: Restriction = { ...rule, kind: 'deny', type: '*', upstreams: { ids } }

async function setUp(t: Test) {
  const world = await openWorld(t)
  const { fleet, store, facts, records } = world
  await apply(records.store, ...ids.map((id) => added(id)))
  await makePublisher({ fleet, snapshots: store.snapshots, events: facts.events }).pass()
  const changes = { told: 0 }
  const edits = makeRestrictionEdits({
    fleet,
    pins: store.pins,
    newId: () => 'rule-12345678',
    changed: () => (changes.told += 1),
  })
  const list = async () => (await fleet.read()).restrictions
  return { ...world, edits, changes, list }
}

t.test('a rule is added, told with its dates, and is in the ledger under who asked for it', async (t) => {
  const { edits, list, records, changes } = await setUp(t)
  const { version, answer } = await edits.add(rule, plain, operator)
  t.equal(version, 2)
  t.match(answer, { ...rule, source: 'api' })
  t.strictSame(await list(), [answer])
  t.match(await records.store.ledger.read(2), {
    ...operator.author,
    steps: [{ kind: 'restriction_added', restriction: rule }],
  })
  t.equal(changes.told, 1)
})

t.test('without an id it gets one; an id that is taken is refused', async (t) => {
  const { edits, list } = await setUp(t)
  t.equal((await edits.add({ ...rule, id: null }, plain, operator)).answer.id, 'rule-12345678')
  await t.rejects(edits.add({ ...rule, id: 'rule-12345678' }, plain, operator), {
    code: 'conflict',
    detail: /"rule-12345678" already/,
  })
  t.equal((await list()).length, 1)
})

t.test('a rule is replaced in its place, and keeps the date of its making', async (t) => {
  const { edits, list, clock } = await setUp(t)
  const { answer: first } = await edits.add(rule, plain, operator)
  await edits.add({ ...rule, id: 'later' }, plain, operator)
  clock.advance(1000)
  const { answer } = await edits.replace({ ...rule, type: 'statement' }, plain, operator)
  t.match(answer, { id: 'r', type: 'statement', createdAtMs: first.createdAtMs, source: 'api' })
  t.strictSame(await list().then((rules) => rules.map(({ id, type }) => [id, type])), [
    ['r', 'statement'],
    ['later', 'payment'],
  ])
  t.strictSame((await list())[0], answer)
})

t.test('a rule of kind targets needs no upstream, and what it says can be replaced', async (t) => {
  const { edits, list } = await setUp(t)
  const targets: Restriction = {
    ...rule,
    kind: 'targets',
    upstreams: { ids: [] },
    targets: ['bank.example'],
    report: true,
  }
  const { answer } = await edits.add(targets, plain, operator)
  t.match(answer, { ...targets, source: 'api' })
  t.strictSame(await list(), [answer])
  const { answer: enforced } = await edits.replace({ ...targets, report: false }, plain, operator)
  t.match(enforced, { targets: ['bank.example'], report: false })
  t.strictSame(await list(), [enforced])
  const { answer: without } = await edits.replace({ ...rule, targets: null, report: false }, plain, operator)
  t.strictSame(await list(), [without], 'a rule without targets does not speak of them')
})

t.test('a rule is removed', async (t) => {
  const { edits, list } = await setUp(t)
  await edits.add(rule, plain, operator)
  t.strictSame(await edits.remove('r', plain, operator), { version: 3, answer: { id: 'r' } })
  t.strictSame(await list(), [])
})

t.test('what is not there can be neither replaced nor removed', async (t) => {
  const { edits } = await setUp(t)
  await t.rejects(edits.replace(rule, plain, operator), { code: 'not_found', detail: /"r"/ })
  await t.rejects(edits.remove('r', { force: true, evict: true }, operator), { code: 'not_found' })
})

t.test('a rule of the configuration is changed there, and nowhere else, by force neither', async (t) => {
  const { edits, records, list } = await setUp(t)
  await apply(records.store, { kind: 'restriction_added', restriction: rule, source: 'config' })
  for (const force of [false, true]) {
    await t.rejects(edits.replace(rule, { force, evict: false }, operator), {
      code: 'conflict',
      detail: /configuration/,
    })
    await t.rejects(edits.remove('r', { force, evict: false }, operator), { code: 'conflict' })
  }
  t.equal((await list()).length, 1)
})

t.test('a rule that selects nothing is refused, and changes nothing; force overrides', async (t) => {
  const { edits, list, changes } = await setUp(t)
  const typo = { ...rule, upstreams: { ids: ['up-l'] } }
  await t.rejects(edits.add(typo, plain, operator), { code: 'names_nothing' })
  t.strictSame(await list(), [])
  t.equal(changes.told, 0)
  await edits.add(typo, { force: true, evict: false }, operator)
  await t.rejects(edits.replace(typo, plain, operator), { code: 'names_nothing' })
  await edits.remove(typo.id, plain, operator)
})

t.test('a rule that leaves a lane in use without upstream is refused; force overrides', async (t) => {
  const world = await setUp(t)
  const { edits } = world
  await pinJob(world, { id: 'j', type: 'payment', institution: 'bank-a' }, ids)
  await t.rejects(edits.add(denyAll, plain, operator), {
    code: 'lane_without_upstream',
    detail: /payment:bank-a/,
  })
  t.equal((await edits.add(denyAll, { force: true, evict: false }, operator)).answer.kind, 'deny')
})

t.test('without the store of pins nobody knows the lanes in use: only by force', async (t) => {
  const { fleet } = await setUp(t)
  const lanes = async () => {
    throw new GatewayError('store_unavailable', { detail: 'away' })
  }
  const edits = makeRestrictionEdits({ fleet, pins: { lanes }, newId: () => 'x', changed: () => {} })
  await t.rejects(edits.add(rule, plain, operator), { code: 'store_unavailable' })
  t.equal((await edits.add(rule, { force: true, evict: false }, operator)).version, 2)
})

t.test('an eviction is asked for in the same change', async (t) => {
  const { edits, fleet } = await setUp(t)
  for (const edit of [
    () => edits.add(rule, { force: false, evict: true }, operator),
    () => edits.replace(rule, { force: false, evict: true }, operator),
    () => edits.remove('r', { force: false, evict: true }, operator),
  ]) {
    const { version } = await edit()
    t.equal((await fleet.head()).evictionAsked, version)
  }
})

t.test('two rules that together would strand a lane, added at once: one is refused', async (t) => {
  const world = await setUp(t)
  await pinJob(world, { id: 'j' }, ids)
  const deny = (id: string, upstream: string) =>
    world.edits.add({ ...denyAll, id, upstreams: { ids: [upstream] } }, plain, operator)
  const ends = await Promise.allSettled([deny('no-1', 'up-1'), deny('no-2', 'up-2')])
  t.same(ends.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
  const rules: readonly RestrictionRecord[] = await world.list()
  t.equal(rules.length, 1)
})
