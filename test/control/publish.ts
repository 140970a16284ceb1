import t from 'tap'
import { makePublisher } from '../../src/control/publish.ts'
import { GatewayError } from '../../src/errors.ts'
import { openMemoryStore } from '../../src/store/memory/memory.ts'
import type { Snapshots } from '../../src/store/store.ts'
import type { Snapshot } from '../../src/types.ts'
import { recordFacts } from '../fixtures/facts.ts'
import { makeUpstream } from '../fixtures/upstream.ts'

const content = (...ids: string[]) => ({ upstreams: ids.map((id) => makeUpstream({ id })), restrictions: [] })
const open = (): Snapshots =>
  openMemoryStore({ life: { idleMs: 1000, maxLifeMs: 1000 }, now: () => 0 }).snapshots

/** A store with a hand on it: `current` may be exchanged, `isDown` makes it throw. */
function setUp() {
  const store = { current: open(), isDown: false, calls: [] as string[] }
  const call =
    <A extends unknown[], R>(name: string, verb: () => (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      store.calls.push(name)
      if (store.isDown) throw new GatewayError('store_unavailable', { detail: 'away' })
      return verb()(...args)
    }
  const snapshots: Snapshots = {
    read: call('read', () => store.current.read),
    version: call('version', () => store.current.version),
    publish: call('publish', () => store.current.publish),
  }
  const make = () => {
    const facts = recordFacts()
    return { publisher: makePublisher({ snapshots, events: facts.events }), facts }
  }
  return { store, make, ...make() }
}

const idsOf = (snapshot: Snapshot | null) => snapshot?.upstreams.map(({ id }) => id)

t.test('a fleet is published, and known by id', async (t) => {
  const { publisher, store, facts } = setUp()
  t.equal(publisher.version, 0)
  await publisher.set(content('up-1', 'up-2'))
  t.strictSame(await store.current.read(), { version: 1, ...content('up-1', 'up-2') })
  t.equal(publisher.version, 1)
  t.match(publisher.upstream('up-2'), { id: 'up-2' })
  t.equal(publisher.upstream('up-9'), null)
  t.strictSame(facts.of('snapshot_published'), [{ version: 1 }])
})

t.test('the version rises when the content changes, and only then', async (t) => {
  const { publisher, store } = setUp()
  await publisher.set(content('up-1'))
  await publisher.set(content('up-1'))
  t.equal(await store.current.version(), 1)
  await publisher.set(content('up-1', 'up-2'))
  t.equal(await store.current.version(), 2)
  await publisher.set({
    ...content('up-1', 'up-2'),
    restrictions: [
      { id: 'r', kind: 'deny', type: '*', institution: '*', upstreams: { ids: ['up-1'] }, overflow: false },
    ],
  })
  t.equal(await store.current.version(), 3)
})

t.test('a control that starts finds its fleet published, and goes on from there', async (t) => {
  const { publisher, store, make } = setUp()
  await publisher.set(content('up-1'))
  const { publisher: second, facts } = make()
  await second.set(content('up-1'))
  t.equal(second.version, 1)
  t.same(facts.names(), [])
  const { publisher: third } = make()
  await third.set(content('up-3'))
  t.equal(third.version, 2)
  t.same(idsOf(await store.current.read()), ['up-3'])
})

t.test('a pass with nothing to do writes nothing', async (t) => {
  const { publisher, store } = setUp()
  await publisher.pass()
  t.same(store.calls, [])
  await publisher.set(content('up-1'))
  store.calls.length = 0
  await publisher.pass()
  t.same(store.calls, ['version'])
})

t.test('a store that is away gets the fleet with a later pass', async (t) => {
  const { publisher, store } = setUp()
  store.isDown = true
  await t.rejects(publisher.set(content('up-1')), { code: 'store_unavailable' })
  await t.rejects(publisher.pass(), { code: 'store_unavailable' })
  t.equal(publisher.version, 0)
  store.isDown = false
  await publisher.pass()
  t.same(idsOf(await store.current.read()), ['up-1'])
})

t.test('of several changes while it was away the last one counts', async (t) => {
  const { publisher, store } = setUp()
  store.isDown = true
  await t.rejects(publisher.set(content('up-1')), { code: 'store_unavailable' })
  await t.rejects(publisher.set(content('up-2')), { code: 'store_unavailable' })
  store.isDown = false
  await publisher.pass()
  t.same(idsOf(await store.current.read()), ['up-2'])
})

t.test('a store that lost the fleet gets it back, under its version', async (t) => {
  const { publisher, store } = setUp()
  await publisher.set(content('up-1'))
  await publisher.set(content('up-1', 'up-2'))
  store.current = open()
  await publisher.pass()
  t.strictSame(await store.current.read(), { version: 2, ...content('up-1', 'up-2') })
})

t.test('a version that somebody took first is not mistaken for ours', async (t) => {
  for (const taken of [1, 5]) {
    t.test(`version ${taken}`, async (t) => {
      const { publisher, store, facts } = setUp()
      const { read } = store.current
      let meanwhile = true
      store.current = {
        ...store.current,
        async read() {
          const standing = await read()
          if (meanwhile) await store.current.publish({ version: taken, ...content('theirs') })
          meanwhile = false
          return standing
        },
      }
      await publisher.set(content('ours'))
      await publisher.pass()
      await publisher.pass()
      t.strictSame(await store.current.read(), { version: taken + 1, ...content('ours') })
      t.equal(publisher.version, taken + 1)
      t.match(publisher.upstream('ours'), { id: 'ours' })
      t.strictSame(facts.of('snapshot_published'), [{ version: taken + 1 }])
    })
  }
})

t.test('a newer fleet of somebody else is left alone', async (t) => {
  const { publisher, store } = setUp()
  await publisher.set(content('ours'))
  await store.current.publish({ version: 2, ...content('theirs') })
  await publisher.pass()
  t.same(idsOf(await store.current.read()), ['theirs'])
})
