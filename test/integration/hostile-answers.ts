// Targets, or upstreams in their place, whose answers to a plain request are none. The tunnel stands by then, so what
// they say is HTTP for us to read. The client gets an answer of ours, or a reset; never theirs, and never silence.
// And the process lives: node:http's server throws at what its client lets through (answer-fault.ts).

import { once } from 'node:events'
import t, { type Test } from 'tap'
import { startGateway } from '../fixtures/gateway.ts'
import { readAnswer, readToEnd } from '../fixtures/raw-answer.ts'
import { openSocket } from '../fixtures/raw-client.ts'
import { established, startScriptedUpstream } from '../fixtures/scripted-upstream.ts'
import { until } from '../fixtures/until.ts'

const good = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi'
const words = 'X-Words: of-the-target\r\nContent-Length: 2\r\n\r\nhi'
const roads = { http: '', upgrade: 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n' }

const idleMs = 60_000
let timeMs = 0
let asked = 0

/** What the target says once it was asked, and whether it ends then. */
let says = { bytes: good, ends: true }
const upstream = await startScriptedUpstream(({ socket }) => {
  socket.write(established)
  socket.resume()
  socket.once('data', () => {
    asked += 1
    socket.write(Buffer.from(says.bytes, 'latin1'))
    if (says.ends) socket.end()
  })
  socket.once('end', () => socket.end())
})
t.teardown(upstream.stop)
const { gatewayPort, gateway, facts, stop } = await startGateway({
  upstreams: [upstream],
  settings: { tunnelIdleMs: idleMs },
  now: () => timeMs,
})
t.teardown(() => stop())

async function send(headers: string) {
  const socket = await openSocket({ gatewayPort })
  t.teardown(() => socket.destroy())
  socket.write(`GET http://192.0.2.1/ HTTP/1.1\r\nHost: 192.0.2.1\r\nX-Job-Id: job-1\r\n${headers}\r\n`)
  return socket
}

const ask = async (headers: string) => readAnswer(await send(headers), 'GET')

/** After each row: nobody is blamed, no tunnel is left, and the next one is served. */
async function goesOn(t: Test): Promise<void> {
  await until('no tunnel is left', () => gateway.tunnels.count === 0)
  t.same(facts.of('upstream_blamed'), [], 'the upstream did open the tunnel')
  says = { bytes: good, ends: true }
  const { status, body } = await ask('')
  t.equal(`${status} ${body.toString()}`, '200 hi')
}

function passIdleTime(): void {
  gateway.tunnels.sweep()
  timeMs += idleMs
  gateway.tunnels.sweep()
}

type Row = [name: string, bytes: string, token?: string]

const silent = (bytes: string) => ({ bytes, ends: false })

t.test('G9, E26: what is no answer is a 502 of ours', async (t) => {
  const rows: Row[] = [
    ['status 000', `HTTP/1.1 000 OK\r\n${words}`],
    ['status 099', `HTTP/1.1 099 OK\r\n${words}`],
    ['status 600', `HTTP/1.1 600 OK\r\n${words}`],
    ['status 1000', `HTTP/1.1 1000 OK\r\n${words}`],
    ['101 that nobody asked for', `HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: x\r\n${words}`],
    ['101 without a protocol', `HTTP/1.1 101 Go\r\n${words}`],
    ['HTTP/2.0', `HTTP/2.0 200 OK\r\n${words}`],
    ['ICY', `ICY 200 OK\r\n${words}`],
    ['an SSH banner', 'SSH-2.0-of-the-target\r\n'],
    ['HTML', '<html>of-the-target'],
    ['a control character in the reason', `HTTP/1.1 200 O\x01K\r\n${words}`],
    ['NUL in the reason', `HTTP/1.1 200 O\x00K\r\n${words}`],
    ['DEL in the reason', `HTTP/1.1 200 O\x7fK\r\n${words}`],
    ['CR alone in a value', `HTTP/1.1 200 OK\r\nX-A: a\rSet-Cookie: b\r\n${words}`],
    ['LF alone in a value', `HTTP/1.1 200 OK\r\nX-A: a\nSet-Cookie: b\r\n${words}`],
    ['NUL in a value', `HTTP/1.1 200 OK\r\nX-A: a\x00b\r\n${words}`],
    ['a folded line', `HTTP/1.1 200 OK\r\nX-A: a\r\n b\r\n${words}`],
    ['a space before the colon', `HTTP/1.1 200 OK\r\nX-A : a\r\n${words}`],
    ['a length and chunks', `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n${words}`],
    ['two lengths', `HTTP/1.1 200 OK\r\nContent-Length: 3\r\n${words}`],
    ['a length below nothing', 'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nhi'],
    ['a transfer coding that we would not pass on', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhi'],
    [
      'such a coding below chunks',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n',
    ],
    [
      'a head of 200 KB',
      `HTTP/1.1 200 OK\r\nX: ${'a'.repeat(200_000)}\r\n\r\n`,
      'http_response_header_section_size',
    ],
    ['nothing', '', 'connection_terminated'],
    ['half a head', 'HTTP/1.1 200 OK\r\nX-Wor', 'connection_terminated'],
    ['only interim answers', 'HTTP/1.1 100 Continue\r\n\r\n', 'connection_terminated'],
  ]
  for (const [name, bytes, token = 'http_protocol_error'] of rows) {
    for (const [road, headers] of Object.entries(roads)) {
      t.test(`${name} (${road})`, async (t) => {
        says = { bytes, ends: true }
        const answer = await ask(headers)
        t.match(answer, { status: 502, reason: 'Bad Gateway' })
        t.equal(answer.headers['proxy-status'], `lanekeeper; error=${token}; details="upstream_failed"`)
        t.notMatch(answer.head + answer.body.toString(), /of-the-target/)
        await goesOn(t)
      })
    }
  }
})

t.test('a target that switches and stays open is refused and left', async (t) => {
  for (const [road, headers] of Object.entries(roads)) {
    says = silent('HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nof-the-target')
    t.equal((await ask(headers)).status, 502, road)
    await goesOn(t)
  }
})

t.test('what broke in the middle of an answer is a reset, not the end of it', async (t) => {
  const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
  const rows: Row[] = [
    ['fewer bytes than announced', 'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhi'],
    ['a chunk without a size', `${chunked}zz\r\nhi\r\n0\r\n\r\n`],
    ['a chunk behind a good one', `${chunked}2\r\nhi\r\n-2\r\nhi\r\n0\r\n\r\n`],
    ['no last chunk', `${chunked}2\r\nhi\r\n`],
    ['a length among the trailers', `${chunked}2\r\nhi\r\n0\r\nContent-Length: 5\r\n\r\n`],
  ]
  for (const [name, bytes] of rows) {
    for (const [road, headers] of Object.entries(roads)) {
      t.test(`${name} (${road})`, async (t) => {
        says = { bytes, ends: true }
        await t.rejects(
          ask(headers).then(({ socket }) => readToEnd(socket)),
          /ECONNRESET/,
        )
        await goesOn(t)
      })
    }
  }
})

t.test('bytes behind a whole answer reach nobody, and the answer stays whole', async (t) => {
  const rows: Row[] = [
    ['of a 200', `${good}HTTP/1.1 200 OK\r\n${words}`],
    ['of a 204', `HTTP/1.1 204 OK\r\n\r\nof-the-target`],
    ['of a 304', `HTTP/1.1 304 OK\r\n\r\nof-the-target`],
  ]
  for (const [name, bytes] of rows) {
    for (const [road, headers] of Object.entries(roads)) {
      t.test(`${name} (${road})`, async (t) => {
        says = { bytes, ends: true }
        const answer = await ask(headers)
        t.match(answer, { status: Number(bytes.slice(9, 12)), reason: 'OK' })
        t.notMatch(answer.head + answer.body.toString() + answer.rest.toString(), /of-the-target/)
        if (road === 'http') {
          answer.socket.write('GET http://192.0.2.1/ HTTP/1.1\r\nHost: 192.0.2.1\r\nX-Job-Id: job-1\r\n\r\n')
          says = { bytes: good, ends: true }
          t.equal((await readAnswer(answer.socket, 'GET')).body.toString(), 'hi', 'nor the next request')
        }
        await goesOn(t)
      })
    }
  }
})

t.test('odd bytes that are allowed arrive as they were', async (t) => {
  for (const [road, headers] of Object.entries(roads)) {
    says = {
      bytes: `HTTP/1.1 200 pr\xeat\r\nX-A: \xfc\xff\r\n__proto__: x\r\nContent-Length: 2\r\n\r\nhi`,
      ends: true,
    }
    const answer = await ask(headers)
    t.match(answer, { status: 200, reason: 'pr\xeat', headers: { 'x-a': '\xfc\xff' } }, road)
    await goesOn(t)
  }
})

t.test('silence: 504 at the idle limit, and a reset once the answer has begun', async (t) => {
  says = silent('')
  const before = asked
  const answer = ask('')
  await until('the target was asked', () => asked > before)
  passIdleTime()
  t.equal((await answer).status, 504)
  t.match((await answer).headers['proxy-status'], 'error=connection_read_timeout; details="upstream_timeout"')
  await until('its tunnel has closed', () => gateway.tunnels.count === 0)
  t.match(facts.of('tunnel_closed').at(-1), { endedBy: 'idle', bytesDown: 0 })

  says = silent('HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhi')
  const socket = await send('')
  t.match(String(await once(socket, 'data')), 'HTTP/1.1 200 OK')
  passIdleTime()
  await t.rejects(readToEnd(socket), /ECONNRESET/)
  await goesOn(t)
})
