import t from 'tap'
import { checkRaise, nextEviction, nextSizes, nextVersion } from '../../../src/store/postgres/next-head.ts'
import type { Step } from '../../../src/store/records.ts'

const asked: Step = { kind: 'eviction_asked' }
const evicted = (version: number): Step => ({ kind: 'jobs_evicted', asked: version, jobs: 3 })
const raised = (above: number): Step => ({ kind: 'version_raised', above })

t.test('a change is one version more; only a raise leaves a gap', async (t) => {
  const cases: readonly (readonly [string, number, Step[], number])[] = [
    ['the first', 0, [asked], 1],
    ['many steps are one change', 7, [asked, evicted(1), asked], 8],
    ['one above the version found elsewhere', 7, [raised(41)], 42],
    ['the same version with another history', 7, [raised(7)], 8],
    ['the greatest of several', 7, [raised(9), raised(41), raised(12)], 42],
  ]
  for (const [name, version, steps, next] of cases) t.equal(nextVersion(version, steps), next, name)
})

t.test('the wish to evict stands until it is done, unless a newer one does', async (t) => {
  const cases: readonly (readonly [string, number | null, Step[], number | null])[] = [
    ['nothing asked', null, [], null],
    ['asked with this version', null, [asked], 9],
    ['a wish stays over other changes', 5, [raised(4)], 5],
    ['done', 5, [evicted(5)], null],
    ['an older one is done', 5, [evicted(4)], 5],
    ['done, and with it what was asked before', 5, [evicted(6)], null],
    ['done and asked again in one change', 5, [evicted(5), asked], 9],
    ['done twice', null, [evicted(5)], null],
  ]
  for (const [name, before, steps, after] of cases) t.equal(nextEviction(before, 9, steps), after, name)
})

t.test('the last word about the size counts, and without one it stays', async (t) => {
  const wanted = (to: number | null, configured: number | null): Step => {
    return { kind: 'size_wanted', from: 3, to, configured }
  }
  const cases: readonly (readonly [string, Step[], [number | null, number | null]])[] = [
    ['nothing', [], [3, 2]],
    ['other steps', [asked, raised(7)], [3, 2]],
    ['another', [wanted(4, 2), asked], [4, 2]],
    ['none', [wanted(null, 2)], [null, 2]],
    ['as configured now', [wanted(5, 5)], [5, 5]],
    ['one after the other', [wanted(5, 5), wanted(6, 5)], [6, 5]],
  ]
  for (const [name, steps, [wantedSize, configuredSize]] of cases) {
    // No more than the sizes, whatever it is handed.
    const head = { wantedSize: 3, configuredSize: 2, version: 7 }
    t.same(nextSizes(head, steps), { wantedSize, configuredSize }, name)
  }
})

t.test('a raise that is none is a mistake', async (t) => {
  for (const above of [6, -1, 7.5, Number.NaN]) t.throws(() => checkRaise({ version: 7 }, [raised(above)]))
  for (const above of [7, 8]) t.doesNotThrow(() => checkRaise({ version: 7 }, [asked, raised(above)]))
})
