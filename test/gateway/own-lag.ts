import t, { type Test } from 'tap'
import { makeOwnLag } from '../../src/gateway/own-lag.ts'
import { recordFacts } from '../fixtures/facts.ts'
import { stall } from '../fixtures/stall.ts'
import { until } from '../fixtures/until.ts'

/** Its timer is node's own, so here it is never seen: all is asked for, at times of the test's choice. */
function setUp(t: Test) {
  let nowMs = 1000
  const facts = recordFacts()
  const lag = makeOwnLag({ limits: { maxLagMs: 500 }, events: facts.events, now: () => nowMs })
  t.teardown(lag.stop)
  return { lag, facts, pass: (ms: number) => (nowMs += ms) }
}

t.test('in time: no lag, not late', async (t) => {
  const { lag, facts, pass } = setUp(t)
  pass(100)
  t.equal(lag.ms, 0)
  t.notOk(lag.isLate)
  t.same(facts.names(), [])
})

t.test('late, but no later than it may be', async (t) => {
  const { lag, facts, pass } = setUp(t)
  pass(600)
  t.equal(lag.ms, 500)
  t.notOk(lag.isLate)
  t.same(facts.names(), [])
})

t.test('a stall is known at once, before any timer had its turn, and told once', async (t) => {
  const { lag, facts, pass } = setUp(t)
  pass(2100)
  t.ok(lag.isLate)
  t.equal(lag.ms, 2000)
  pass(50)
  t.ok(lag.isLate)
  t.same(facts.of('process_late'), [{ lagMs: 2000 }])
})

t.test('a real stall is known for a second, then it is over; the next one is told anew', async (t) => {
  const facts = recordFacts()
  const lag = makeOwnLag({ limits: { maxLagMs: 400 }, events: facts.events, now: () => performance.now() })
  t.teardown(lag.stop)
  // A busy test machine may add lags of its own, so there are so many at least.
  for (let stalls = 1; stalls <= 2; stalls++) {
    stall(700)
    t.ok(lag.isLate)
    t.ok(lag.ms >= 500, `${lag.ms} ms`)
    t.ok(facts.of('process_late').length >= stalls)
    const stalledMs = performance.now()
    await until('it is over', () => !lag.isLate)
    t.ok(performance.now() - stalledMs >= 900, 'who asks each second hears of it')
  }
})
