import fc from 'fast-check'
import t from 'tap'
import { pinOf, recordOf } from '../../../src/store/redis/pin-record.ts'

const word = fc.string({ minLength: 1, maxLength: 20 })
const plain = { noNullPrototype: true }
const job = fc.record({ id: word, type: fc.option(word), institution: fc.option(word) }, plain)
const pins = fc.record({ job, upstreamId: word, freshBy: fc.option(word), pinnedAtMs: fc.nat() }, plain)

t.test('a pin that is written is read again as it was', async (t) => {
  fc.assert(
    fc.property(pins, (pin) => {
      const text = JSON.stringify(recordOf({ ...pin, hashed: false }))
      t.strictSame(pinOf(pin.job.id, text, 7), { ...pin, expiresAtMs: 7 })
    }),
    { numRuns: 200 },
  )
})

t.test('what a newer program added does not matter; another format is refused by name', async (t) => {
  t.match(pinOf('j', '{"f":1,"u":"up-1","at":3,"new":[1]}', 0), { upstreamId: 'up-1', pinnedAtMs: 3 })
  for (const record of ['{"f":99,"u":"up-1","at":3}', '{"u":"up-1"}'])
    t.throws(() => pinOf('j', record, 0), { code: 'store_unavailable', fields: { detail: /pin record/ } })
})
