// Upstreams that misbehave before there is a tunnel (hostile inputs 2.6), as scripts of bytes, through the listener, for
// both roads. Blamed, and a fresh pin moves: no connect, closed, reset or malformed before a reply. Never blamed, and
// no pin moves: an answer that is one, and silence (design 4). What comes after the 200 is in hostile-tunnels.ts.

import t, { type Test } from 'tap'
import { startFullListener } from '../fixtures/full-listener.ts'
import { startGateway, type GatewayFixture } from '../fixtures/gateway.ts'
import { closedPort } from '../fixtures/listen.ts'
import { ask, expectFailure, roads, type Failure } from '../fixtures/misbehaving.ts'
import { readBytes } from '../fixtures/raw-answer.ts'
import {
  closing,
  established,
  establishing,
  resetting,
  saying,
  sayingSlowly,
  startReadingUpstream,
  stayingSilent,
  type Script,
} from '../fixtures/scripted-upstream.ts'
import { until } from '../fixtures/until.ts'

/** Both upstreams play it, so that nobody need know whose turn it is. */
let play: Script = establishing()
const upstreams = [await startPlaying(), await startPlaying()]
const patient = await startGateway({ upstreams })
t.teardown(() => patient.stop())
/** For silence only: on a busy machine it would be too early for an honest upstream. */
const hasty = await startGateway({ upstreams, settings: { replyTimeoutMs: 150 } })
t.teardown(() => hasty.stop())
let jobs = 0

async function startPlaying() {
  const upstream = await startReadingUpstream((connection) => play(connection))
  t.teardown(upstream.stop)
  return upstream
}

const dials = () => upstreams.reduce((sum, upstream) => sum + upstream.heads.length, 0)
const newJob = () => `job-${(jobs += 1)}`

async function served(t: Test, { gatewayPort }: GatewayFixture, job: string): Promise<string> {
  const { status, socket, headers } = await ask('connect', gatewayPort, job)
  socket.destroy()
  t.equal(status, 200, 'served')
  return headers['x-upstream-id']!
}

type Row = Failure & {
  readonly name: string
  readonly script: Script
  readonly blamed: boolean
  readonly gateway?: GatewayFixture
}

/** A head, and words in a body, that nobody but us may see; then it closes. */
function answering(status: string, headers = ''): Script {
  const body = '<html><h1>upstream-words</h1>'
  return ({ socket }) =>
    void socket.end(
      `HTTP/1.1 ${status}\r\nServer: tinyproxy/1.11.1\r\n${headers}Content-Length: ${body.length}\r\n\r\n${body}`,
    )
}

const refused = { status: 502, code: 'upstream_failed', blamed: false } as const
const broke = { status: 502, code: 'upstream_failed', token: 'connection_terminated', blamed: true } as const
const notHttp = { ...broke, token: 'http_protocol_error' } as const
const tooLong = { ...broke, token: 'http_response_header_section_size' } as const
const badTarget = {
  status: 502,
  code: 'target_failed',
  token: 'destination_unavailable',
  blamed: false,
} as const
/** The row's failure mark is design's probe: a silent upstream may be waiting for a silent target. */
const silent = {
  status: 504,
  code: 'upstream_timeout',
  token: 'connection_read_timeout',
  blamed: false,
} as const

const ourConfiguration = (status: number) =>
  ({ ...refused, token: 'proxy_configuration_error', received: status }) as const
const oddAnswer = (status: number) =>
  ({ ...refused, token: 'http_protocol_error', received: status }) as const
const basicChallenge = 'Basic realm="upstream-words"'
const interims = (count: number, status = '102 Processing') => `HTTP/1.1 ${status}\r\n\r\n`.repeat(count)
const raw = (name: string, bytes: string) => ({
  name,
  script: saying(Buffer.from(bytes, 'latin1'), closing),
  ...notHttp,
})

