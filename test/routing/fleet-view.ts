import t from 'tap'
import { makeFleetView } from '../../src/routing/fleet-view.ts'
import type { Restriction, Snapshot } from '../../src/types.ts'
import { recordFacts } from '../fixtures/facts.ts'
import { makeUpstream } from '../fixtures/upstream.ts'

const any = { type: '*', institution: '*' }
const payments = { type: 'payment', institution: '*' }

const snapshotOf = (version: number, ids: string[], restrictions: Restriction[] = []): Snapshot => ({
  version,
  upstreams: ids.map((id) => makeUpstream({ id })),
  restrictions,
})

function setUp() {
  const facts = recordFacts()
  const published = { current: null as Snapshot | null, reads: 0, publishes: [] as Snapshot[] }
  const view = makeFleetView({
    events: facts.events,
    snapshots: {
      async read() {
        published.reads += 1
        return published.current
      },
      async version() {
        return published.current?.version ?? 0
      },
      async publish(snapshot) {
        published.publishes.push(snapshot)
        return snapshot.version
      },
    },
  })
  return { view, published, facts }
}

t.test('before a fleet was published there is none', async (t) => {
  const { view, facts } = setUp()
  await view.refresh()
  t.equal(view.version, 0)
  t.same(view.upstreams(), [])
  t.equal(view.upstream('up-1'), null)
  t.throws(() => view.current(), { code: 'no_upstream' })
  t.throws(() => view.eligibleIds(any), { code: 'no_upstream' })
  t.same(facts.names(), [])
})

t.test('a fleet that was read', async (t) => {
  const { view, published, facts } = setUp()
  published.current = snapshotOf(7, ['up-1', 'up-2'])
  await view.refresh()
  t.equal(view.version, 7)
  t.equal(view.current(), published.current)
  t.equal(view.upstream('up-2'), published.current.upstreams[1])
  t.same([...view.eligibleIds(any)].sort(), ['up-1', 'up-2'])
  t.strictSame(facts.of('snapshot_loaded'), [{ version: 7, upstreams: 2, restrictions: 0 }])
})

t.test('only a newer one replaces it', async (t) => {
  const { view, published, facts } = setUp()
  published.current = snapshotOf(7, ['up-1'])
  await view.refresh()
  for (const version of [6, 7]) {
    published.current = snapshotOf(version, ['up-9'])
    await view.refresh()
    t.equal(view.upstream('up-9'), null, `version ${version}`)
  }
  published.current = null
  await view.refresh()
  t.equal(view.version, 7, 'a store that lost it takes nothing away')
  published.current = snapshotOf(8, ['up-9'])
  await view.refresh()
  t.equal(view.upstream('up-1'), null)
  t.ok(view.upstream('up-9'))
  t.equal(facts.of('snapshot_loaded').length, 2)
})

t.test('who is eligible is asked anew for each version', async (t) => {
  const { view, published } = setUp()
  const rule: Restriction = {
    id: 'no-payments',
    kind: 'deny',
    ...payments,
    upstreams: { ids: ['up-1'] },
    overflow: false,
  }
  published.current = snapshotOf(1, ['up-1', 'up-2'])
  await view.refresh()
  t.equal(view.eligibleIds(payments), view.eligibleIds(payments), 'and kept for one')
  t.equal(view.eligibleIds(payments).length, 2)
  published.current = snapshotOf(2, ['up-1', 'up-2'], [rule])
  await view.refresh()
  t.same(view.eligibleIds(payments), ['up-2'])
  t.equal(view.eligibleIds(any).length, 2, 'lanes do not mix')
})

t.test('those who ask for a refresh together share one read', async (t) => {
  const { view, published } = setUp()
  published.current = snapshotOf(1, ['up-1'])
  await Promise.all([view.refresh(), view.refresh(), view.refresh()])
  t.equal(published.reads, 1)
  await view.refresh()
  t.equal(published.reads, 2)
})

t.test('a refresh that failed does not stop the next', async (t) => {
  const { view, published } = setUp()
  let fails = true
  Object.defineProperty(published, 'current', {
    get: () => {
      if (fails) throw new Error('away')
      return snapshotOf(1, ['up-1'])
    },
  })
  await t.rejects(view.refresh(), { message: 'away' })
  fails = false
  await view.refresh()
  t.equal(view.version, 1)
})

t.test('what it has is published again on demand; nothing where it has nothing', async (t) => {
  const { view, published } = setUp()
  await view.publishOwn()
  t.same(published.publishes, [])
  published.current = snapshotOf(3, ['up-1'])
  await view.refresh()
  await view.publishOwn()
  t.strictSame(published.publishes, [published.current])
})
