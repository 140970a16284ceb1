import { EventEmitter } from 'node:events'
import t from 'tap'
import { GatewayError } from '../../src/errors.ts'
import { answerFault, brokenAnswer, limitInterim, switchFault } from '../../src/gateway/answer-fault.ts'

const fine = {
  httpVersion: '1.1',
  statusCode: 200,
  statusMessage: 'OK',
  headers: {},
  rawHeaders: [] as string[],
}

const lines = (count: number) => Array.from({ length: count }, () => ['X', 'y']).flat()

t.test('answers that may go on', (t) => {
  const rows: [name: string, said: Partial<typeof fine> & { headers?: object }][] = [
    ['200', {}],
    ['HTTP/1.0', { httpVersion: '1.0' }],
    ['599', { statusCode: 599 }],
    ['no reason', { statusMessage: '' }],
    ['a reason with a tab and Latin-1', { statusMessage: 'pr\u00eat\t!' }],
    ["407, which is the target's own here", { statusCode: 407 }],
    ['chunked', { headers: { 'transfer-encoding': 'Chunked' } }],
    ['many header lines', { rawHeaders: lines(500) }],
  ]
  for (const [name, said] of rows) t.equal(answerFault({ ...fine, ...said }), null, name)
  t.end()
})

t.test('answers that may not', (t) => {
  const rows: [name: string, said: Partial<typeof fine> & { headers?: object }, detail: RegExp][] = [
    ['HTTP/2.0', { httpVersion: '2.0' }, /version/],
    ['HTTP/0.9', { httpVersion: '0.9' }, /version/],
    ['000', { statusCode: 0 }, /status is not a number/],
    ['099', { statusCode: 99 }, /status is not a number/],
    ['600', { statusCode: 600 }, /status is not a number/],
    ['101 without Upgrade', { statusCode: 101 }, /nobody asked for/],
    ['NUL in the reason', { statusMessage: 'O\0K' }, /control character/],
    ['DEL in the reason', { statusMessage: 'O\x7fK' }, /control character/],
    ['a line end in the reason', { statusMessage: 'OK\r\nX: y' }, /control character/],
    ['gzip as a transfer coding', { headers: { 'transfer-encoding': 'gzip' } }, /transfer coding/],
    ['gzip below chunked', { headers: { 'transfer-encoding': 'gzip, chunked' } }, /transfer coding/],
    ['chunked twice', { headers: { 'transfer-encoding': 'chunked, chunked' } }, /transfer coding/],
  ]
  for (const [name, said, detail] of rows)
    t.match(
      answerFault({ ...fine, ...said }),
      { code: 'upstream_failed', token: 'http_protocol_error', fields: { detail, blame: undefined } },
      name,
    )
  t.end()
})

t.test('a 101 goes on only where it is the one that was asked for', (t) => {
  const answer = { ...fine, statusCode: 101, statusMessage: 'Switching', headers: { upgrade: ' WebSocket' } }
  t.equal(switchFault(answer, 'websocket'), null)
  t.match(switchFault(answer, null), { token: 'http_protocol_error' }, 'nobody asked')
  t.match(switchFault({ ...answer, headers: { upgrade: 'h2c' } }, 'websocket'), GatewayError, 'another one')
  t.match(switchFault({ ...answer, headers: {} }, 'websocket'), GatewayError, 'none')
  t.match(switchFault({ ...answer, statusMessage: 'a\x01' }, 'websocket'), GatewayError, 'its status line')
  t.end()
})

t.test('more header lines than anybody sends', (t) => {
  const fault = answerFault({ ...fine, rawHeaders: lines(501) })
  t.match(fault, { code: 'upstream_failed', token: 'http_response_header_section_size' })
  t.end()
})

t.test('interim answers are a few', (t) => {
  const outgoing = Object.assign(new EventEmitter(), { destroyed: [] as unknown[] })
  const destroy = (error: unknown) => void outgoing.destroyed.push(error)
  limitInterim(Object.assign(outgoing, { destroy }) as never)
  for (let seen = 0; seen < 10; seen++) outgoing.emit('information', {})
  t.same(outgoing.destroyed, [])
  outgoing.emit('information', {})
  t.match(outgoing.destroyed, [{ code: 'upstream_failed', token: 'http_protocol_error' }])
  t.end()
})

t.test('an exchange that ended without an answer', (t) => {
  const failure = (code: string) => Object.assign(new Error('it ended'), { code })
  const cause = failure('ECONNRESET')
  t.match(brokenAnswer(cause), {
    code: 'upstream_failed',
    token: 'connection_terminated',
    status: 502,
    cause,
  })
  t.match(brokenAnswer(failure('HPE_INVALID_CONSTANT')), { token: 'http_protocol_error', status: 502 })
  t.match(brokenAnswer(failure('HPE_HEADER_OVERFLOW')), { token: 'http_response_header_section_size' })
  const told = new GatewayError('upstream_timeout', { detail: 'Too quiet.' })
  t.equal(brokenAnswer(told), told)
  t.end()
})