const rows: readonly Row[] = [
  { name: 'G2 accepts and says nothing', script: stayingSilent, ...silent, gateway: hasty },
  { name: 'G3 400', script: answering('400 Bad Request'), ...ourConfiguration(400) },
  {
    name: 'G3 401, as Tinyproxy says it to wrong credentials',
    script: answering('401 Unauthorized', `WWW-Authenticate: ${basicChallenge}\r\n`),
    ...ourConfiguration(401),
  },
  { name: 'G3 403', script: answering('403 Filtered'), ...ourConfiguration(403) },
  {
    name: 'G3 407',
    script: answering('407 Proxy Authentication Required', `Proxy-Authenticate: ${basicChallenge}\r\n`),
    ...ourConfiguration(407),
  },
  {
    name: 'G4 500 Unable to connect',
    script: answering('500 Unable to connect'),
    ...badTarget,
    received: 500,
  },
  // The row says http_protocol_error; by design 4 every 5xx is the target's.
  { name: 'G5 502', script: answering('502 Bad Gateway'), ...badTarget, received: 502 },
  { name: 'G5 503', script: answering('503 Busy', 'Retry-After: 9\r\n'), ...badTarget, received: 503 },
  {
    name: 'G5 302',
    script: answering('302 Found', 'Location: http://upstream-words/\r\n'),
    ...oddAnswer(302),
  },
  { name: 'G5 404', script: answering('404 Not Found'), ...oddAnswer(404) },
  { name: 'G5 429', script: answering('429 Too Many', 'Retry-After: 9\r\n'), ...oddAnswer(429) },
  raw('G8 fifty interim answers', `${interims(50)}${established}`),
  raw('G8 eleven of them', `${interims(11, '100 Continue')}${established}`),
  raw('G9 101', 'HTTP/1.1 101 Switching\r\nUpgrade: upstream-words\r\n\r\n'),
  raw('G9 000', 'HTTP/1.1 000 OK\r\n\r\n'),
  raw('G9 600', 'HTTP/1.1 600 OK\r\n\r\n'),
  raw('G9 1000', 'HTTP/1.1 1000 OK\r\n\r\n'),
  raw('G9 99', 'HTTP/1.1 99 OK\r\n\r\n'),
  raw('G9 HTTP/2.0', 'HTTP/2.0 200 OK\r\n\r\n'),
  raw('G9 ICY', 'ICY 200 OK\r\n\r\n'),
  raw('G9 HTML', '<html><h1>upstream-words</h1></html>'),
  raw('G9 an SSH banner', 'SSH-2.0-upstream-words\r\n'),
  raw('G9 a TLS alert', '\x15\x03\x03\x00\x02\x02\x28'),
  {
    name: 'G11 a header of 200 KB',
    script: saying(`HTTP/1.1 200 OK\r\nX: ${'upstream-words'.repeat(15_000)}\r\n\r\n`),
    ...tooLong,
  },
  {
    name: 'G11 2,500 header lines',
    script: saying(`HTTP/1.1 200 OK\r\n${'X: upstream-words\r\n'.repeat(2500)}\r\n`),
    ...tooLong,
  },
  {
    name: 'G11 a head that comes byte by byte, for ever',
    script: sayingSlowly(`HTTP/1.1 200 OK\r\nX: ${'y'.repeat(10_000)}`, { everyMs: 10 }),
    ...silent,
    gateway: hasty,
  },
  { name: 'G12 closes without a byte', script: closing, ...broke },
  { name: 'G12 resets without a byte', script: resetting, ...broke },
  { name: 'G12 closes in its status line', script: saying('HTTP/1.1 2', closing), ...broke },
  { name: 'G12 closes in a header', script: saying('HTTP/1.1 200 OK\r\nX: upstream-wo', closing), ...broke },
  {
    name: 'G12 resets in a header',
    script: saying('HTTP/1.1 200 OK\r\nX: upstream-wo', resetting),
    ...broke,
  },
  // Decided once: an LF alone is not tolerated. Tinyproxy writes CR LF.
  raw('G13 LF alone', 'HTTP/1.1 200 OK\nX: y\n\n'),
  raw('G13 LF alone behind one header', 'HTTP/1.1 200 OK\r\nX: y\nZ: z\r\n\r\n'),
  raw('G13 NUL', 'HTTP/1.1 200 OK\r\nX: \x00\r\n\r\n'),
  raw('G13 a folded line', 'HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n'),
  raw('G13 a space before the colon', 'HTTP/1.1 200 OK\r\nX : y\r\n\r\n'),
  raw('G19 a line end before the status line', `\r\n${established}`),
  raw('G19 the end of another answer before it', `</html>\r\n${established}`),
  raw("G19 another connection's body before it", `5\r\nhello\r\n0\r\n\r\n${established}`),
]

for (const row of rows) for (const road of roads) t.test(`${row.name} (${road})`, (t) => runRow(t, row, road))

async function runRow(t: Test, row: Row, road: (typeof roads)[number]): Promise<void> {
  const { gateway = patient, script, blamed } = row
  const { facts } = gateway
  const used = newJob()
  play = establishing()
  const pinned = await served(t, patient, used)
  const before = { dials: dials(), facts: facts.names().length }
  const since = () => facts.names().slice(before.facts)
  const times = (fact: string) => since().filter((name) => name === fact).length

  play = script
  const job = newJob()
  await expectFailure(t, road, await ask(road, gateway.port, job), row)
  // G21: only a fresh pin moves, only by blame, and to each other upstream once.
  const tried = blamed ? upstreams.length : 1
  t.equal(dials() - before.dials, tried, 'dials')
  t.equal(times('upstream_blamed'), blamed ? tried : 0, 'blame')
  t.equal(times('pin_moved'), tried - 1, 'moves')
  t.equal(times('probe_wanted'), row.status === 504 ? 1 : 0, 'a probe is asked for')
  t.equal(times('upstream_set_aside'), 0, 'it did take the connection')
  t.strictSame(
    facts
      .of('request_refused')
      .slice(-1)
      .map(({ code, status, job }) => ({ code, status, job: job?.id })),
    [{ code: row.code, status: row.status, job }],
  )
  t.equal(times('request_refused') + times('tunnel_opened'), 1, 'one record')

  if (gateway === patient) {
    await expectFailure(t, road, await ask(road, gateway.port, used), row)
    t.equal(dials() - before.dials, tried + 1, 'G21: a used pin is tried once')
    t.equal(times('pin_moved'), tried - 1, 'and never moves')
  }
  play = establishing()
  await until('nothing is left open', () => gateway.gateway.load.own.size === 0)
  t.equal(await served(t, patient, used), pinned, 'the job is where it was')
  await served(t, patient, newJob())
}

