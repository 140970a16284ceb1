// Any request at all, with another one behind it, in one packet: what the target sees of it are the requests that a strict
// reading of the client's bytes finds, in order, and nothing else; or we refuse. So no two readers can be played
// against each other (hostile inputs, sections 2.4 and 6).

import type { Socket } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import { startGateway } from '../fixtures/gateway.ts'
import { readAnswer } from '../fixtures/raw-answer.ts'
import { connectThrough, openSocket } from '../fixtures/raw-client.ts'
import { startScriptedUpstream } from '../fixtures/scripted-upstream.ts'
import { makeStrictOrigin, type OriginRequest } from '../fixtures/strict-origin.ts'
import { readStream, type ClientRequest } from '../fixtures/strict-stream.ts'
import { until } from '../fixtures/until.ts'

/** Several at once, so that waiting costs nothing. */
const atOnce = 30
const rounds = 100

// Each client has a port of its own, by which its target is told from the others'.
const origins = new Map<string, ReturnType<typeof makeStrictOrigin>>()
const upstream = await startScriptedUpstream((connection) => {
  const { authority } = connection
  if (!origins.has(authority)) origins.set(authority, makeStrictOrigin(describe))
  return origins.get(authority)!.script(connection)
})
t.teardown(upstream.stop)
const { gatewayPort, gateway, stop } = await startGateway({
  upstreams: [upstream],
  settings: { tunnelsPerUpstream: 1000 },
})
t.teardown(() => stop())

/** The answer says what was asked, so that the client can tell whose it is. */
function describe({ method, path, body }: Pick<OriginRequest, 'method' | 'path' | 'body'>): string {
  const said = summary({ method, path, body: body.toString('latin1') })
  return `HTTP/1.1 200 OK\r\nContent-Length: ${said.length}\r\n\r\n${method === 'HEAD' ? '' : said}`
}

function summary({ method, path, body }: ClientRequest): string {
  return JSON.stringify([method, path, body])
}

const inner = 'GET http://127.0.0.1:10000/inner HTTP/1.1\r\nHost: a\r\nX-Job-Id: job-1\r\n\r\n'
const last =
  'GET http://127.0.0.1:10000/last HTTP/1.1\r\nHost: a\r\nX-Job-Id: job-1\r\nConnection: close\r\n\r\n'

const size = (length: number) => length.toString(16)

/** What a body may be, however it is framed. */
const content = fc.constantFrom(
  '',
  'abc',
  'G',
  inner,
  '0\r\n\r\n',
  `0\r\n\r\n${inner}`,
  `\r\n${inner}`,
  '\r\n\r\n',
)

/** Mostly as they should be, so that what is odd often is the only thing. */
function mostly<T>(good: fc.Arbitrary<T>, odd: fc.Arbitrary<T>): fc.Arbitrary<T> {
  return fc.oneof({ weight: 6, arbitrary: good }, { weight: 1, arbitrary: odd })
}

type Spelling = (length: number) => string

const chunkSize = mostly<Spelling>(
  fc.constantFrom<Spelling>(
    size,
    (length) => `000${size(length)}`,
    (length) => size(length).toUpperCase(),
    (length) => `${size(length)};a=b`,
    (length) => `${size(length)};a="b;c";d`,
  ),
  fc.constantFrom<Spelling>(
    (length) => `${size(length)};a="\r\n"`,
    (length) => `${size(length)};a\n`,
    (length) => `${size(length)} ;a`,
    (length) => `${size(length)} `,
    (length) => ` ${size(length)}`,
    (length) => `0x${size(length)}`,
    (length) => `+${size(length)}`,
    (length) => `-${size(length)}`,
    (length) => size(length + 1),
    (length) => size(Math.max(0, length - 1)),
    (length) => `${size(length)}\n`,
    (length) => `1000000000000000${size(length)}`,
  ),
)
const chunkEnd = mostly(fc.constant('\r\n'), fc.constantFrom('\n', '', '\r', 'X\r\n'))
const chunk = fc
  .tuple(content, chunkSize, chunkEnd)
  .map(([bytes, spell, end]) => (bytes === '' ? '' : `${spell(bytes.length)}\r\n${bytes}${end}`))

const lastChunk = mostly(
  fc.constantFrom('0\r\n', '000\r\n', '0;a\r\n'),
  fc.constantFrom('0\n', '0', '00 \r\n', '-0\r\n', ''),
)
const trailers = mostly(
  fc.constantFrom('\r\n', 'X-T: a\r\n\r\n', 'Host: b\r\nX-Job-Id: job-2\r\n\r\n'),
  fc.constantFrom('Content-Length: 5\r\n\r\n', '\n', 'X : a\r\n\r\n', ' X: a\r\n\r\n', 'X: a\n\r\n'),
)
const chunked = fc
  .tuple(fc.array(chunk, { maxLength: 3 }), lastChunk, trailers)
  .map((parts) => parts.flat().join(''))

