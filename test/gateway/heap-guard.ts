import t, { type Test } from 'tap'
import { makeHeapGuard, ownHeap, usableOf } from '../../src/gateway/heap-guard.ts'
import { recordFacts } from '../fixtures/facts.ts'
import { until } from '../fixtures/until.ts'

/** 100 bytes to use. What is used holds garbage too; a collection leaves what is needed. */
function setUp(t: Test, { needed }: { needed: number }) {
  const state = { used: needed, needed, nowMs: 0, collections: 0 }
  const facts = recordFacts()
  let tell = () => {}
  const collect = () => {
    state.collections += 1
    state.used = state.needed
    tell()
  }
  const guard = makeHeapGuard({
    limits: { maxHeapPercent: 85 },
    heap: {
      read: () => ({ usedBytes: state.used, mayUseBytes: 100 }),
      collect,
      onCollected(listener) {
        tell = listener
        return () => (tell = () => {})
      },
    },
    events: facts.events,
    now: () => state.nowMs,
  })
  t.teardown(guard.stop)
  return { guard, facts, state, collect }
}

t.test('garbage is no reason to refuse anybody, however much of it there is', async (t) => {
  const { guard, state, facts } = setUp(t, { needed: 40 })
  state.used = 99
  t.notOk(guard.isShort)
  t.equal(guard.percent, 40)
  t.equal(state.collections, 0, 'nor to collect')
  t.same(facts.names(), [])
})

t.test('what a collection leaves beyond the line is, and it is told once', async (t) => {
  const { guard, state, facts, collect } = setUp(t, { needed: 40 })
  state.needed = 86
  collect()
  t.ok(guard.isShort)
  t.ok(guard.isShort)
  t.equal(guard.percent, 86)
  t.same(facts.of('memory_short'), [{ percent: 86 }])
})

t.test('it ends once clearly less is in use, and not at the line', async (t) => {
  const { guard, state, facts, collect } = setUp(t, { needed: 40 })
  state.needed = 90
  collect()
  for (const [needed, isShort] of [
    [84, true],
    [81, true],
    [79, false],
    [84, false],
  ] as const) {
    state.needed = needed
    collect()
    t.equal(guard.isShort, isShort, `${needed} % are needed`)
  }
  t.same(
    facts.names().filter((name) => name.startsWith('memory')),
    ['memory_short', 'memory_found'],
  )
})

t.test('less in use than the line ends it without a collection', async (t) => {
  const { guard, state, collect } = setUp(t, { needed: 40 })
  state.needed = 90
  collect()
  state.used = 50
  t.notOk(guard.isShort)
})

t.test('memory that was freed is found although nothing makes V8 collect', async (t) => {
  const { guard, state, collect } = setUp(t, { needed: 40 })
  state.needed = 90
  collect()
  state.needed = 50
  state.nowMs = 4999
  t.ok(guard.isShort)
  state.nowMs = 5000
  t.notOk(guard.isShort)
})

t.test('collections of ours are seldom, and the more so the longer it is full', async (t) => {
  const { guard, state, collect } = setUp(t, { needed: 40 })
  state.needed = 90
  collect()
  const ours: number[] = []
  for (; state.nowMs < 300_000; state.nowMs += 1000) {
    const before = state.collections
    t.ok(guard.isShort)
    if (state.collections > before) ours.push(state.nowMs / 1000)
  }
  t.same(ours, [5, 15, 35, 75, 135, 195, 255])
})

t.test('what may be used is a part of what V8 names, which counts the young too', async (t) => {
  const mb = 1_048_576
  const young = Number.parseInt(process.versions.node, 10) >= 24 ? 192 : 48
  for (const [old, usable] of [
    [4096, 3276.8],
    [128, 102.4],
    [64, 51.2],
  ] as const)
    t.equal(Math.round(usableOf((old + young) * mb)), Math.round(usable * mb), `${old} MB of the old`)
  t.ok(usableOf(176 * mb) > 0, 'a smaller young generation than we know')
})

t.test('the heap of this process tells of its collections, and collects when asked', async (t) => {
  const heap = ownHeap()
  let collections = 0
  t.teardown(heap.onCollected(() => (collections += 1)))
  let kept: unknown = Array.from({ length: 500_000 }, (_, index) => ({ index }))
  const full = heap.read()
  t.ok(full.usedBytes < full.mayUseBytes && Array.isArray(kept))
  kept = null
  heap.collect()
  t.ok(heap.read().usedBytes < full.usedBytes - 10_000_000, 'what nobody needs is gone')
  await until('it was told', () => collections > 0)
  t.equal((globalThis as { gc?: unknown }).gc, undefined)
})
