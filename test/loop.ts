import t from 'tap'
import { makeEvents, type Facts } from '../src/events.ts'
import { startLoop } from '../src/loop.ts'
import { until } from './fixtures/until.ts'

function setUp() {
  const events = makeEvents()
  const failed: Facts['pass_failed'][0][] = []
  events.on('pass_failed', (fact) => failed.push(fact))
  return { events, failed }
}

t.test('a pass runs again and again, never twice at once', async (t) => {
  let [passes, running, most] = [0, 0, 0]
  const pass = async () => {
    running += 1
    most = Math.max(most, running)
    await new Promise((resolve) => setTimeout(resolve, 5))
    running -= 1
    passes += 1
  }
  const loop = startLoop('slow', pass, { everyMs: 1, events: setUp().events })
  await until('it ran three times', () => passes >= 3)
  await loop.stop()
  t.equal(most, 1)
})

t.test('a failure is told by the name of the loop, and the next pass runs', async (t) => {
  const { events, failed } = setUp()
  const error = new Error('no luck')
  let passes = 0
  const pass = async () => {
    passes += 1
    if (passes === 1) throw error
  }
  const loop = startLoop('unlucky', pass, { everyMs: 1, events })
  await until('it ran twice', () => passes >= 2)
  await loop.stop()
  t.strictSame(failed, [{ pass: 'unlucky', error }])
})

t.test('stopping waits for the pass that is under way, and none comes after it', async (t) => {
  const { events } = setUp()
  let [begun, ended] = [0, 0]
  let finish = () => {}
  const pass = async () => {
    begun += 1
    await new Promise<void>((resolve) => (finish = resolve))
    ended += 1
  }
  const loop = startLoop('slow', pass, { everyMs: 1, events })
  await until('it has begun', () => begun === 1)
  const stopped = loop.stop().then(() => t.equal(ended, 1))
  finish()
  await stopped
  t.equal(begun, 1)
})

t.test('stopped before its first pass, it never runs and keeps nothing alive', async (t) => {
  let passes = 0
  const pass = async () => void (passes += 1)
  await startLoop('never', pass, { everyMs: 3_600_000, events: setUp().events }).stop()
  t.equal(passes, 0)
})

t.test('another pace holds from the next wait on', async () => {
  let passes = 0
  const pace = { everyMs: 1, events: setUp().events }
  const loop = startLoop('changing', async () => void (passes += 1), {
    get everyMs() {
      return pace.everyMs
    },
    events: pace.events,
  })
  await until('it ran', () => passes > 0)
  pace.everyMs = 1_000_000
  loop.wake()
  const seen = passes
  await until('it ran when it was woken', () => passes > seen)
  const last = passes
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.ok(passes <= last + 1, 'and waits')
  await loop.stop()
})

t.test('woken, it runs at once, and once for many wakes', async (t) => {
  let passes = 0
  const loop = startLoop('sleepy', async () => void (passes += 1), {
    everyMs: 1_000_000,
    events: setUp().events,
  })
  for (let wakes = 0; wakes < 5; wakes++) loop.wake()
  await until('it ran', () => passes === 1)
  await loop.stop()
  t.equal(passes, 1)
})

t.test('woken during a pass, it runs once more: that pass may have looked too early', async () => {
  const { promise: held, resolve: letGo } = Promise.withResolvers<void>()
  let passes = 0
  const pass = async () => {
    passes += 1
    if (passes === 1) await held
  }
  const loop = startLoop('busy', pass, { everyMs: 1_000_000, events: setUp().events })
  loop.wake()
  await until('the first is under way', () => passes === 1)
  loop.wake()
  letGo()
  await until('the second ran', () => passes === 2)
  await loop.stop()
})

t.test('woken again and again it keeps the gap between two passes', async (t) => {
  const begins: number[] = []
  const loop = startLoop('eager', async () => void begins.push(performance.now()), {
    everyMs: 1_000_000,
    gapMs: 40,
    events: setUp().events,
  })
  loop.wake()
  await until('it ran three times', () => {
    loop.wake()
    return begins.length >= 3
  })
  await loop.stop()
  const gaps = begins.slice(1).map((at, index) => at - begins[index]!)
  // A timer may fire a millisecond early by this clock.
  t.ok(
    gaps.every((gap) => gap >= 38),
    gaps.join(' '),
  )
})
