import t from 'tap'
import { makeEvents } from '../../src/events.ts'
import { makeConnectFailures } from '../../src/gateway/connect-failures.ts'
import { makeFakeClock } from '../fixtures/clock.ts'

function setUp() {
  const clock = makeFakeClock()
  const events = makeEvents()
  const setAside: unknown[] = []
  events.on('upstream_set_aside', (fact) => setAside.push(fact))
  const failures = makeConnectFailures({ limit: 2, refuseMs: 10_000, events, now: clock.now })
  return { clock, failures, setAside }
}

t.test('one failed connect sets nobody aside', async (t) => {
  const { failures, setAside } = setUp()
  failures.failed('up-1')
  t.same(failures.refused(), [])
  t.same(setAside, [])
})

t.test('two in a row do, for a while, and it is said once', async (t) => {
  const { failures, setAside, clock } = setUp()
  failures.failed('up-1')
  failures.failed('up-1')
  failures.failed('up-1')
  t.same(failures.refused(), ['up-1'])
  t.same(setAside, [{ upstream: 'up-1', forMs: 10_000 }])
  clock.advance(9999)
  t.same(failures.refused(), ['up-1'])
  clock.advance(1)
  t.same(failures.refused(), [])
})

t.test('failures of different upstreams are not added up', async (t) => {
  const { failures } = setUp()
  failures.failed('up-1')
  failures.failed('up-2')
  t.same(failures.refused(), [])
})

t.test('a success between them starts the count anew', async (t) => {
  const { failures } = setUp()
  failures.failed('up-1')
  failures.succeeded('up-1')
  failures.failed('up-1')
  t.same(failures.refused(), [])
})

t.test('a success ends the time at once', async (t) => {
  const { failures } = setUp()
  failures.failed('up-1')
  failures.failed('up-1')
  failures.succeeded('up-1')
  t.same(failures.refused(), [])
})

t.test('after the time the next failure is enough', async (t) => {
  const { failures, clock } = setUp()
  failures.failed('up-1')
  failures.failed('up-1')
  clock.advance(10_000)
  t.same(failures.refused(), [])
  failures.failed('up-1')
  t.same(failures.refused(), ['up-1'])
})

t.test('upstreams that left the fleet are forgotten', async (t) => {
  const { failures } = setUp()
  for (const id of ['up-1', 'up-2', 'up-1', 'up-2']) failures.failed(id)
  failures.keepOnly((id) => id === 'up-2')
  t.same(failures.refused(), ['up-2'])
  failures.failed('up-1')
  t.same(failures.refused(), ['up-2'], 'its count began anew')
})

t.test('limits that change hold from the next failure on', async (t) => {
  const clock = makeFakeClock()
  const limits = { limit: 2, refuseMs: 10_000, events: makeEvents(), now: clock.now }
  const failures = makeConnectFailures(limits)
  Object.assign(limits, { limit: 1, refuseMs: 1000 })
  failures.failed('up-1')
  t.same(failures.refused(), ['up-1'])
  clock.advance(1000)
  t.same(failures.refused(), [])
})
