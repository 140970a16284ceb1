import fc from 'fast-check'
import t from 'tap'
import {
  errorTable,
  GatewayError,
  headReasonStatus,
  type ErrorCode,
  type HeadReason,
} from '../../src/errors.ts'
import { errorBytes, errorReply, establishedReply, optionsReply } from '../../src/gateway/reply.ts'

const open = { keepAlive: false }
const codes = Object.keys(errorTable) as ErrorCode[]

type Problem = { readonly [key: string]: unknown }
type Message = { readonly startLine: string; readonly headers: Map<string, string>; readonly body: string }

/** As a strict client reads it. Every header line must be whole, and none may come twice. */
function parse(bytes: Buffer | string): Message {
  const text = bytes.toString()
  const end = text.indexOf('\r\n\r\n')
  const [startLine = '', ...lines] = text.slice(0, end).split('\r\n')
  const headers = new Map<string, string>()
  for (const line of lines) {
    const [, name, value] = /^([A-Za-z-]+): ([\x20-\x7e]*)$/.exec(line) ?? []
    if (name === undefined || headers.has(name)) throw new Error(`not a header: ${JSON.stringify(line)}`)
    headers.set(name, value!)
  }
  return { startLine, headers, body: text.slice(end + 4) }
}

/** RFC 8941 sections 3.1.2 and 4.2: a list of one token with parameters that are tokens, integers or strings. */
function parseProxyStatus(field: string | undefined): {
  name: string
  parameters: { [key: string]: string | number }
} {
  const [name = '', ...rest] = (field ?? '').split(';')
  if (!/^[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*$/.test(name)) throw new Error(`no token: ${name}`)
  const parameters: { [key: string]: string | number } = {}
  for (const parameter of rest) {
    const [, key, token, integer, string] =
      /^ *([a-z*][a-z0-9_.*-]*)=(?:([A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*)|(-?\d{1,15})|"([\x20-\x21\x23-\x5b\x5d-\x7e]*)")$/.exec(
        parameter,
      ) ?? []
    if (key === undefined || key in parameters) throw new Error(`no parameter: ${parameter}`)
    parameters[key] = integer === undefined ? (token ?? string)! : Number(integer)
  }
  return { name, parameters }
}

t.test('the answer to a CONNECT that stands', async (t) => {
  t.equal(
    establishedReply({ upstreamId: 'up-1', egressIp: '203.0.113.7' }).toString(),
    'HTTP/1.1 200 Connection established\r\nX-Upstream-Id: up-1\r\nX-Egress-Ip: 203.0.113.7\r\n\r\n',
  )
  t.equal(
    establishedReply({ upstreamId: 'up-1', egressIp: null }).toString(),
    'HTTP/1.1 200 Connection established\r\nX-Upstream-Id: up-1\r\n\r\n',
    'an egress IP that nobody knows is left out',
  )
})

t.test('every code as a whole message', async (t) => {
  for (const code of codes) {
    const { status, token, title, retryAfterS } = errorTable[code]
    const { startLine, headers, body } = parse(
      errorBytes(new GatewayError(code, { detail: 'What to do.' }), open),
    )
    t.match(startLine, new RegExp(`^HTTP/1\\.1 ${status} [A-Z][A-Za-z -]+$`), code)
    t.equal(headers.get('Content-Type'), 'application/problem+json', code)
    t.equal(headers.get('Content-Length'), String(Buffer.byteLength(body)), code)
    t.equal(headers.get('Connection'), 'close', code)
    t.same(
      parseProxyStatus(headers.get('Proxy-Status')),
      { name: 'lanekeeper', parameters: { error: token, details: code } },
      code,
    )
    t.equal(headers.get('Retry-After'), retryAfterS === null ? undefined : String(retryAfterS), code)
    t.equal(headers.get('Proxy-Authenticate'), status === 407 ? 'Basic realm="lanekeeper"' : undefined, code)
    t.equal(headers.has('Allow'), false, code)
    const problem = { type: `urn:lanekeeper:error:${code}`, title, status, code, detail: 'What to do.' }
    t.strictSame(JSON.parse(body), problem, code)
  }
})

t.test('when to try again, as the table in design 11 says', async (t) => {
  const waits = codes.filter((code) => errorTable[code].retryAfterS !== null)
  t.same(waits.sort(), ['no_upstream', 'overloaded', 'rate_limited', 'store_unavailable'])
})

t.test('head errors that HTTP has a status for', async (t) => {
  const rows: [reason: HeadReason, startLine: string][] = [
    ['method_not_allowed', 'HTTP/1.1 405 Method Not Allowed'],
    ['head_too_slow', 'HTTP/1.1 408 Request Timeout'],
    ['target_too_long', 'HTTP/1.1 414 URI Too Long'],
    ['expectation_unknown', 'HTTP/1.1 417 Expectation Failed'],
    ['head_too_large', 'HTTP/1.1 431 Request Header Fields Too Large'],
    ['not_implemented', 'HTTP/1.1 501 Not Implemented'],
    ['version_unknown', 'HTTP/1.1 505 HTTP Version Not Supported'],
  ]
  t.same(rows.map(([reason]) => reason).sort(), Object.keys(headReasonStatus).sort())
  for (const [reason, expected] of rows) {
    const message = parse(errorBytes(new GatewayError('bad_request', { detail: 'x', reason }), open))
    t.equal(message.startLine, expected, reason)
    t.match(JSON.parse(message.body), { status: headReasonStatus[reason], code: 'bad_request' }, reason)
    t.equal(message.headers.has('Allow'), reason === 'method_not_allowed', `${reason} and Allow`)
  }
})

t.test('what the fields of an error add', async (t) => {
  const reply = (fields: ConstructorParameters<typeof GatewayError>[1]) =>
    parse(errorBytes(new GatewayError('upstream_failed', fields), { keepAlive: true, requestId: 'gw-1' }))
  const { headers, body } = reply({
    detail: 'It broke.',
    token: 'proxy_configuration_error',
    receivedStatus: 407,
    upstream: 'up-1',
    job: '42',
    lane: 'payment:*',
    blame: 'reply',
  })
  t.same(parseProxyStatus(headers.get('Proxy-Status')).parameters, {
    error: 'proxy_configuration_error',
    'received-status': 407,
    details: 'upstream_failed',
  })
  t.equal(headers.get('Connection'), 'keep-alive')
  const problem = JSON.parse(body) as Problem
  t.match(problem, { upstream: 'up-1', job: '42', lane: 'payment:*', requestId: 'gw-1' })
  t.notOk('blame' in problem, 'whose fault it was is our own affair')
  const odd = reply({ detail: 'x', token: 'not a token\r\nX: y' })
  t.equal(parseProxyStatus(odd.headers.get('Proxy-Status')).parameters.error, 'connection_terminated')
  const dns = reply({ detail: 'x', rcode: 'NXDOMAIN' })
  t.equal(parseProxyStatus(dns.headers.get('Proxy-Status')).parameters.rcode, 'NXDOMAIN')
})

t.test('an answer to HEAD has no body, and the length of what GET would get', async (t) => {
  const error = new GatewayError('no_upstream', { detail: 'x' })
  const [get, head] = [errorReply(error, open), errorReply(error, { ...open, withBody: false })]
  t.equal(head.body, '')
  t.same(head.headers, get.headers)
  t.same(parse(errorBytes(error, { ...open, withBody: false })).body, '')
})

t.test('the reply in parts is the message in bytes', async (t) => {
  const error = new GatewayError('overloaded', { detail: 'x' })
  const { status, headers, body } = errorReply(error, open)
  const message = parse(errorBytes(error, open))
  t.equal(status, 503)
  t.same([...message.headers], headers)
  t.equal(message.body, body)
})

t.test('no text can begin a header, or change the length of the body', async (t) => {
  const text = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.constant('a\r\nX-Evil: y\r\n\r\n'))
  const names = ['Content-Type', 'Content-Length', 'Proxy-Status', 'Connection']
  fc.assert(
    fc.property(text, text, text, (detail, id, token) => {
      const error = new GatewayError('upstream_failed', { detail, upstream: id, job: id, lane: id, token })
      const { headers, body } = parse(errorBytes(error, { keepAlive: false, requestId: id }))
      t.same([...headers.keys()], names, { diagnostic: false })
      parseProxyStatus(headers.get('Proxy-Status'))
      const length = Number(headers.get('Content-Length'))
      return length === Buffer.byteLength(body) && (JSON.parse(body) as Problem).code === 'upstream_failed'
    }),
  )
  fc.assert(
    fc.property(text, text, (upstreamId, egressIp) => {
      const { startLine, headers, body } = parse(establishedReply({ upstreamId, egressIp }))
      t.same([...headers.keys()], ['X-Upstream-Id', 'X-Egress-Ip'], { diagnostic: false })
      return startLine === 'HTTP/1.1 200 Connection established' && body === ''
    }),
  )
})

t.test('what OPTIONS is told of the gateway itself', (t) => {
  const { status, headers } = optionsReply()
  t.equal(status, 200)
  const { name, parameters } = parseProxyStatus(new Map(headers).get('Proxy-Status'))
  t.strictSame({ name, ...parameters }, { name: 'lanekeeper', error: 'proxy_internal_response' })
  t.notMatch(new Map(headers).get('Allow'), /TRACE/)
  t.equal(new Map(headers).get('Content-Length'), '0')
  t.end()
})