const coding = mostly(
  fc.constantFrom('Transfer-Encoding: chunked', 'transfer-encoding:CHUNKED', 'Transfer-Encoding: \tchunked '),
  fc.constantFrom(
    'Transfer-Encoding : chunked',
    'Transfer-Encoding: xchunked',
    'Transfer-Encoding: chunked,',
    'Transfer-Encoding: ,chunked',
    'Transfer-Encoding: chunked, identity',
    'Transfer-Encoding: identity',
    'Transfer-Encoding: gzip, chunked',
    'Transfer-Encoding: chunked;a=b',
    'Transfer-Encoding: "chunked"',
    'Transfer-Encoding: \x0bchunked',
    'Transfer-Encoding: chunked\x0c',
    'Transfer-Encoding: chunked\0',
    'Transfer-Encoding:\r\n chunked',
    'Transfer-Encoding:\n chunked',
    'X-A: b\nTransfer-Encoding: chunked',
    'X-A: b\rTransfer-Encoding: chunked',
    'Transfer_Encoding: chunked',
    'Transfer-Encoding',
    'Transfer-Encoding:',
    ' Transfer-Encoding: chunked',
    '\xa0Transfer-Encoding: chunked',
  ),
)
const length = mostly<Spelling>(
  fc.constantFrom<Spelling>(
    (length) => `Content-Length: ${length}`,
    (length) => `content-length:\t${length} `,
    (length) => `Content-Length: 0${length}`,
  ),
  fc.constantFrom<Spelling>(
    (length) => `Content-Length: ${Math.max(0, length - 1)}`,
    (length) => `Content-Length: ${length + 1}`,
    () => 'Content-Length: 0',
    (length) => `Content-Length: +${length}`,
    (length) => `Content-Length: -${length}`,
    (length) => `Content-Length: 0x${size(length)}`,
    (length) => `Content-Length: ${length}, ${length}`,
    (length) => `Content-Length: ${length} ${length}`,
    (length) => `Content-Length : ${length}`,
    (length) => `Content-Length:\r\n ${length}`,
    (length) => `X-A: b\nContent-Length: ${length}`,
    (length) => `X-A: b\rContent-Length: ${length}`,
    (length) => `Content-Length: ${length}\0`,
    (length) => `Content_Length: ${length}`,
    () => 'Content-Length:',
    () => 'Content-Length: 99999999999999999999',
  ),
)
const other = mostly(
  fc.constantFrom(
    'X-A: b',
    'X-A:',
    'Connection: Content-Length',
    'Connection: Transfer-Encoding, Host',
    'Connection: keep-alive',
    'Proxy-Connection: keep-alive',
    'TE: trailers',
    'Trailer: X-T',
    'Max-Forwards: 1',
    'Expect: 100-continue',
    '__proto__: b',
  ),
  fc.constantFrom(
    'Host: b',
    'Connection: close',
    'Connection: Upgrade\r\nUpgrade: h2c',
    'X-A: b\r\n',
    'X-A b',
    ': b',
    'X A: b',
  ),
)

/** One byte that is another one, gone, or too many. */
const slip: fc.Arbitrary<{ at: number; removes: number; adds: string } | null> = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
  removes: fc.nat({ max: 2 }),
  adds: fc.constantFrom('', '\r', '\n', '\r\n', '\0', '\t', ' ', ':', ',', '0', '\x80'),
})

type Framed = { readonly lines: readonly string[]; readonly body: string }

const framed: fc.Arbitrary<Framed> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ lines: coding.map((line) => [line]), body: chunked }) },
  {
    weight: 4,
    arbitrary: fc.tuple(length, content).map(([spell, body]) => ({ lines: [spell(body.length)], body })),
  },
  { weight: 1, arbitrary: content.map((body) => ({ lines: [], body })) },
  // Two ways at once, which some readers weigh against each other.
  {
    weight: 2,
    arbitrary: fc
      .record({
        spell: length,
        line: fc.oneof(
          coding,
          length.map((spell) => spell(3)),
        ),
        body: fc.oneof(chunked, content),
      })
      .chain(({ spell, line, body }) =>
        fc.shuffledSubarray([spell(body.length), line], { minLength: 2 }).map((lines) => ({ lines, body })),
      ),
  },
)

