import t from 'tap'
import { problem, refusalOf } from '../../src/admin/problem.ts'
import { ControlError, GatewayError, controlErrorTable, type ControlErrorCode } from '../../src/errors.ts'

t.test('a problem document has a stable code, and a type made of it', async (t) => {
  t.strictSame(problem(404, 'not_found', 'No job "x".'), {
    type: 'urn:lanekeeper:error:not_found',
    title: 'There is no such thing',
    status: 404,
    code: 'not_found',
    detail: 'No job "x".',
  })
})

t.test('a code without a title of its own is its own title', async (t) => {
  t.equal(problem(400, 'some_code', '').title, 'some_code')
})

t.test('each refusal of control has the status, title and Retry-After of the table', async (t) => {
  for (const [code, row] of Object.entries(controlErrorTable)) {
    const refusal = refusalOf(new ControlError(code as ControlErrorCode, 'Because.'))
    t.match(refusal, {
      problem: { code, status: row.status, title: row.title, detail: /^Because\./ },
      retryAfterS: row.retryAfterS,
    })
  }
})

t.test('so has an error of the gateway', async (t) => {
  t.match(refusalOf(new GatewayError('store_unavailable', { detail: 'Away.' })), {
    problem: { code: 'store_unavailable', status: 503, detail: 'Away.' },
    retryAfterS: 1,
  })
})

t.test('while PostgreSQL is away, the problem says what still works', async (t) => {
  const { problem } = refusalOf(new ControlError('database_unavailable', 'It did not answer.'))
  t.match(problem.detail, /^It did not answer\. Meanwhile all traffic goes on, .*GET \/v1\/explain/)
})

t.test('what fastify refuses is said in our words: its own may repeat a secret', async (t) => {
  const rows: [code: string, statusCode: number, detail: RegExp][] = [
    ['FST_ERR_CTP_INVALID_JSON_BODY', 400, /not valid JSON/],
    ['FST_ERR_CTP_INVALID_MEDIA_TYPE', 415, /must be JSON/],
    ['FST_ERR_CTP_BODY_TOO_LARGE', 413, /too large/],
    ['FST_ERR_SOMETHING_NEW', 400, /cannot be read/],
  ]
  for (const [code, statusCode, detail] of rows) {
    const error = Object.assign(new Error('hunter2'), { code, statusCode })
    t.match(refusalOf(error).problem, { status: statusCode, code: 'bad_request', detail }, code)
    t.notMatch(JSON.stringify(refusalOf(error)), /hunter2/)
  }
})

t.test('of an error that nobody foresaw nothing is told', async (t) => {
  for (const error of [new TypeError('hunter2'), Object.assign(new Error('hunter2'), { statusCode: 503 })]) {
    t.match(refusalOf(error), { problem: { status: 500, code: 'internal_error' }, retryAfterS: null })
    t.notMatch(JSON.stringify(refusalOf(error)), /hunter2/)
  }
})
