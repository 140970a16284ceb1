import t from 'tap'
import type { Failure } from '../../src/cli/failure.ts'
import { pauseBeforeRepeat } from '../../src/cli/repeat.ts'

const common = { url: 'http://x', hasToken: false, unknownUnder: null }
const document = { type: 'urn:x', title: 'x', status: 0, detail: 'x' }

function refused(status: number, code: string, retryAfterS: number | null = null): Failure {
  return { ...common, kind: 'refused', status, retryAfterS, problem: { ...document, code } }
}

const reset: Failure = { ...common, kind: 'unreachable', cause: 'ECONNRESET', wasSent: true }

t.test('a change is repeated where a moment may help, for as long as was asked', (t) => {
  const cases: [name: string, failure: Failure, pauses: [number | null, number | null, number | null]][] = [
    ['the connection broke', reset, [200, 1000, null]],
    ['nobody answered', { ...reset, wasSent: false, cause: 'ECONNREFUSED' }, [200, 1000, null]],
    ['503', refused(503, 'database_unavailable'), [200, 1000, null]],
    ['503 with a time', refused(503, 'database_unavailable', 2), [2000, 2000, null]],
    ['503 with a time that has passed', refused(503, 'database_unavailable', 0), [200, 1000, null]],
    ['503 with a long time', refused(503, 'no_upstream', 4), [null, null, null]],
    [
      '503 of somebody in between',
      { ...common, kind: 'foreign', status: 503, found: 'x' },
      [200, 1000, null],
    ],
    ['the first try is under way', refused(409, 'idempotency_in_flight', 1), [1000, 1000, null]],
    ['any other 409', refused(409, 'conflict'), [null, null, null]],
    ['400', refused(400, 'bad_request'), [null, null, null]],
    ['401', refused(401, 'unauthorized'), [null, null, null]],
    ['500', refused(500, 'internal_error'), [null, null, null]],
    ['not the API', { ...common, kind: 'foreign', status: 200, found: 'x' }, [null, null, null]],
    [
      'all the time is used up',
      { ...common, kind: 'timeout', afterMs: 1, wasSent: true },
      [null, null, null],
    ],
  ]
  for (const [name, failure, pauses] of cases)
    t.strictSame(
      [1, 2, 3].map((tries) => pauseBeforeRepeat(failure, tries)),
      pauses,
      name,
    )
  t.end()
})
