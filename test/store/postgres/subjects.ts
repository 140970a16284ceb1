import t from 'tap'
import { subjectOf, subjectsOf } from '../../../src/store/postgres/subjects.ts'
import type { Step } from '../../../src/store/records.ts'
import { added, changed, deleted, restriction, ruleAdded } from '../../fixtures/records-under-test.ts'

const rule = restriction('r-1')

t.test('each step is about one upstream, one restriction, or the fleet', async (t) => {
  const cases: readonly (readonly [Step, string | null])[] = [
    [added('up-a'), 'up-a'],
    [changed('up-a', { ejected: true }), 'up-a'],
    [deleted('up-a'), 'up-a'],
    [ruleAdded('r-1'), 'r-1'],
    [{ kind: 'restriction_replaced', from: rule, restriction: rule, source: 'api' }, 'r-1'],
    [{ kind: 'restriction_removed', restriction: rule }, 'r-1'],
    [{ kind: 'eviction_asked' }, null],
    [{ kind: 'jobs_evicted', asked: 1, jobs: 2 }, null],
    [{ kind: 'version_raised', above: 1 }, null],
  ]
  for (const [step, subject] of cases) t.equal(subjectOf(step), subject, step.kind)
})

t.test('each id once, in the order of the steps', async (t) => {
  t.same(subjectsOf([deleted('b'), { kind: 'eviction_asked' }, added('a'), changed('b', {})]), ['b', 'a'])
})
