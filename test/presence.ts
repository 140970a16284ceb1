import t from 'tap'
import { ControlError, GatewayError } from '../src/errors.ts'
import { makeDatabasePresence, makeStorePresence } from '../src/presence.ts'
import { recordFacts } from './fixtures/facts.ts'

const away = async () => {
  throw new GatewayError('store_unavailable', { detail: 'no answer' })
}
const there = async () => {}

t.test('that the store is away is said once, and once that it is back', async (t) => {
  const facts = recordFacts()
  const presence = makeStorePresence(facts.events)
  t.ok(presence.answers)
  for (const pass of [there, away, away]) await presence.during(pass)
  t.notOk(presence.answers)
  for (const pass of [there, there, away]) await presence.during(pass)
  t.same(facts.names(), ['store_lost', 'store_found', 'store_lost'])
  t.strictSame(facts.of('store_lost')[0], { detail: 'no answer' })
})

t.test("another error is the caller's, and says nothing about the store", async (t) => {
  const facts = recordFacts()
  const presence = makeStorePresence(facts.events)
  for (const error of [new TypeError('a mistake'), new GatewayError('no_upstream', { detail: 'none' })]) {
    const failing = async () => {
      throw error
    }
    await t.rejects(presence.during(failing), error)
  }
  t.ok(presence.answers)
  t.same(facts.names(), [])
})

t.test('the database is watched in the same way, apart from the store of pins', async (t) => {
  const facts = recordFacts()
  const presence = makeDatabasePresence(facts.events)
  const silent = async () => {
    throw new ControlError('database_unavailable', 'no answer')
  }
  for (const pass of [there, silent, silent, there]) await presence.during(pass)
  t.same(facts.names(), ['database_lost', 'database_found'])
  t.strictSame(facts.of('database_lost')[0], { detail: 'no answer' })
  await t.rejects(presence.during(away), { code: 'store_unavailable' })
})
