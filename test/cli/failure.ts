import t from 'tap'
import {
  describe,
  exitCodeOf,
  isMomentary,
  leavesOpen,
  problemOf,
  type Failure,
} from '../../src/cli/failure.ts'

const common = { url: 'http://control:3129', hasToken: true, unknownUnder: null }

function refused(
  status: number,
  code: string,
  more: { retryAfterS?: number; detail?: string } = {},
): Failure {
  const { retryAfterS = null, detail = 'The detail.' } = more
  const problem = { type: `urn:lanekeeper:error:${code}`, title: 'The title', status, code, detail }
  return { ...common, kind: 'refused', status, retryAfterS, problem }
}

const unsent: Failure = { ...common, kind: 'unreachable', cause: 'ECONNREFUSED', wasSent: false }
const broken: Failure = { ...common, kind: 'unreachable', cause: 'ECONNRESET', wasSent: true }
const late: Failure = { ...common, kind: 'timeout', afterMs: 2500, wasSent: true }
const foreign: Failure = { ...common, kind: 'foreign', status: 200, found: 'a body of text/html' }

t.test('people are told what happened, and what to do', (t) => {
  const cases: [name: string, failure: Failure, lines: RegExp[]][] = [
    ['refused', refused(404, 'not_found'), [/^The title \(404 not_found\)\.$/, /^The detail\.$/]],
    ['no detail', refused(404, 'not_found', { detail: '' }), [/^The title/]],
    [
      'a person may overrule it',
      refused(409, 'names_nothing'),
      [/^The title \(409 names_nothing\)\.$/, /^The detail\.$/, /^With --force it is done all the same\.$/],
    ],
    [
      'later',
      refused(503, 'database_unavailable', { retryAfterS: 2 }),
      [/503/, /detail/, /^Try again in 2 s\.$/],
    ],
    [
      'no token',
      { ...refused(401, 'unauthorized'), hasToken: false },
      [/401/, /detail/, /^Set ADMIN_TOKEN to the token of http:\/\/control:3129\.$/],
    ],
    [
      'wrong token',
      refused(401, 'unauthorized'),
      [/401/, /detail/, /^ADMIN_TOKEN is not the token of http:\/\/control:3129;/],
    ],
    [
      'key of another request',
      refused(422, 'idempotency_mismatch'),
      [/422/, /detail/, /^Leave --idempotency-key out/],
    ],
    [
      'nobody there',
      unsent,
      [
        /^Nothing answers at http:\/\/control:3129 \(ECONNREFUSED\)\.$/,
        /lanekeeper start.*ADMIN_URL or --url/,
      ],
    ],
    ['it broke', broken, [/^The connection to http:\/\/control:3129 broke \(ECONNRESET\)\.$/]],
    ['silent', late, [/^http:\/\/control:3129 did not answer within 2\.5 s\.$/, /longer --timeout/]],
    ['silent from the start', { ...late, wasSent: false }, [/did not answer within/, /ADMIN_URL or --url/]],
    [
      'somebody else',
      foreign,
      [/answered 200 with a body of text\/html, which is not the admin API's JSON/, /admin port/],
    ],
    [
      'nobody knows whether it was done',
      { ...broken, unknownUnder: 'k-1' },
      [
        /broke/,
        /^Whether it was done is not known\..*repeat the command with$/,
        /^ {2}--idempotency-key k-1$/,
      ],
    ],
    ['hostile words', refused(404, 'not_found', { detail: '\u001b[2Jgone' }), [/404/, /^\\u\{1b\}\[2Jgone$/]],
  ]
  for (const [name, failure, wanted] of cases) {
    const lines = describe(failure)
    t.equal(lines.length, wanted.length, `${name}: ${lines.join(' / ')}`)
    wanted.forEach((pattern, index) => t.match(lines[index], pattern, name))
  }
  t.end()
})

t.test('programs get the problem document, or one in its place', (t) => {
  t.strictSame(
    problemOf(refused(404, 'not_found')),
    (refused(404, 'not_found') as { problem: unknown } & Failure).problem,
  )
  t.match(problemOf(unsent), {
    type: 'urn:lanekeeper:error:unreachable',
    title: 'Nothing answers at http://control:3129 (ECONNREFUSED).',
    status: null,
    code: 'unreachable',
    detail: /ADMIN_URL/,
  })
  t.match(problemOf({ ...late, unknownUnder: 'k-1' }), { code: 'timeout', idempotencyKey: 'k-1' })
  t.match(problemOf(foreign), { code: 'foreign', status: 200 })
  t.end()
})

t.test('a refusal that --force would overrule has an exit code of its own', (t) => {
  for (const code of ['names_nothing', 'lane_without_upstream'])
    t.equal(exitCodeOf(refused(409, code)), 4, code)
  for (const failure of [refused(409, 'conflict'), refused(404, 'not_found'), unsent, broken, late, foreign])
    t.equal(exitCodeOf(failure), 1)
  t.end()
})

t.test('after which failure a change may have been done', (t) => {
  const cases: [name: string, failure: Failure, isOpen: boolean][] = [
    ['nothing was sent', unsent, false],
    ['it broke', broken, true],
    ['no answer in time', late, true],
    ['no connection in time', { ...late, wasSent: false }, false],
    ['refused', refused(400, 'bad_request'), false],
    ['refused since it clashes', refused(409, 'conflict'), false],
    ['the first try is under way', refused(409, 'idempotency_in_flight'), true],
    ['a commit whose answer was lost', refused(503, 'database_unavailable'), true],
    ['a failure of the server', refused(500, 'internal_error'), true],
    ['an answer that cannot be read', foreign, true],
    ['a refusal of somebody in between', { ...foreign, status: 403 }, false],
    ['a failure of somebody in between', { ...foreign, status: 502 }, true],
  ]
  for (const [name, failure, isOpen] of cases) t.equal(leavesOpen(failure), isOpen, name)
  t.end()
})

t.test('which failure may be gone with the next look', (t) => {
  const cases: [name: string, failure: Failure, isMomentary: boolean][] = [
    ['nobody there', unsent, true],
    ['it broke', broken, true],
    ['silent', late, true],
    ['PostgreSQL is away', refused(503, 'database_unavailable'), true],
    ['a failure of the server', refused(500, 'internal_error'), true],
    ['a load balancer', { ...foreign, status: 502 }, true],
    ['refused', refused(404, 'not_found'), false],
    ['no token', refused(401, 'unauthorized'), false],
    ['somebody else', foreign, false],
  ]
  for (const [name, failure, wanted] of cases) t.equal(isMomentary(failure), wanted, name)
  t.end()
})