t.test('answers of 2xx are a tunnel, and the client sees nothing of them', async (t) => {
  const odd = 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\nServer: upstream-words\r\n'
  const standing: [name: string, head: string][] = [
    ['G6 200 with a length', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n'],
    ['G6 200 with chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'],
    // RFC 9110 section 9.3.6: both are ignored. The same each time.
    ['G7 200 with both', `HTTP/1.1 200 OK\r\n${odd}\r\n`],
    ['G8 100 before it', `${interims(1, '100 Continue')}${established}`],
    ['G8 103 with headers before it', `HTTP/1.1 103 Hints\r\nLink: <upstream-words>\r\n\r\n${established}`],
    ['G8 ten interim answers before it', `${interims(10)}${established}`],
    ['G10 201', 'HTTP/1.1 201 Created\r\nLocation: /\r\n\r\n'],
    ['G10 204', 'HTTP/1.1 204 No Content\r\n\r\n'],
    ['G14 200 and nothing else', established],
  ]
  /** Every byte there is, and what looks like the end of a head or another answer. */
  const bytes = Buffer.concat([
    Buffer.from('hello\r\n\r\nHTTP/1.1 407 No\r\n\r\n'),
    Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)),
  ])
  const answer = 'HTTP/1.1 203 Own\r\nContent-Length: 5\r\n\r\nhello'
  for (const [name, head] of standing) {
    t.test(`${name}: what follows is the tunnel's, byte for byte`, async (t) => {
      play = saying(Buffer.concat([Buffer.from(head), bytes]))
      const tunnel = await ask('connect', patient.port, newJob())
      t.equal(tunnel.status, 200, 'exactly 200, whatever it was')
      t.match(tunnel.head, /^HTTP\/1\.1 200 Connection established\r\nX-Upstream-Id: up-[12]\r\n\r\n$/)
      t.ok((await readBytes(tunnel.socket, bytes.length)).equals(bytes))
      tunnel.socket.destroy()

      // On the other road the tunnel's bytes are an answer, even one that comes before it was asked for.
      play = saying(`${head}${answer}`)
      const plain = await ask('http', patient.port, newJob())
      t.match(plain, { status: 203, reason: 'Own' })
      t.equal(plain.body.toString(), 'hello')
      t.notMatch(plain.head, /upstream-words/)
      plain.socket.destroy()
    })
  }
})

t.test('G1 cannot be connected to', async (t) => {
  const full = await startFullListener()
  t.teardown(full.close)
  const unroutable = { host: '255.255.255.255', port: 3128 }
  const rows: [name: string, upstream: { host: string; port: number }, failure: Failure][] = [
    [
      'refuses TCP',
      { host: '127.0.0.1', port: await closedPort() },
      { ...broke, token: 'connection_refused' },
    ],
    ['unroutable', unroutable, { ...broke, token: 'destination_ip_unroutable' }],
    ['a black hole', full, { status: 504, code: 'upstream_timeout', token: 'connection_timeout' }],
  ]
  for (const [name, upstream, failure] of rows) {
    t.test(name, async (t) => {
      const settings = { connectTimeoutMs: 300, failedConnects: 2 }
      const gateway = await startGateway({ upstreams: [upstream], settings })
      t.teardown(() => gateway.stop())
      const { facts } = gateway
      for (const [index, road] of roads.entries()) {
        const words = [upstream.host, String(upstream.port)]
        await expectFailure(t, road, await ask(road, gateway.port, newJob()), { ...failure, words })
        t.equal(facts.of('upstream_blamed').length, index + 1)
      }
      t.match(facts.of('upstream_set_aside'), [{ upstream: 'up-1' }], 'the second time it is set aside')
      const third = await ask('connect', gateway.port, newJob())
      third.socket.destroy()
      t.equal(third.status, 503, 'new jobs are not sent there')

      play = establishing()
      await gateway.publish({ upstreams: [upstream, { ...upstreams[0]!, id: 'good' }] })
      t.equal(await served(t, gateway, newJob()), 'good', 'a normal client is served')
    })
  }

  t.test('a fresh pin moves to one that can', async (t) => {
    play = establishing()
    const given = [{ port: await closedPort() }, { ...upstreams[0]!, id: 'good' }]
    const gateway = await startGateway({ upstreams: given, settings: { failedConnects: 100 } })
    t.teardown(() => gateway.stop())
    for (const job of [newJob(), newJob()]) t.equal(await served(t, gateway, job), 'good')
    t.match(gateway.facts.of('pin_moved'), [{ from: 'up-1', to: 'good', reason: 'fresh' }])
  })
})
