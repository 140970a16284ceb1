import t from 'tap'
import { makeDatabaseWatch } from '../../src/control/database-watch.ts'
import { ControlError, GatewayError } from '../../src/errors.ts'
import { makeFakeClock } from '../fixtures/clock.ts'
import { recordFacts } from '../fixtures/facts.ts'

const there = async () => {}
const away = async () => {
  throw new ControlError('database_unavailable', 'it is read-only')
}
const busy = async () => {
  throw new ControlError('database_busy', 'others are in the way')
}

function setUp() {
  const clock = makeFakeClock()
  const facts = recordFacts()
  return { clock, facts, watch: makeDatabaseWatch({ events: facts.events, now: clock.now }) }
}

t.test('an outage is told twice, whichever passes do well meanwhile', async (t) => {
  const { facts, watch } = setUp()
  for (let second = 0; second < 10; second += 1) {
    await watch.during('reads', there)
    await watch.during('writes', away)
    await watch.during('has nothing to do', there)
  }
  t.same(facts.names(), ['database_lost'])
  t.equal(watch.problem, 'it is read-only')
  await watch.during('writes', there)
  t.same(facts.names(), ['database_lost', 'database_found'])
  t.equal(watch.problem, null)
})

t.test('each pass that failed is waited for, unless that was long ago', async (t) => {
  const { facts, watch, clock } = setUp()
  for (const pass of ['hourly', 'writes']) await watch.during(pass, away)
  await watch.during('writes', there)
  t.equal(facts.names().at(-1), 'database_lost')
  clock.advance(15_001)
  await watch.during('writes', there)
  t.equal(facts.names().at(-1), 'database_found')
})

t.test('others that are in the way are an absence too: nothing can be changed', async (t) => {
  const { facts, watch } = setUp()
  await watch.during('writes', busy)
  await watch.during('writes', busy)
  t.same(facts.of('database_lost'), [{ detail: 'others are in the way' }])
})

t.test("another error is the caller's, and says nothing about the database", async (t) => {
  const { facts, watch } = setUp()
  for (const error of [new TypeError('a mistake'), new GatewayError('store_unavailable', { detail: 'away' })])
    await t.rejects(
      watch.during('writes', () => Promise.reject(error)),
      error,
    )
  t.same(facts.names(), [])
  t.equal(watch.problem, null)
})