const hostileRequest = fc
  .record({
    method: fc.constantFrom('GET', 'POST', 'PUT', 'HEAD', 'DELETE', 'OPTIONS', 'QUERY'),
    version: mostly(fc.constant('1.1'), fc.constant('1.0')),
    framed,
    others: fc.array(other, { maxLength: 2 }),
    before: mostly(fc.constant(''), fc.constantFrom('\r\n', '\n', ' ')),
    slip: mostly(fc.constant(null), slip),
  })
  .map(({ method, version, framed: { lines, body }, others, before, slip }) => {
    const head = `${method} http://127.0.0.1:10000/first HTTP/${version}\r\nHost: a\r\nX-Job-Id: job-1\r\n`
    const headers = [...lines, ...others].map((line) => `${line}\r\n`).join('')
    const bytes = `${before}${head}${headers}\r\n${body}`
    if (slip === null) return bytes
    const at = Math.floor(slip.at * bytes.length)
    return bytes.slice(0, at) + slip.adds + bytes.slice(at + slip.removes)
  })

let clients = 0
const outcomes = new Map<string, number>()

/** @returns what is wrong; null where nothing is */
async function play(first: string): Promise<string | null> {
  clients += 1
  const authority = `127.0.0.1:${10_000 + (clients % 50_000)}`
  const bytes = `${first}${last}`.replaceAll('127.0.0.1:10000/', `${authority}/`)
  const strict = readStream(bytes)
  const socket = await openSocket({ gatewayPort })
  try {
    socket.write(Buffer.from(bytes, 'latin1'))
    const answers = await answersOn(socket, strict.requests)
    if (answers === null) return 'a client waited in vain'
    if (strict.rest !== 'none') await passBy()
    const origin = origins.get(authority)
    if (origin && origin.faults.length > 0) return `the target read ${origin.faults[0]}`
    const seen = origin?.requests ?? []
    const wanted = strict.requests.slice(0, seen.length).map(summary)
    const got = seen.map(({ method, path, body }) => summary({ method, path, body: body.toString('latin1') }))
    if (JSON.stringify(got) !== JSON.stringify(wanted))
      return `the target read ${got.join()} instead of ${wanted.join()}`
    if (seen.some(leaks)) return 'a header of the hop or the job went on'
    for (const [index, answer] of answers.entries())
      if (answer !== got[index]) return `${answer} was answered to ${got[index]}`
    const outcome = `${strict.rest}: ${seen.length} of ${strict.requests.length}`
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
    return null
  } finally {
    socket.destroy()
    origins.delete(authority)
  }
}

/** The 200s, as many as there may be, until the connection ends; null where neither comes. */
async function answersOn(socket: Socket, requests: readonly ClientRequest[]): Promise<string[] | null> {
  const answers: string[] = []
  const tooLate = new Promise<'late'>((resolve) => setTimeout(resolve, 10_000, 'late').unref())
  for (const request of requests) {
    const answer = await Promise.race([readAnswer(socket, request.method).catch(() => null), tooLate])
    if (answer === 'late') return null
    if (answer?.status !== 200) break
    answers.push(request.method === 'HEAD' ? summary(request) : answer.body.toString('latin1'))
  }
  return answers
}

/** What the gateway has begun with what it has is at its target by then. */
async function passBy(): Promise<void> {
  const { socket } = await connectThrough({ gatewayPort, target: '127.0.0.1:443', userinfo: 'job-1:x' })
  socket.destroy()
}

function leaks({ headers }: OriginRequest): boolean {
  return headers.some(([name]) => /^(x-job-|proxy-|te$|trailer$|upgrade$|keep-alive$)/i.test(name))
}

t.test('a client and a target never read different requests', async (t) => {
  const property = fc.asyncProperty(
    fc.array(hostileRequest, { minLength: atOnce, maxLength: atOnce }),
    async (inputs) => {
      const wrong = await Promise.all(inputs.map(play))
      for (const [index, what] of wrong.entries())
        if (what !== null) throw new Error(`${what}, where the client sent ${JSON.stringify(inputs[index])}`)
    },
  )
  const { errorInstance } = await fc.check(property, { numRuns: rounds, seed: 5, endOnFailure: true })
  t.equal(errorInstance, null)
  for (const [outcome, count] of [...outcomes].sort()) t.comment(`${outcome}: ${count}`)
  t.ok((outcomes.get('none: 2 of 2') ?? 0) > 500, 'many were served whole')
  t.ok((outcomes.get('malformed: 0 of 0') ?? 0) > 200, 'many were refused')
  await until('nothing is left', () => gateway.tunnels.count === 0)
})
