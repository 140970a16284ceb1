import t from 'tap'
import { repeat } from '../../bench/fixtures/load.ts'

/** Long enough to be ended by the count, on any machine. */
const seconds = 60

t.test('a load ends by its count, each line with its own number', async (t) => {
  const lines = new Set<number>()
  const load = await repeat({ seconds, inFlight: 3, limit: 10 }, async (line) => void lines.add(line))
  t.match(load, { operations: 10, errors: 0, firstError: null })
  t.same([...lines].sort(), [0, 1, 2])
})

t.test('a load ends by its time', async (t) => {
  const load = await repeat({ seconds: 0.05, inFlight: 1 }, () => new Promise((done) => setImmediate(done)))
  t.ok(load.operations > 0 && load.operations < 1_000_000, 'long before the count would end it')
  t.ok(load.seconds >= 0.05)
})

t.test('an operation may tell how long it took', async (t) => {
  const times = [30, 10, 20, 40]
  const load = await repeat({ seconds, inFlight: 1, limit: 4 }, async () => times.shift())
  t.match(load, { p50Us: 20, p99Us: 40 })
})

t.test('failures are counted and the first is told; their lines stop, the others go on', async (t) => {
  const tried = [0, 0]
  const load = await repeat({ seconds, inFlight: 2, limit: 10 }, async (line) => {
    tried[line]! += 1
    if (line === 0) throw new Error('answered 503')
  })
  t.match(load, { operations: 9, errors: 1 })
  t.equal(load.firstError, 'answered 503')
  t.same(tried, [1, 9])
})

t.test('nothing done is no time at all, not an exception', async (t) => {
  const load = await repeat({ seconds, inFlight: 1, limit: 1 }, () => Promise.reject('no'))
  t.match(load, { operations: 0, p50Us: 0, p99Us: 0, errors: 1, firstError: 'no' })
})
