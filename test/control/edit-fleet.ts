import t, { type Test } from 'tap'
import { configuredSize, makeFleetEdits } from '../../src/control/edit-fleet.ts'
import type { Provider } from '../../src/provider/provider.ts'
import type { FleetContent } from '../../src/store/records.ts'
import { controlWorlds, operator } from '../fixtures/control-under-test.ts'
import { added, apply } from '../fixtures/records-under-test.ts'
import { drain } from '../fixtures/upstream-records.ts'

const { openWorld } = await controlWorlds(t)

async function setUp(t: Test, name: Provider['name'] = 'gce') {
  const world = await openWorld(t)
  const told = { changes: 0 }
  const edits = makeFleetEdits({
    fleet: world.fleet,
    provider: { name },
    changed: () => void (told.changes += 1),
  })
  return { ...world, store: world.records.store, edits, told }
}

t.test('the size tells how many are wanted, and how many there are in which state', async (t) => {
  const { store, edits, fleet } = await setUp(t)
  await apply(
    store,
    added('a'),
    added('b', { ejected: true }),
    added('c', { ejected: true, quarantined: true }),
    added('d', { state: 'provisioning' }),
    added('e', { state: 'draining', drain: drain() }),
    added('f', { state: 'deleting' }),
    added('g', { state: 'failed' }),
    added('h'),
  )
  const version = await apply(store, { kind: 'upstream_deleted', id: 'h', by: 'operator' })
  t.strictSame(await edits.size(), {
    version,
    answer: {
      wanted: null,
      states: { provisioning: 1, running: 3, draining: 1, deleting: 1, failed: 1 },
      ejected: 2,
      quarantined: 1,
    },
  })
  t.equal((await fleet.head()).version, version, 'asking changes nothing')
})

t.test('another size is wanted from now on, with a row in the ledger', async (t) => {
  const { store, edits, fleet, told } = await setUp(t)
  const { version, answer } = await edits.resize(4, operator)
  t.match(answer, { wanted: 4, states: { running: 0 } })
  t.match(await fleet.head(), { version, wantedSize: 4, configuredSize: null })
  t.match(await store.ledger.read(version), {
    ...operator.author,
    steps: [{ kind: 'size_wanted', from: null, to: 4, configured: null }],
  })
  t.equal(told.changes, 1)
  t.strictSame((await edits.size()).answer, answer)
})

t.test('no size, and none at all, are sizes, too', async (t) => {
  const { edits, fleet } = await setUp(t)
  await edits.resize(0, operator)
  t.match(await fleet.head(), { wantedSize: 0 })
  t.match(await edits.resize(null, operator), { answer: { wanted: null } })
  t.match(await fleet.head(), { wantedSize: null })
})

t.test('the same size again changes nothing', async (t) => {
  const { edits } = await setUp(t)
  const first = await edits.resize(4, operator)
  t.strictSame(await edits.resize(4, operator), first)
})

t.test('operators leave what the configuration said as it is', async (t) => {
  const { store, edits, fleet } = await setUp(t)
  await apply(store, { kind: 'size_wanted', from: null, to: 3, configured: 3 })
  await edits.resize(5, operator)
  t.match(await fleet.head(), { wantedSize: 5, configuredSize: 3 })
})

t.test('who repeats the request gets the first answer', async (t) => {
  const { store, edits } = await setUp(t)
  const claimed = await store.keys.claim('key-1', 'same', { retake: true })
  if (claimed.kind !== 'claimed') return t.fail(claimed.kind)
  const answer = (outcome: object) => ({ status: 200, location: null, body: outcome })
  const outcome = await edits.resize(4, { ...operator, keep: { claim: claimed.claim, answer } })
  t.strictSame(await store.keys.claim('key-1', 'same', { retake: true }), {
    kind: 'answered',
    answer: { status: 200, location: null, body: outcome },
  })
})

t.test('a list has the size that it has', async (t) => {
  const { edits, fleet, told } = await setUp(t, 'static')
  await t.rejects(edits.resize(4, operator), {
    code: 'conflict',
    detail: /makes no machines.*STATIC_UPSTREAMS/,
  })
  t.match(await fleet.head(), { version: 0, wantedSize: null })
  t.equal(told.changes, 0)
  await t.resolves(edits.resize(null, operator), 'a size that was wanted of another provider is given up')
})

t.test('the configuration counts where it is new; until then operators do', async (t) => {
  const rows: readonly (readonly [
    name: string,
    before: readonly [wanted: number | null, configured: number | null],
    configured: number | null,
    to: number | null | 'nothing',
  ])[] = [
    ['a first start', [null, null], 3, 3],
    ['a first start without size', [null, null], null, 'nothing'],
    ['the same again', [3, 3], 3, 'nothing'],
    ['the same again, and an operator wants more', [5, 3], 3, 'nothing'],
    ['another one', [3, 3], 4, 4],
    ['another one, and an operator wanted more', [5, 3], 4, 4],
    ['what an operator wanted before', [4, 3], 4, 4],
    ['none any more', [3, 3], null, null],
    ['none yet, and an operator wants some', [5, null], null, 'nothing'],
    ['none at all', [3, 3], 0, 0],
  ]
  for (const [name, [wantedSize, known], configured, to] of rows) {
    const content = { wantedSize, configuredSize: known } as FleetContent
    t.strictSame(
      configuredSize(content, configured),
      to === 'nothing' ? [] : [{ kind: 'size_wanted', from: wantedSize, to, configured }],
      name,
    )
  }
})
