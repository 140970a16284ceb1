import fc from 'fast-check'
import t from 'tap'
import { makeConnectReplyReader, type ReplyProgress } from '../../src/gateway/connect-reply.ts'

const latin1 = (text: string) => Buffer.from(text, 'latin1')

type Outcome = Exclude<ReplyProgress, { kind: 'more' }> | { kind: 'more' }

/** As dial does it: pushed until it is no longer `more`; what was not pushed belongs to the rest. */
function readIn(chunks: readonly Buffer[]): Outcome {
  const reader = makeConnectReplyReader()
  for (const [index, chunk] of chunks.entries()) {
    const progress = reader.push(chunk)
    if (progress.kind === 'more') continue
    if (progress.kind !== 'established') return progress
    return { ...progress, rest: Buffer.concat([progress.rest, ...chunks.slice(index + 1)]) }
  }
  return { kind: 'more' }
}

const readWhole = (text: string) => readIn([latin1(text)])
const readDripped = (text: string) => readIn([...latin1(text)].map((byte) => Buffer.from([byte])))

const ok = 'HTTP/1.1 200 OK\r\n\r\n'
const lines = (count: number) => 'X-Line: y\r\n'.repeat(count)
/** A head of exactly so many bytes, its end included. */
const headOf = (bytes: number) => {
  const frame = 'HTTP/1.1 200 OK\r\nX: \r\n\r\n'
  return frame.replace('X: ', `X: ${'y'.repeat(bytes - frame.length)}`)
}

