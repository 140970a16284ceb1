import t from 'tap'
import { GatewayError } from '../src/errors.ts'
import { makeStorePresence } from '../src/store-presence.ts'
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
