import t from 'tap'
import { ApiError, type Failure } from '../../src/cli/failure.ts'
import type { ProgressLine } from '../../src/cli/progress.ts'
import { waitFor, type Look } from '../../src/cli/wait.ts'
import { makeQuickClock } from '../fixtures/command-line.ts'

const common = { url: 'http://x', hasToken: false, unknownUnder: null }
const unreachable: Failure = { ...common, kind: 'unreachable', cause: 'ECONNREFUSED', wasSent: false }
const silent: Failure = { ...common, kind: 'timeout', afterMs: 1, wasSent: true }
const gateway: Failure = { ...common, kind: 'foreign', status: 502, found: 'x' }
const refused = (status: number, code: string): Failure => {
  const problem = { type: 'x', title: 'x', status, code, detail: 'x' }
  return { ...common, kind: 'refused', status, retryAfterS: null, problem }
}

/** Each look finds the next of these, and then the last one again. */
function setUp(withinMs: number | null, ...looks: readonly (Look<string> | Failure)[]) {
  const clock = makeQuickClock()
  const shown: (readonly ProgressLine[])[] = []
  let asked = 0
  const startMs = clock.now()
  const wait = () =>
    waitFor(
      async () => {
        const look = looks[Math.min(asked, looks.length - 1)]!
        asked += 1
        if ('lines' in look) return look
        throw new ApiError(look)
      },
      { show: (lines) => shown.push(lines), clock, withinMs },
    )
  return { wait, shown, asked: () => asked, ms: () => clock.now() - startMs }
}

const line = { subject: 'up-1', text: 'draining' }
const open: Look<string> = { lines: [line], result: null }
const over: Look<string> = { lines: [{ ...line, text: 'drained' }], result: 'done' }

t.test('it looks each second until there is a result, and shows each look', async (t) => {
  const { wait, shown, asked, ms } = setUp(null, open, open, over)
  t.equal(await wait(), 'done')
  t.equal(asked(), 3)
  t.equal(ms(), 2000)
  t.strictSame(shown, [open.lines, open.lines, over.lines])
})

t.test('it waits for days, unless it is told how long', async (t) => {
  const patient = setUp(null, ...Array<typeof open>(2000).fill(open), over)
  t.equal(await patient.wait(), 'done')
  const { wait, ms, asked } = setUp(2500, open)
  t.equal(await wait(), null)
  t.equal(ms(), 2500)
  t.equal(asked(), 4, 'with a last look at the end of the time')
})

t.test('a moment without answer is waited out, and shown beside what was known', async (t) => {
  const moments: [failure: Failure, said: string][] = [
    [unreachable, 'no answer (ECONNREFUSED); waiting for it'],
    [silent, 'no answer (silent); waiting for it'],
    [gateway, 'no answer (502); waiting for it'],
    [refused(503, 'database_unavailable'), 'no answer (503 database_unavailable); waiting for it'],
  ]
  for (const [failure, text] of moments) {
    const { wait, shown } = setUp(null, failure, open, failure, over)
    t.equal(await wait(), 'done')
    const told = { subject: 'admin API', text }
    t.strictSame(shown, [[told], open.lines, [line, told], over.lines])
  }
})

t.test('a refusal ends it', async (t) => {
  for (const failure of [refused(404, 'not_found'), refused(401, 'unauthorized')]) {
    const { wait, asked } = setUp(null, open, failure, over)
    await t.rejects(wait(), ApiError)
    t.equal(asked(), 2)
  }
})

t.test('an error that nobody foresaw is not waited out', async (t) => {
  const clock = makeQuickClock()
  const look = () => Promise.reject(new TypeError('x'))
  await t.rejects(waitFor(look, { show: () => {}, clock, withinMs: null }), TypeError)
})
