import t from 'tap'
import type { Figure } from '../../bench/fixtures/case.ts'
import { figureTable } from '../../bench/fixtures/report.ts'

function figure(values: readonly number[], atMost?: number): Figure {
  return {
    name: 'sync: CPU',
    unit: 'ms',
    better: 'less',
    values,
    ...(atMost === undefined ? {} : { atMost }),
  }
}

t.test('a figure has its median and spread', async (t) => {
  t.match(figureTable([figure([3, 1, 2])]), /sync: CPU +ms +2 +1\.\.3$/)
})

t.test('what must not be exceeded holds, or does not, in all rounds', async (t) => {
  const cases = [
    { values: [1, 2, 3], says: /at most 3: holds$/ },
    { values: [1, 2, 3.1], says: /at most 3: DOES NOT HOLD$/ },
  ]
  for (const { values, says } of cases) t.match(figureTable([figure(values, 3)]), says)
})
