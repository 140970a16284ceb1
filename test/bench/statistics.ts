import t from 'tap'
import { percentile, spreadOf } from '../../bench/fixtures/statistics.ts'

t.test('a spread is the middle and both ends, whatever the order', async (t) => {
  const cases = [
    { values: [3], spread: { median: 3, min: 3, max: 3 } },
    { values: [9, 1, 5], spread: { median: 5, min: 1, max: 9 } },
    { values: [4, 1, 2, 3], spread: { median: 2.5, min: 1, max: 4 } },
    { values: [100, 20, 3], spread: { median: 20, min: 3, max: 100 } },
    { values: [-1, 0, -2], spread: { median: -1, min: -2, max: 0 } },
  ]
  for (const { values, spread } of cases) t.same(spreadOf(values), spread, values.join(' '))
})

t.test('a percentile is the nearest rank', async (t) => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index)
  const cases = [
    { values: hundred, share: 0.5, is: 50 },
    { values: hundred, share: 0.99, is: 99 },
    { values: hundred, share: 0.991, is: 100 },
    { values: hundred, share: 1, is: 100 },
    { values: [7], share: 0.01, is: 7 },
    { values: [1, 2, 3], share: 0.5, is: 2 },
    { values: [10, 9, 1], share: 0.99, is: 10 },
  ]
  for (const { values, share, is } of cases)
    t.equal(percentile(values, share), is, `p${share * 100} of ${values.length}`)
})

t.test('nothing has no middle', async (t) => {
  t.throws(() => spreadOf([]), RangeError)
  t.throws(() => percentile([], 0.5), RangeError)
})

t.test('what was measured keeps its order', async (t) => {
  const values = [3, 1, 2]
  spreadOf(values)
  percentile(values, 0.5)
  t.same(values, [3, 1, 2])
})
