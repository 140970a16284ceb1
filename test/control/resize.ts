import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { makeResize } from '../../src/control/resize.ts'
import type { Load } from '../../src/control/traffic.ts'
import type { FleetRecords, NewUpstream } from '../../src/store/records.ts'
import { makeFakeClock } from '../fixtures/clock.ts'
import { controlWorlds } from '../fixtures/control-under-test.ts'
import { added, apply, changed } from '../fixtures/records-under-test.ts'
import { makeScriptedProvider } from '../fixtures/scripted-provider.ts'

const { openWorld } = await controlWorlds(t)
const coolDownMs = 300_000
const want = (to: number | null) => ({ kind: 'size_wanted', from: null, to, configured: null }) as const
const own = (id: string, more: Partial<NewUpstream> = {}) =>
  added(id, { provider: 'gce', zone: 'zone-a', addedBy: 'control', ...more })

async function setUp(t: Test) {
  const { records } = await openWorld(t)
  const clock = makeFakeClock()
  const told: { load: Load | null; reads: number; changes: number } = { load: null, reads: 0, changes: 0 }
  let readsTakeMs = 0
  let suffix = 0
  const open = () => {
    const { fleet } = records.store
    const counted: FleetRecords = {
      ...fleet,
      read: () => {
        told.reads += 1
        clock.advance(readsTakeMs)
        return fleet.read()
      },
    }
    return makeResize({
      fleet: counted,
      provider: makeScriptedProvider().provider,
      load: async () => told.load,
      drainMs: 60_000,
      coolDownMs,
      newSuffix: () => String((suffix += 1)),
      newRequestId: randomUUID,
      now: clock.now,
      changed: () => (told.changes += 1),
    })
  }
  const states = async () =>
    Object.fromEntries((await records.store.fleet.read()).upstreams.map(({ id, state }) => [id, state]))
  const slow = (ms: number) => (readsTakeMs = ms)
  return { records, clock, told, open, states, slow }
}

t.test('without a wanted size nothing is done, and nothing read', async (t) => {
  const { open, told } = await setUp(t)
  t.equal(await open()(), 0)
  t.strictSame(told, { load: null, reads: 0, changes: 0 })
})

t.test('what is missing is ordered, in one change, each by a request of its own', async (t) => {
  const { records, open, states, told } = await setUp(t)
  await apply(records.store, want(3), own('up-1'))
  t.equal(await open()(), 2)
  t.same(Object.values(await states()), ['running', 'provisioning', 'provisioning'])
  const { upstreams, version } = await records.store.fleet.read()
  t.equal(version, 2)
  t.equal(new Set(upstreams.map(({ requestId }) => requestId)).size, 3)
  t.equal(told.changes, 1)
})

t.test('two at once order it once', async (t) => {
  const { records, open, states } = await setUp(t)
  await apply(records.store, want(2))
  const [first, second] = [open(), open()]
  await Promise.all([first(), second()])
  t.equal(Object.keys(await states()).length, 2)
})

t.test('the emptiest leave: those that never ran at once, the others by a drain', async (t) => {
  const { records, open, states, told } = await setUp(t)
  await apply(records.store, own('up-1'), own('up-2'), own('up-3', { state: 'provisioning' }), want(1))
  told.load = { pins: new Map([['up-1', 5]]), tunnels: new Map([['up-2', 1]]) }
  t.equal(await open()(), 2)
  t.same(await states(), { 'up-1': 'running', 'up-2': 'draining', 'up-3': 'deleting' })
  const { upstreams } = await records.store.fleet.read()
  t.match(upstreams[1]!.drain, { thenDelete: true, by: 'control' })
})

t.test('while nobody knows who is emptiest, nobody who runs is sent away', async (t) => {
  const { records, open, states, told } = await setUp(t)
  await apply(records.store, own('up-1'), own('up-2'), want(1))
  const resize = open()
  t.equal(await resize(), 0)
  told.load = { pins: new Map(), tunnels: new Map() }
  t.equal(await resize(), 1)
  t.same(await states(), { 'up-1': 'running', 'up-2': 'draining' })
})

t.test('a fleet that is as it should be is not read again before it changes', async (t) => {
  const { records, open, told, clock } = await setUp(t)
  await apply(records.store, own('up-1'), want(1))
  told.load = { pins: new Map(), tunnels: new Map() }
  const resize = open()
  await resize()
  await resize()
  t.equal(told.reads, 1)
  await apply(records.store, want(2))
  t.equal(await resize(), 1)
  await resize()
  const { reads } = told
  clock.advance(coolDownMs)
  await resize()
  t.equal(told.reads, reads + 1, 'or one that failed may be replaced by now')
})

t.test('after one has failed another is ordered only after a while', async (t) => {
  const { records, open } = await setUp(t)
  await apply(records.store, own('up-1', { state: 'failed', host: '' }), want(1))
  t.equal(await open()(), 0)
  await records.pass(coolDownMs)
  t.equal(await open()(), 1)
})

t.test('a large fleet that changes all the time is looked at now and then, a new size at once', async (t) => {
  const { records, open, told, clock, slow } = await setUp(t)
  await apply(records.store, own('up-1'), want(1))
  const resize = open()
  const passes = async (count: number, everyMs: number) => {
    const { reads } = told
    for (let pass = 0; pass < count; pass++, clock.advance(everyMs)) {
      await apply(records.store, changed('up-1', { labels: { pass: String(pass) } }))
      await resize()
    }
    return told.reads - reads
  }
  slow(100)
  t.equal(await passes(10, 50), 1)
  clock.advance(1000)
  slow(60_000)
  t.equal(await passes(3, 1000), 3, 'however long a look took, the next pass of a second looks again')
  slow(1)
  clock.advance(1000)
  t.equal(await passes(10, 50), 10, 'a small fleet is looked at with each change')
  slow(100)
  t.equal(await passes(2, 0), 1)
  await apply(records.store, want(2))
  t.equal(await resize(), 1)
})
