import t from 'tap'
import { batchesOf } from '../../../src/store/postgres/apply-steps.ts'
import type { Step } from '../../../src/store/records.ts'
import { added, changed, deleted } from '../../fixtures/records-under-test.ts'

/** What a batch does to the tables is in test/fixtures/records-contract.ts. */
t.test('steps of one kind are one statement, as long as each id comes once', async (t) => {
  const asked: Step = { kind: 'eviction_asked' }
  const cases: readonly (readonly [string, Step[], number[]])[] = [
    ['none', [], []],
    ['one', [added('a')], [1]],
    ['many of one kind', [added('a'), added('b'), added('c')], [3]],
    ['another kind in between', [added('a'), deleted('b'), added('c')], [1, 1, 1]],
    ['an id again', [changed('a', {}), changed('b', {}), changed('a', {}), changed('b', {})], [2, 2]],
    ['an id again, much later', [changed('a', {}), deleted('a'), changed('a', {})], [1, 1, 1]],
    ['steps about the fleet', [asked, asked], [1, 1]],
  ]
  for (const [name, steps, lengths] of cases) {
    const batches = batchesOf(steps)
    t.same(
      batches.map(({ length }) => length),
      lengths,
      name,
    )
    t.same(batches.flat(), steps, `${name}: in their order`)
  }
})
