import t from 'tap'
import type { Figure } from '../../bench/fixtures/case.ts'
import { compareFigures } from '../../bench/fixtures/compare.ts'
import { movedFloor } from '../../bench/fixtures/floor.ts'

function figure(values: readonly number[], more: Partial<Figure> = {}): Figure {
  return { name: 'gateway: tunnels', unit: '/s', better: 'more', values, ...more }
}

function compared(before: Figure, after: Figure) {
  const [only, ...rest] = compareFigures([before], [after])
  if (only?.kind !== 'both' || rest.length > 0) throw new Error('they were not compared with each other')
  return only
}

t.test('a difference counts only where the spreads do not touch', async (t) => {
  const cases = [
    { before: [10, 11, 12], after: [13, 14, 15], more: 'better', less: 'worse' },
    { before: [13, 14, 15], after: [10, 11, 12], more: 'worse', less: 'better' },
    { before: [10, 11, 12], after: [12, 14, 15], more: 'within the spread', less: 'within the spread' },
    { before: [10, 11, 20], after: [13, 14, 15], more: 'within the spread', less: 'within the spread' },
    { before: [10, 11, 12], after: [10, 11, 12], more: 'within the spread', less: 'within the spread' },
    { before: [0, 0], after: [1, 2], more: 'better', less: 'worse' },
    { before: [10], after: [20, 21], more: 'no spread', less: 'no spread' },
    { before: [10, 11], after: [20], more: 'no spread', less: 'no spread' },
  ]
  for (const { before, after, ...verdicts } of cases)
    for (const better of ['more', 'less'] as const) {
      const { verdict } = compared(figure(before, { better }), figure(after, { better }))
      t.equal(verdict, verdicts[better], `${before} -> ${after}, ${better} is better`)
    }
})

t.test('the ratio is new by old, with both spreads beside it', async (t) => {
  const { ratio, before, after } = compared(figure([9, 10, 11]), figure([24, 25, 30]))
  t.equal(ratio, 2.5)
  t.same(before, { median: 10, min: 9, max: 11 })
  t.same(after, { median: 25, min: 24, max: 30 })
  t.equal(compared(figure([0, 0]), figure([5, 5])).ratio, null, 'of nothing there is none')
})

t.test('figures of one side only are named, not dropped', async (t) => {
  const [kept, gone, fresh] = ['kept', 'gone', 'new'].map((name) => figure([1, 2], { name }))
  const comparisons = compareFigures([gone!, kept!], [fresh!, kept!])
  t.same(
    comparisons.map(({ kind, name }) => [kind, name]),
    [
      ['only after', 'new'],
      ['both', 'kept'],
      ['only before', 'gone'],
    ],
  )
})

t.test('another unit is another figure', async (t) => {
  const comparisons = compareFigures([figure([1, 2], { unit: 'ms' })], [figure([1, 2], { unit: 'us' })])
  t.same(
    comparisons.map(({ kind, unit }) => [kind, unit]),
    [
      ['only after', 'us'],
      ['only before', 'ms'],
    ],
  )
})

t.test('a floor that moved is told, since no change of ours moves it', async (t) => {
  const of = (name: string, values: readonly number[]) => figure(values, { name })
  const before = [
    of('no gateway: tunnels', [10, 11]),
    of('no gateway: steady', [10, 11]),
    of('no gateway: once', [10]),
    of('gateway: tunnels', [10, 11]),
    of('gateway / no gateway: tunnels', [10, 11]),
  ]
  const after = before.map(({ name }) => of(name, name.endsWith('steady') ? [10, 12] : [20, 22]))
  t.same(movedFloor(compareFigures(before, after)), ['no gateway: tunnels'])
  t.same(movedFloor(compareFigures(before, before)), [])
})