t.test('tunnels that stand', async (t) => {
  const rows: [name: string, text: string, status: number, rest: string][] = [
    ['as Tinyproxy says it', 'HTTP/1.0 200 Connection established\r\nProxy-agent: t/1\r\n\r\n', 200, ''],
    ['no reason', 'HTTP/1.1 200\r\n\r\n', 200, ''],
    ['an empty reason', 'HTTP/1.1 200 \r\n\r\n', 200, ''],
    ['a reason with Latin-1 and a tab', 'HTTP/1.1 200 pr\u00eat\t!\r\n\r\n', 200, ''],
    ['201', 'HTTP/1.1 201 Created\r\n\r\n', 201, ''],
    ['204', 'HTTP/1.1 204 No Content\r\n\r\n', 204, ''],
    ['299', 'HTTP/1.1 299 Odd\r\n\r\n', 299, ''],
    ['a banner behind the head', `${ok}SSH-2.0-x\r\n`, 200, 'SSH-2.0-x\r\n'],
    ['bytes of every value behind it', `${ok}\x00\r\n\r\n\xff`, 200, '\x00\r\n\r\n\xff'],
    ['what looks like another answer', `${ok}HTTP/1.1 500 x\r\n\r\n`, 200, 'HTTP/1.1 500 x\r\n\r\n'],
    ['a length is no body', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello', 200, 'hello'],
    ['chunked is no body', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n', 200, '5\r\n'],
    [
      'both are none either',
      'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nx',
      200,
      'x',
    ],
    ['a header without a value', 'HTTP/1.1 200 OK\r\nA:\r\nB: \r\n\r\n', 200, ''],
    ['a header of odd characters', "HTTP/1.1 200 OK\r\n!#$%&'*+-.^_`|~: \xff\t\r\n\r\n", 200, ''],
    ['__proto__ as a header', 'HTTP/1.1 200 OK\r\n__proto__: x\r\n\r\n', 200, ''],
    ['100 first', `HTTP/1.1 100 Continue\r\n\r\n${ok}x`, 200, 'x'],
    ['103 with headers first', `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${ok}`, 200, ''],
    ['ten interim answers', `${'HTTP/1.1 102 P\r\n\r\n'.repeat(10)}${ok}x`, 200, 'x'],
    ['an interim answer in the other version', `HTTP/1.0 199 x\r\n\r\n${ok}`, 200, ''],
    ['100 header lines', `HTTP/1.1 200 OK\r\n${lines(100)}\r\n`, 200, ''],
    ['a head of 16 KiB', headOf(16_384), 200, ''],
    ['a head of 16 KiB and as much behind it', headOf(16_384) + 'z'.repeat(16_384), 200, 'z'.repeat(16_384)],
  ]
  for (const [name, text, status, rest] of rows) {
    t.same(readWhole(text), { kind: 'established', status, rest: latin1(rest) }, name)
    t.same(readDripped(text), { kind: 'established', status, rest: latin1(rest) }, `${name}, byte by byte`)
  }
})

t.test('refusals', async (t) => {
  const rows: [name: string, text: string, status: number][] = [
    ['as Tinyproxy says it', 'HTTP/1.0 500 Unable to connect\r\nServer: t\r\n\r\n<html>', 500],
    ['300', 'HTTP/1.1 300 x\r\n\r\n', 300],
    ['a redirect', 'HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n', 302],
    ['400', 'HTTP/1.1 400 Bad\r\n\r\n', 400],
    ['401', 'HTTP/1.1 401 Unauthorized\r\n\r\n', 401],
    ['403', 'HTTP/1.1 403 Filtered\r\n\r\n', 403],
    ['407', 'HTTP/1.1 407 Auth\r\n\r\n', 407],
    ['599', 'HTTP/1.1 599 x\r\n\r\n', 599],
    ['behind an interim answer', 'HTTP/1.1 100 C\r\n\r\nHTTP/1.1 503 x\r\n\r\n', 503],
  ]
  for (const [name, text, status] of rows) {
    t.same(readWhole(text), { kind: 'refused', status }, name)
    t.same(readDripped(text), { kind: 'refused', status }, `${name}, byte by byte`)
  }
})

/** `bytes`: how many of them it takes to know; the last one is the one that cannot be right. */
type Broken = [name: string, bytes: string, size?: 'size']

t.test('answers that are none, at the first byte that cannot be right', async (t) => {
  const head = 'HTTP/1.1 200 OK\r\n'
  const rows: Broken[] = [
    ['an SSH banner', 'S'],
    ['HTML', '<'],
    ['a TLS alert', '\x15'],
    ['ICY', 'I'],
    ['lower case', 'h'],
    ['a line end in front', '\r'],
    ['a space in front', ' '],
    ['HTTP without a slash', 'HTTP '],
    ['HTTPS', 'HTTPS'],
    ['HTTP/2.0', 'HTTP/2'],
    ['HTTP/1', 'HTTP/1 '],
    ['HTTP/1.2', 'HTTP/1.2'],
    ['HTTP/1.11', 'HTTP/1.11'],
    ['a tab behind the version', 'HTTP/1.1\t'],
    ['two spaces behind the version', 'HTTP/1.1  '],
    ['no status', 'HTTP/1.1\r'],
    ['status 000', 'HTTP/1.1 0'],
    ['status 099', 'HTTP/1.0 0'],
    ['status 600', 'HTTP/1.1 6'],
    ['status 999', 'HTTP/1.1 9'],
    ['status 20', 'HTTP/1.1 20 '],
    ['status 2', 'HTTP/1.1 2\r'],
    ['status 2000', 'HTTP/1.1 2000'],
    ['status 2xx', 'HTTP/1.1 2x'],
    ['status -20', 'HTTP/1.1 -'],
    ['a tab behind the status', 'HTTP/1.1 200\t'],
    ['101', 'HTTP/1.1 101'],
    ['101 behind an interim answer', 'HTTP/1.1 100 C\r\n\r\nHTTP/1.1 101'],
    ['the eleventh interim answer', `${'HTTP/1.1 102 P\r\n\r\n'.repeat(10)}HTTP/1.1 100`],
    ['a body behind an interim answer', 'HTTP/1.1 100 C\r\n\r\nx'],
    ['LF alone behind the status', 'HTTP/1.1 200\n'],
    ['LF alone behind the reason', 'HTTP/1.1 200 OK\n'],
    ['LF alone behind a header', `${head}A: b\n`],
    ['LF alone as the empty line', `${head}\n`],
    ['LF alone in a header name', `${head}A\n`],
    ['CR alone in the reason', 'HTTP/1.1 200 O\rK'],
    ['CR alone in a value', `${head}A: b\rc`],
    ['CR alone as the empty line', `${head}\rx`],
    ['two CR', `${head}A: b\r\r`],
    ['NUL in the reason', 'HTTP/1.1 200 O\x00'],
    ['NUL in a name', `${head}A\x00`],
    ['NUL in a value', `${head}A: b\x00`],
    ['DEL in a value', `${head}A: b\x7f`],
    ['a vertical tab in a value', `${head}A: \x0b`],
    ['a space before the colon', `${head}A `],
    ['a tab before the colon', `${head}A\t`],
    ['a name beyond ASCII', `${head}\u00fc`],
    ['an empty name', `${head}:`],
    ['a line without a colon', `${head}garbage\r`],
    ['a folded line', `${head}A: b\r\n `],
    ['a line folded by a tab', `${head}A: b\r\n\t`],
    ['a first header that is indented', `${head} `],
    ['the same in a refusal', 'HTTP/1.1 500 x\r\nA '],
    ['the 101st header line', `${head}${lines(100)}Y`, 'size'],
    ['lines of interim answers count', `HTTP/1.1 100 C\r\n${lines(60)}\r\n${head}${lines(40)}Y`, 'size'],
    ['one byte over 16 KiB', headOf(16_385), 'size'],
    ['a head that never ends', `${head}A: ${'b'.repeat(16_384 - 20 + 1)}`, 'size'],
    ['a reason that never ends', `HTTP/1.1 200 ${'b'.repeat(16_384 - 13 + 1)}`, 'size'],
    ['a refusal whose head never ends', `HTTP/1.1 500 ${'b'.repeat(16_384 - 13 + 1)}`, 'size'],
    [
      'bytes of interim answers count',
      `HTTP/1.1 100 ${'b'.repeat(16_384 - 20)}\r\n\r\nHTT`.concat('P'),
      'size',
    ],
  ]
  for (const [name, text, size] of rows) {
    const token = size ? 'http_response_header_section_size' : 'http_protocol_error'
    t.match(readWhole(text), { kind: 'malformed', token, detail: /^[\x20-\x7e]{10,}$/ }, name)
    t.same(readWhole(text.slice(0, -1)), { kind: 'more' }, `${name}: not known one byte earlier`)
    t.same(readDripped(text), readWhole(text), `${name}, byte by byte`)
    t.same(readWhole(`${text}\r\n\r\n${ok}`), readWhole(text), `${name}, whatever follows`)
  }
})

t.test('what is wrong with it is said in our words', async (t) => {
  const rows: [text: string, detail: RegExp][] = [
    ['SSH-2.0-secret\r\n', /does not begin with HTTP/],
    ['HTTP/1.2 200\r\n', /version/],
    ['HTTP/1.1 600 x\r\n', /100 to 599/],
    ['HTTP/1.1 101 x\r\n', /101/],
    ['HTTP/1.1 200 OK\nA: b\n\n', /LF stands without its CR/],
    ['HTTP/1.1 200 OK\r\nA: b\r\n c\r\n', /folds/],
    ['HTTP/1.1 200 OK\r\nA : b\r\n', /0x20 stands in a header name/],
    ['HTTP/1.1 200 OK\r\nsecret\r\n', /no colon/],
    ['HTTP/1.1 200 OK\r\nA: secret\x00', /0x00 stands in a header value/],
    [`HTTP/1.1 200 OK\r\n${lines(101)}`, /more than 100 lines/],
    [headOf(16_385), /longer than 16384 bytes/],
  ]
  for (const [text, expected] of rows) {
    const { detail } = readWhole(text) as { detail: string }
    t.match(detail, expected)
    t.notMatch(detail, 'secret')
  }
})

t.test('an answer that is not complete asks for more', async (t) => {
  for (let length = 0; length < ok.length; length++) {
    t.same(readWhole(ok.slice(0, length)), { kind: 'more' }, JSON.stringify(ok.slice(0, length)))
  }
  t.same(readIn([]), { kind: 'more' })
  t.same(
    readIn([Buffer.alloc(0), latin1(ok), Buffer.alloc(0)]).kind,
    'established',
    'empty pieces do no harm',
  )
})

t.test('a reader that has ended stays so', async (t) => {
  const rows: [text: string, expected: ReplyProgress['kind']][] = [
    [ok, 'established'],
    ['HTTP/1.1 500 x\r\n\r\n', 'refused'],
    ['x', 'malformed'],
  ]
  for (const [text, kind] of rows) {
    const reader = makeConnectReplyReader()
    t.equal(reader.push(latin1(text)).kind, kind)
    t.match(reader.push(latin1('more')), kind === 'established' ? { kind, rest: latin1('more') } : { kind })
  }
})

t.test('limits are settings', async (t) => {
  const reader = () => makeConnectReplyReader({ headBytes: 40, headLines: 1, interims: 0 })
  t.equal(reader().push(latin1('HTTP/1.1 200 OK\r\nA: b\r\n\r\n')).kind, 'established')
  t.equal(reader().push(latin1('HTTP/1.1 200 OK\r\nA: b\r\nC')).kind, 'malformed')
  t.equal(reader().push(latin1(`HTTP/1.1 200 ${'x'.repeat(28)}`)).kind, 'malformed')
  t.equal(reader().push(latin1('HTTP/1.1 100')).kind, 'malformed')
})

/** Whole answers and broken ones, so that cuts fall everywhere. */
const piece = fc.constantFrom(
  'HTTP/1.1 200 OK',
  'HTTP/1.0 500 x',
  'HTTP/1.1 100 C',
  'HTTP/1.1 101',
  '\r\n',
  '\r\n\r\n',
  '\r',
  '\n',
  ' ',
  'A: b\r\n',
  'Content-Length: 5\r\n',
  'X',
  ':',
  '\x00',
  '\xff',
  'SSH-2.0',
  '<html>',
  lines(60),
  'z'.repeat(9000),
)
const stream = fc.oneof(
  fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join('')),
  fc.array(piece, { maxLength: 5 }).map((pieces) => `${ok}${pieces.join('')}`),
  fc.array(piece, { maxLength: 5 }).map((pieces) => `HTTP/1.1 100 C\r\n\r\n${ok}${pieces.join('')}`),
  fc.array(piece, { maxLength: 5 }).map((pieces) => `HTTP/1.0 500 Unable\r\n\r\n${pieces.join('')}`),
)

t.test('the same bytes give the same, however they are cut', async (t) => {
  const seen = new Set<string>()
  fc.assert(
    fc.property(stream, fc.array(fc.nat(20_000), { maxLength: 12 }), (text, cuts) => {
      const bytes = latin1(text)
      const at = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
      const chunks = at.slice(1).map((end, index) => bytes.subarray(at[index], end))
      const whole = readIn([bytes])
      seen.add(whole.kind)
      t.same(readIn(chunks), whole, { diagnostic: false })
      if (whole.kind === 'established')
        return bytes.subarray(bytes.length - whole.rest.length).equals(whole.rest)
      return true
    }),
    { numRuns: 2000 },
  )
  t.same([...seen].sort(), ['established', 'malformed', 'more', 'refused'], 'every outcome came up')
})

t.test('each byte is looked at once: small pieces do not make it quadratic', async (t) => {
  // 16 KiB byte by byte: 134 million looks if each push began anew, 16 thousand if not.
  const bytes = [...latin1(headOf(16_384))].map((byte) => Buffer.from([byte]))
  readIn(bytes)
  const startMs = performance.now()
  for (let round = 0; round < 10; round++) t.equal(readIn(bytes).kind, 'established')
  const ms = (performance.now() - startMs) / 10
  t.ok(ms < 100, `${ms.toFixed(2)} ms a head`)
})
