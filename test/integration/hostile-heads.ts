// Hostile inputs, section 2.1: request lines and framing. Each row of that table is a test of its name, and each of its
// spellings is sent to the real listener. Rows that end otherwise than the table says tell why.

import t, { type Test } from 'tap'
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises'
import type { Socket } from 'node:net'
import { startGateway } from '../fixtures/gateway.ts'
import { expectClosed, expectRefused, startHostile } from '../fixtures/hostile.ts'
import type { Hostile, HostileOptions, Input, Refusal } from '../fixtures/hostile.ts'
import { readAnswer, readBytes, readToEnd, type Answer } from '../fixtures/raw-answer.ts'
import { basic, openSocket } from '../fixtures/raw-client.ts'
import {
  established,
  startScriptedUpstream,
  stayingSilent,
  type Script,
} from '../fixtures/scripted-upstream.ts'
import { until } from '../fixtures/until.ts'

const target = '127.0.0.1:443'
const secret = 'sesame-73'
const credentials = basic(`job-1:${secret}`)
const identity = `Proxy-Authorization: ${credentials}\r\n`
const connectLine = `CONNECT ${target} HTTP/1.1`
const job = `GET /v1/job HTTP/1.1`

const malformed: Refusal = { status: 400, code: 'bad_request' }
const tooLarge: Refusal = { status: 431, code: 'bad_request' }
const tooSlow: Refusal = { status: 408, code: 'bad_request' }

type Spellings = { readonly [name: string]: Input }

/** A request line, header lines (each with its line end), and the empty line. */
function head(line: string, headers = identity): string {
  return `${line}\r\n${headers}\r\n`
}

function connectWith(headers: string): string {
  return head(connectLine, headers + identity)
}

/** All spellings are refused alike, and none of them shows the credentials that came with it. */
function refuses(name: string, spellings: Spellings, refusal: Refusal, options: HostileOptions = {}): void {
  t.test(name, async (t) => {
    const hostile = await startHostile(t, options)
    for (const [spelling, input] of Object.entries(spellings))
      await t.test(spelling, async (t) => {
        const secrets = [secret, credentials.slice('Basic '.length)]
        await expectRefused(t, hostile, input, { secrets, ...refusal })
      })
  })
}

/** All spellings open a tunnel to what was meant, for the job that was named. */
function serves(name: string, spellings: { readonly [name: string]: string }): void {
  t.test(name, async (t) => {
    const hostile = await startHostile(t)
    for (const [spelling, bytes] of Object.entries(spellings))
      await t.test(spelling, async (t) => {
        const answer = await answerTo(hostile, bytes, 'CONNECT')
        answer.socket.destroy()
        t.equal(answer.status, 200)
        const asked = hostile.upstreams.flatMap(({ heads }) => heads)
        t.match(asked.at(-1), new RegExp(`^CONNECT ${target} HTTP/1.1\r\n`), 'in our words')
        t.notMatch(asked.join(''), /x-job|proxy-auth|__proto__/i)
        t.match(hostile.gateway.facts.of('tunnel_opened').at(-1), { job: { id: 'job-1' } })
        await until('its tunnel has ended', () => hostile.gateway.gateway.tunnels.count === 0)
        await hostile.serveOne()
      })
  })
}

async function answerTo({ gatewayPort }: Hostile, bytes: string, method = 'GET'): Promise<Answer> {
  const socket = await openSocket({ gatewayPort })
  socket.write(bytes, 'latin1')
  return readAnswer(socket, method)
}

refuses(
  'A1 a method in other letters than capitals, or of nobody',
  {
    connect: head(`connect ${target} HTTP/1.1`),
    Connect: head(`Connect ${target} HTTP/1.1`),
    CONNECt: head(`CONNECt ${target} HTTP/1.1`),
    get: head('get http://127.0.0.1/ HTTP/1.1', `Host: 127.0.0.1\r\n${identity}`),
    'get of our own': head('get /v1/job HTTP/1.1'),
    CONNEC: head(`CONNEC ${target} HTTP/1.1`),
    CONNECTED: head(`CONNECTED ${target} HTTP/1.1`),
    'a method that nobody has': head('FETCH http://127.0.0.1/ HTTP/1.1'),
    'one in quotes': head(`"CONNECT" ${target} HTTP/1.1`),
    'a method of RTSP': head('DESCRIBE http://127.0.0.1/ HTTP/1.1', `Host: 127.0.0.1\r\n${identity}`),
    'no method': head(` ${target} HTTP/1.1`),
    'nothing but a version': head('HTTP/1.1'),
    'an answer': head('HTTP/1.1 200 OK'),
  },
  malformed,
)

refuses(
  'A2 a space in front, or a tab between the parts',
  {
    'a space in front': ` ${head(connectLine)}`,
    'a tab in front': `\t${head(connectLine)}`,
    'a space behind an empty line': `\r\n ${head(connectLine)}`,
    'tabs between': head(`CONNECT\t${target}\tHTTP/1.1`),
    'a tab before the target': head(`CONNECT\t${target} HTTP/1.1`),
    'a tab before the version': head(`CONNECT ${target}\tHTTP/1.1`),
    'a space and a tab': head(`CONNECT \t${target} HTTP/1.1`),
    'a vertical tab': head(`CONNECT\x0b${target}\x0bHTTP/1.1`),
    'a form feed': head(`CONNECT ${target}\x0cHTTP/1.1`),
    'a no-break space': head(`CONNECT\xa0${target}\xa0HTTP/1.1`),
  },
  malformed,
)

refuses(
  'A3 no version: HTTP/0.9',
  {
    CONNECT: head(`CONNECT ${target}`),
    'CONNECT without headers': `CONNECT ${target}\r\n\r\n`,
    'CONNECT, and a space': head(`CONNECT ${target} `),
    'CONNECT alone': head('CONNECT'),
    'GET of a path': 'GET /x\r\n\r\n',
    'GET of our own': head('GET /v1/job'),
    'GET of a URL': head('GET http://127.0.0.1/', `Host: 127.0.0.1\r\n${identity}`),
    'POST of a URL': head('POST http://127.0.0.1/', `Host: 127.0.0.1\r\nContent-Length: 0\r\n${identity}`),
    // The parser says the same of both, so it is not 505 either.
    'CONNECT with HTTP/0.9': head(`CONNECT ${target} HTTP/0.9`),
    'GET with HTTP/0.9': head('GET http://127.0.0.1/ HTTP/0.9', `Host: 127.0.0.1\r\n${identity}`),
    'DELETE of our own with HTTP/0.9': head('DELETE /v1/job HTTP/0.9'),
  },
  malformed,
)

// As HTTP/0.9 really was: one line, and the client waits. It may be the begin of a head, so it has a head's time.
refuses('A3 one line, and nothing more', { 'GET of a path': 'GET /x\r\n' }, tooSlow, {
  settings: { headTimeoutMs: 200 },
})

const noVersions = [
  'HTTP/1.2|HTTP/1.9|HTTP/1.11|HTTP/01.1|HTTP/1|HTTP/1.|HTTP/11|HTTP/2|HTTP/3.0|HTTP/-1.1|HTTP/1,1|HTTP/1.1.1',
  'HTTP/1.1x|HTTP/1.1 x|HTTP/1.1 |HTTP /1.1|HTTP/ 1.1|http/1.1|Http/1.1|HTTPS/1.1|HTCPCP/1.0|ICE/1.0|RTSP/1.0',
  'HTTP|1.1|/1.1|x',
].flatMap((some) => some.split('|'))

refuses(
  'A4 a version that is none',
  Object.fromEntries(noVersions.map((version) => [version, head(`CONNECT ${target} ${version}`)])),
  malformed,
)

refuses(
  'A5 HTTP/2.0 in a request line',
  {
    CONNECT: head(`CONNECT ${target} HTTP/2.0`),
    'CONNECT without headers': `CONNECT ${target} HTTP/2.0\r\n\r\n`,
    'GET of a URL': head('GET http://127.0.0.1/ HTTP/2.0', `Host: 127.0.0.1\r\n${identity}`),
    'GET of our own': head('GET /v1/job HTTP/2.0'),
    'GET of nothing of ours': head('GET / HTTP/2.0'),
    'an upgrade': head(
      'GET http://127.0.0.1/ HTTP/2.0',
      `Host: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${identity}`,
    ),
  },
  { status: 505, code: 'bad_request' },
)

serves('A6 HTTP/1.0 without Host, as Python says it', {
  'with credentials': head(`CONNECT ${target} HTTP/1.0`),
  'with a header': head(`CONNECT ${target} HTTP/1.0`, 'X-Job-Id: job-1\r\n'),
})

refuses(
  'A6 HTTP/1.0 has the same checks',
  {
    'no port': head('CONNECT 127.0.0.1 HTTP/1.0'),
    'a length': head(`CONNECT ${target} HTTP/1.0`, `Content-Length: 0\r\n${identity}`),
    'two jobs': head(`CONNECT ${target} HTTP/1.0`, `X-Job-Id: a\r\nX-Job-Id: a\r\n`),
  },
  malformed,
)

// More than a few are taken too. The parser drops them unseen, whatever their number, and a head has its time limit; a
// parser of our own in front, which would count them, could differ from it about where a request begins.
serves('A7 empty lines in front', {
  one: `\r\n${head(connectLine)}`,
  three: `\r\n\r\n\r\n${head(connectLine)}`,
  seventeen: '\r\n'.repeat(17) + head(connectLine),
  'a line feed alone': `\n${head(connectLine)}`,
  'more than a head may be long': '\r\n'.repeat(20_000) + head(connectLine),
})

// Taken, though the table has 400: the parser passes the words on without what stood between, and RFC 9112 section 3
// lets a recipient split the line at white space. Nobody behind us reads the line: we write our own.
serves('A8 two spaces between the parts', {
  'before the target': head(`CONNECT  ${target} HTTP/1.1`),
  'before the version': head(`CONNECT ${target}  HTTP/1.1`),
  'many of them': head(`CONNECT${' '.repeat(50)}${target}${' '.repeat(50)}HTTP/1.1`),
})

refuses(
  'A8 a space within the target',
  {
    'before the port': head('CONNECT 127.0.0.1 :443 HTTP/1.1'),
    'behind the colon': head('CONNECT 127.0.0.1: 443 HTTP/1.1'),
    'two targets': head(`CONNECT ${target} ${target} HTTP/1.1`),
    'in a URL': head('GET http://127.0.0.1/a b HTTP/1.1', `Host: 127.0.0.1\r\n${identity}`),
  },
  malformed,
)

refuses(
  'A9 line ends that are not CRLF',
  {
    'LF everywhere': head(connectLine).replaceAll('\r\n', '\n'),
    'LF behind the request line': `${connectLine}\n${identity}\r\n`,
    'LF behind a header': `${connectLine}\r\nX: y\n${identity}\r\n`,
    'LF for the empty line': `${connectLine}\r\n${identity}\n`,
    'LF CR': `${connectLine}\n\r${identity}\n\r`,
    'CR everywhere': head(connectLine).replaceAll('\r\n', '\r'),
    'CR behind the request line': `${connectLine}\r${identity}\r\n`,
    'CR behind a header': `${connectLine}\r\nX: y\r${identity}\r\n`,
    'CR in a value': connectWith('X: y\rz\r\n'),
    'CR in a name': connectWith('X\rY: z\r\n'),
    'CR CR LF': `${connectLine}\r\r\n${identity}\r\n`,
    'CR for the empty line': `${connectLine}\r\n${identity}\rX`,
    'CR in the target': head('CONNECT 127.0.0.1\r:443 HTTP/1.1'),
    'NEL and LS': `${connectLine}\x85${identity}\r\n`,
  },
  malformed,
)

const tlsHello = Buffer.from(`16030100c8010000c40303${'5a'.repeat(200)}`, 'hex')
const proxyV2 = Buffer.from('0d0a0d0a000d0a515549540a2111000c7f0000017f0000010001000200', 'hex')

t.test('A10 other protocols are told at once that they are at the wrong door', async (t) => {
  const hostile = await startHostile(t)
  const protocols: Spellings = {
    TLS: tlsHello,
    'the first bytes of TLS': tlsHello.subarray(0, 3),
    'SSL 2': Buffer.from('802e0100020015', 'hex'),
    'SOCKS 4': Buffer.from('040101bb7f00000100', 'hex'),
    'SOCKS 4a': Buffer.from(`040101bb00000001006100`, 'hex'),
    'SOCKS 5': Buffer.from('050100', 'hex'),
    'SOCKS 5 with a password': Buffer.from('05020002', 'hex'),
    'PROXY v1': `PROXY TCP4 192.0.2.1 192.0.2.2 1024 443\r\n${head(connectLine)}`,
    'PROXY v1, unknown': 'PROXY UNKNOWN\r\n',
    'PROXY v2': proxyV2,
    'PROXY v2, and a request': Buffer.concat([proxyV2, Buffer.from(head(connectLine))]),
    'HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'HTTP/2 with settings': Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0', 'latin1'),
    SSH: 'SSH-2.0-OpenSSH_9.2\r\n',
    SMTP: 'EHLO client.example\r\n',
    FTP: 'USER anonymous\r\n',
    IRC: 'NICK a\r\n',
    Redis: '*1\r\n$4\r\nPING\r\n',
    'Redis inline': 'PING\r\n',
    PostgreSQL: Buffer.from('0000000804d2162f', 'hex'),
    MQTT: Buffer.from('101000044d5154540402003c000461626364', 'hex'),
    RDP: Buffer.from('030000130ee000000000000100080003000000', 'hex'),
    'DNS over TCP': Buffer.from('001d0001010000010000000000000161076578616d706c650000010001', 'hex'),
    BitTorrent: '\x13BitTorrent protocol',
    RTSP: head('DESCRIBE rtsp://127.0.0.1/ RTSP/1.0'),
    JSON: '{"method":"CONNECT"}\r\n',
    zeros: Buffer.alloc(64),
  }
  for (const [protocol, bytes] of Object.entries(protocols))
    await t.test(protocol, async (t) => {
      const startedMs = performance.now()
      await expectRefused(t, hostile, bytes, malformed)
      t.ok(performance.now() - startedMs < 1500, 'never silence')
    })
})

// The parser knows the begin of HTTP/2 as a request that goes on.
refuses('A10 half a preface of HTTP/2', { 'its first line': 'PRI * HTTP/2.0\r\n\r\n' }, tooSlow, {
  settings: { headTimeoutMs: 200 },
})

t.test('A11 a target that is too long', async (t) => {
  const hostile = await startHostile(t)
  const tooLong: Refusal = { status: 414, code: 'bad_request' }
  const url = (length: number) =>
    head(`GET http://127.0.0.1/${'x'.repeat(length)} HTTP/1.1`, `Host: h\r\n${identity}`)
  const rows: [name: string, bytes: string, refusal: Refusal][] = [
    ['a name of 301', head(`CONNECT ${'x'.repeat(301)}:443 HTTP/1.1`), tooLong],
    ['a target of 16,000', head(`CONNECT ${'x'.repeat(16_000)}:443 HTTP/1.1`), tooLong],
    ['a target of 20 KB', head(`CONNECT ${'x'.repeat(20_000)}:443 HTTP/1.1`), tooLarge],
    ['a port of 20 KB', head(`CONNECT 127.0.0.1:${'4'.repeat(20_000)} HTTP/1.1`), tooLarge],
    ['a URL of 10 KB', url(10_000), tooLong],
    ['a URL of 100 KB', url(100_000), tooLarge],
    ['a target without an end', `CONNECT ${'x'.repeat(100_000)}`, tooLarge],
  ]
  for (const [name, bytes, refusal] of rows)
    await t.test(name, (t) => expectRefused(t, hostile, bytes, refusal).then(() => undefined))
})

refuses(
  'A12 a method of 100 KB',
  {
    'of one letter': head(`${'A'.repeat(100_000)} ${target} HTTP/1.1`),
    'that begins like one': head(`CONNECT${'T'.repeat(100_000)} ${target} HTTP/1.1`),
    'without an end': 'A'.repeat(100_000),
  },
  malformed,
)

refuses(
  'A13 a head of more than 16 KiB',
  {
    'one header': connectWith(`X: ${'y'.repeat(17_000)}\r\n`),
    'one name': connectWith(`${'X'.repeat(17_000)}: y\r\n`),
    'many headers': connectWith(`X: ${'y'.repeat(200)}\r\n`.repeat(90)),
    credentials: head(connectLine, `Proxy-Authorization: Basic ${'A'.repeat(17_000)}\r\n`),
    'of a plain request': head('GET http://127.0.0.1/ HTTP/1.1', `X: ${'y'.repeat(17_000)}\r\n${identity}`),
    // What has no end is answered before it, and the answer is not lost to a reset: the rest is read and dropped.
    'a header of 4 MB': connectWith(`X: ${'y'.repeat(4_000_000)}\r\n`),
    'a header without an end': `${connectLine}\r\nX: ${'y'.repeat(100_000)}`,
  },
  tooLarge,
)

// Taken, since the parser drops them unseen, as it does empty lines in front; they cost no memory, and have a head's time.
serves('A13 blanks before a value are not counted', {
  'seventeen thousand': connectWith(`X:${' '.repeat(17_000)}y\r\n`),
})

const lines = (count: number) => Array.from({ length: count }, (_, index) => `X-${index}: y\r\n`).join('')

serves('A14 a hundred header lines, with the job in the last one', {
  credentials: head(connectLine, lines(99) + identity),
  'a header': head(connectLine, `${lines(99)}X-Job-Id: job-1\r\n`),
})

refuses(
  'A14 more than a hundred header lines',
  {
    'credentials behind them': head(connectLine, lines(100) + identity),
    'credentials before them': head(connectLine, identity + lines(100)),
    'the same one': head(connectLine, 'X: y\r\n'.repeat(100) + identity),
    'as many as fit': head(connectLine, 'a:\r\n'.repeat(3000) + identity),
    'of HTTP/1.0': head(`CONNECT ${target} HTTP/1.0`, lines(100) + identity),
  },
  tooLarge,
)

t.test('A14 more than a hundred header lines of a plain request', async (t) => {
  const hostile = await startHostile(t)
  for (const line of ['GET http://127.0.0.1/ HTTP/1.1', job, 'GET / HTTP/1.1'])
    await t.test(line, async (t) => {
      const bytes = head(line, `Host: 127.0.0.1\r\n${lines(99)}${identity}`)
      await expectRefused(t, hostile, bytes, tooLarge)
    })
})

const controls = [...Array(32).keys(), 127].filter((code) => ![9, 10, 13].includes(code))

refuses(
  'A15 control characters in a value',
  Object.fromEntries(
    controls.map((code) => [`0x${code.toString(16)}`, connectWith(`X: a${String.fromCharCode(code)}b\r\n`)]),
  ),
  malformed,
)

refuses(
  'A15 control characters elsewhere, and signs that no name has',
  {
    'NUL in a name': connectWith('X\0: a\r\n'),
    'DEL in a name': connectWith('X\x7f: a\r\n'),
    'a byte above 0x7f in a name': connectWith('X\xe9: a\r\n'),
    'NUL in the target': head(`CONNECT 127.0.0.1\0:443 HTTP/1.1`),
    'DEL in the target': head(`CONNECT 127.0.0.1\x7f:443 HTTP/1.1`),
    'NUL in the method': head(`CON\0NECT ${target} HTTP/1.1`),
    'NUL in the version': head(`CONNECT ${target} HTTP/1\0.1`),
    'NUL at the end of a value': connectWith('X: a\0\r\n'),
    'NUL before a job': head(connectLine, 'X-Job-Id: \0job-1\r\n'),
    ...Object.fromEntries(
      [...'()/;<=>?@[]{}\\", '].map((sign) => [`${sign} in a name`, connectWith(`X${sign}: a\r\n`)]),
    ),
  },
  malformed,
)

refuses(
  'A16 header lines that are none',
  {
    'a space before the colon': connectWith('X : a\r\n'),
    'a tab before the colon': connectWith('X\t: a\r\n'),
    'a space before the colon of the job': head(connectLine, 'X-Job-Id : job-1\r\n'),
    'a space before the colon of the credentials': head(
      connectLine,
      `Proxy-Authorization : ${credentials}\r\n`,
    ),
    'no colon': connectWith('garbage\r\n'),
    'no colon in the last line': head(connectLine, `${identity}garbage\r\n`),
    'no name': connectWith(': a\r\n'),
    'a colon alone': connectWith(':\r\n'),
    'the first line indented': connectWith(' X: a\r\n'),
    'the first line indented by a tab': connectWith('\tX: a\r\n'),
    'the job indented in the first line': head(connectLine, ' X-Job-Id: job-1\r\n'),
    'a blank first line': connectWith(' \r\n'),
    'a space in a name': connectWith('X Y: a\r\n'),
    'a request line again': head(`${connectLine}\r\n${connectLine}`),
  },
  malformed,
)

refuses(
  'A17 a folded header line',
  {
    'by a space': connectWith('X: a\r\n b\r\n'),
    'by a tab': connectWith('X: a\r\n\tb\r\n'),
    'to nothing': connectWith('X: a\r\n \r\n'),
    'the job': head(connectLine, 'X-Job-Id:\r\n job-1\r\n'),
    'behind the job': head(connectLine, 'X-Job-Id: job-1\r\n x\r\n'),
    'the credentials': head(connectLine, `Proxy-Authorization: Basic\r\n ${credentials.slice(6)}\r\n`),
    'a header in the fold': head(connectLine, `X: a\r\n ${identity}`),
    'in the last line': head(connectLine, `${identity} x\r\n`),
    'of a plain request': head('GET http://127.0.0.1/ HTTP/1.1', `Host: 127.0.0.1\r\n x\r\n${identity}`),
  },
  malformed,
)

const everyObject = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', '__defineGetter__', 'valueOf']

serves('A18 headers named like parts of every object are inert', {
  once: head(connectLine, everyObject.map((name) => `${name}: x\r\n`).join('') + identity),
  twice: head(connectLine, everyObject.map((name) => `${name}: x\r\n${name}: y\r\n`).join('') + identity),
})

t.test('A18 of a plain request as well', async (t) => {
  const hostile = await startHostile(t, { script: web })
  const line = 'GET http://127.0.0.1/ HTTP/1.1'
  const headers = everyObject.map((name) => `${name}: x\r\n`).join('')
  const answer = await answerTo(hostile, head(line, `Host: 127.0.0.1\r\n${headers}${identity}`))
  answer.socket.destroy()
  t.equal(answer.status, 200)
  t.equal(({} as { x?: unknown }).x, undefined)
})

t.test(
  'A19 a head that comes a byte at a time is told that it is too slow, about when its time is up',
  async (t) => {
    const headTimeoutMs = 400
    const hostile = await startHostile(t, { settings: { headTimeoutMs } })
    /** Bytes for as long as somebody takes them. */
    const drip =
      (bytes: (index: number) => string, before = '') =>
      async (socket: Socket) => {
        if (before !== '') {
          socket.write(before)
          const first = await readAnswer(socket, 'GET')
          t.equal(first.status, 407)
        }
        void (async () => {
          for (let index = 0; !socket.destroyed && !socket.readableEnded && index < 200; index++) {
            socket.write(bytes(index))
            await delay(20)
          }
        })()
      }
    const slow = connectWith(`X: ${'y'.repeat(500)}\r\n`)
    const rows: Spellings = {
      'in its request line': drip((index) => slow[index]!),
      'in a header': drip((index) => (index === 0 ? slow.slice(0, 100) : 'y')),
      'in header lines': drip((index) => (index === 0 ? `${connectLine}\r\n` : 'X: y\r\n')),
      'in empty lines before it': drip(() => '\r\n'),
      'behind a challenge, on the same connection': drip((index) => slow[index]!, head(connectLine, '')),
    }
    for (const [name, play] of Object.entries(rows))
      await t.test(name, async (t) => {
        const startedMs = performance.now()
        if (name.startsWith('behind')) {
          // The challenge is a record of its own.
          const socket = await openSocket(hostile)
          await (play as (socket: Socket) => Promise<void>)(socket)
          const answer = await readAnswer(socket, 'GET')
          t.equal(answer.status, 408)
          t.equal((await readToEnd(socket).catch(() => Buffer.alloc(0))).length, 0)
          socket.destroy()
        } else await expectRefused(t, hostile, play, tooSlow)
        const ms = performance.now() - startedMs
        t.ok(ms >= headTimeoutMs - 50 && ms < headTimeoutMs + 1500, `${ms} ms`)
      })
  },
)

t.test('A20 who connects and says nothing, or never a head, is closed, and was never a tunnel', async (t) => {
  const hostile = await startHostile(t, { settings: { headTimeoutMs: 200 } })
  const { gateway } = hostile.gateway
  for (const [name, bytes] of Object.entries({ nothing: '', 'an empty line': '\r\n', 'a letter': 'G' }))
    await t.test(name, async (t) => {
      const opened = hostile.gateway.facts.of('tunnel_opened').length
      await expectRefused(t, hostile, bytes, tooSlow)
      t.equal(hostile.gateway.facts.of('tunnel_opened').length, opened + 1, 'the normal client alone')
    })
  await until('none is left', () => gateway.connections === 0)
})

t.test('A20 who leaves before a head asked for nothing', async (t) => {
  const hostile = await startHostile(t)
  const { facts, gateway } = hostile.gateway
  await expectClosed(t, hostile, (socket) => socket.end())
  await expectClosed(t, hostile, (socket) => socket.end('\r\n'))
  await expectClosed(t, hostile, (socket) => socket.resetAndDestroy())
  await expectClosed(t, hostile, async (socket) => {
    await new Promise((resolve) => socket.write(connectLine, resolve))
    socket.resetAndDestroy()
  })
  await until('none is left', () => gateway.connections === 0)
  t.same(facts.of('request_refused'), [])
})

// A21 is in connection-limits.ts: it counts.

refuses(
  'A23 the client ends in the middle of its head',
  Object.fromEntries(
    [1, 7, 20, connectLine.length, connectLine.length + 2, head(connectLine).length - 1].map((length) => [
      `behind ${length} bytes`,
      (socket: Socket) => socket.end(head(connectLine).slice(0, length)),
    ]),
  ),
  malformed,
)

/** A web server of one request behind the tunnel. */
const web: Script = ({ socket }) => {
  socket.write(established)
  let seen = ''
  socket.once('end', () => socket.end())
  socket.resume().on('data', (chunk: Buffer) => {
    seen += chunk.toString('latin1')
    if (seen.endsWith('\r\n\r\n'))
      socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok')
  })
}

const get = head('GET http://127.0.0.1/ HTTP/1.1', `Host: 127.0.0.1\r\n${identity}`)

t.test('A22 a request cut anywhere is the same request', async (t) => {
  const hostile = await startHostile(t, { script: web })

  async function answerToPieces(pieces: readonly string[], method: string) {
    const socket = await openSocket(hostile)
    for (const piece of pieces) {
      await new Promise((resolve) => socket.write(piece, 'latin1', resolve))
      // Both ends live here: the gateway reads it before the next piece is written.
      for (let turn = 0; turn < 2; turn++) await nextTurn()
    }
    const { status, head: answered, body } = await readAnswer(socket, method)
    socket.destroy()
    return { status, answered: withoutIds(answered), body: withoutIds(body.toString()) }
  }

  const rows: [name: string, method: string, bytes: string][] = [
    ['a good CONNECT', 'CONNECT', head(connectLine)],
    ['a good GET', 'GET', get],
    ['a CONNECT without a job', 'CONNECT', head(connectLine, 'Host: x\r\n')],
    ['a CONNECT without a version', 'CONNECT', head(`CONNECT ${target}`)],
    ['a header line that is none', 'CONNECT', head(connectLine, 'X: y\r\nX : y\r\n')],
    ['two jobs', 'GET', head('GET http://127.0.0.1/ HTTP/1.1', 'Host: h\r\nX-Job-Id: a\r\nx-job-id: a\r\n')],
  ]
  for (const [name, method, bytes] of rows)
    await t.test(name, async (t) => {
      const whole = await answerToPieces([bytes], method)
      for (let at = 1; at < bytes.length; at++)
        t.same(await answerToPieces([bytes.slice(0, at), bytes.slice(at)], method), whole, `cut at ${at}`)
      t.same(await answerToPieces([...bytes], method), whole, 'a byte at a time')
    })
})

function withoutIds(text: string): string {
  return text.replace(/"requestId":"[^"]*"/, '').replace(/^(X-Upstream-Id|Date|Content-Length):.*$/gim, '$1')
}

t.test('A22 two requests in one segment', async (t) => {
  const bad = head(`connect ${target} HTTP/1.1`)
  const many = (count: number) => Array.from({ length: count }, () => 200)
  const twoJobs = get.replace('\r\n', '\r\nX-Job-Id: a\r\nX-Job-Id: b\r\n')
  // `behind`: what follows the last answer, then its end where that is an error; null where the connection is kept.
  const rows: [name: string, bytes: string, statuses: number[], behind: string | null][] = [
    ['both good', get + get, [200, 200], ''],
    ['a good one, then no request', get + bad, [200, 400], ''],
    ['two good ones, then no request', get + get + tlsHello.toString('latin1'), [200, 200, 400], ''],
    ['a good one, then one without a job', get + head(connectLine, ''), [200, 407], null],
    ['a good one, then a CONNECT', `${get}${head(connectLine)}${get}`, [200, 200], 'HTTP/1.1 200 OK\r\n'],
    ['no request, then a good one', bad + get, [400], ''],
    ['a GET of two jobs, then a good one', `${twoJobs}${get}`, [400], ''],
    [
      'a GET of ours that is none, then a good CONNECT',
      `${head('GET / HTTP/1.1')}${head(connectLine)}`,
      [400],
      '',
    ],
    [
      'an expectation of nobody, then a good GET',
      `${get.replace('\r\n', '\r\nExpect: x\r\n')}${get}`,
      [417],
      '',
    ],
    ['twenty good ones', get.repeat(20), many(20), ''],
    ['more than may wait', get.repeat(50), [...many(33), 429], ''],
    // Opaque bytes of the tunnel, whatever they look like.
    ['a CONNECT, then a GET', head(connectLine) + get, [200], 'HTTP/1.1 200 OK\r\n'],
    ['a refused CONNECT, then a good GET', head('CONNECT h HTTP/1.1') + get, [400], ''],
    ['a challenged CONNECT, then a good GET', head(connectLine, '') + get, [407], ''],
    ['one of HTTP/1.0, then a good one', get.replace('HTTP/1.1', 'HTTP/1.0') + get, [200], ''],
  ]
  for (const [name, bytes, statuses, behind] of rows)
    await t.test(name, async (t) => {
      const hostile = await startHostile(t, { script: web })
      const { facts, gateway } = hostile.gateway
      const socket = await openSocket(hostile)
      socket.on('error', () => {})
      socket.write(bytes, 'latin1')
      const seen: number[] = []
      for (const status of statuses) {
        const isConnect = status === 200 && behind && seen.length === statuses.length - 1
        seen.push((await readAnswer(socket, isConnect ? 'CONNECT' : 'GET')).status)
      }
      t.same(seen, statuses, 'in their order')
      if (behind) t.equal((await readBytes(socket, behind.length)).toString(), behind, 'by the target')
      else if (behind === '' && statuses.at(-1) !== 200)
        t.equal((await readToEnd(socket).catch(() => Buffer.alloc(0))).length, 0, 'one answer each')
      socket.destroy()
      await until('none is left', () => gateway.connections === 0 && gateway.tunnels.count === 0)
      const refused = facts.of('request_refused').map(({ status }) => status)
      t.same(
        refused,
        statuses.filter((status) => status !== 200),
        'one record each',
      )
      t.equal(facts.of('tunnel_opened').length - 1, statuses.filter((status) => status === 200).length)
    })
})

/** A gateway whose one upstream does what it is told; at the end everything that was taken has been given back. */
async function startWatched(t: Test, script: Script) {
  // It ends as soon as the other side does, as Tinyproxy does.
  const onAccept = (socket: Socket) => void socket.once('end', () => socket.end())
  const upstream = await startScriptedUpstream(script, { onAccept })
  t.teardown(upstream.stop)
  const { gatewayPort, gateway, facts, stop } = await startGateway({ upstreams: [upstream] })
  t.teardown(stop)
  const records = () => [...facts.of('request_refused'), ...facts.of('tunnel_closed')]
  async function allGivenBack(requests: number): Promise<void> {
    await until('each request has its end', () => records().length >= requests)
    await until('no connection is left', () => gateway.connections === 0)
    await until('nor one to the upstream', () => upstream.connections().open === 0)
    t.equal(new Set(records().map(({ requestId }) => requestId)).size, records().length, 'one record each')
    t.equal(gateway.tunnels.count, 0)
    t.equal(gateway.limits.taken, 0)
    t.same(
      [...gateway.load.own.values()].filter((tunnels) => tunnels > 0),
      [],
    )
    t.same(facts.of('pass_failed'), [])
    for (const { job } of facts.of('pin_made'))
      t.equal(gateway.known.get(job!.id)?.tunnels ?? 0, 0, 'no pin is held')
  }
  const connectAs = (id: string) => head(connectLine, `X-Job-Id: ${id}\r\n`)
  return { gatewayPort, facts, upstream, connectAs, allGivenBack }
}

t.test('A23 the client ends behind its head: the dial is given up', async (t) => {
  const { gatewayPort, facts, upstream, connectAs, allGivenBack } = await startWatched(t, stayingSilent)
  const socket = await openSocket({ gatewayPort })
  socket.write(connectAs('job-1'))
  await until('it is dialled', () => upstream.heads.length === 1)
  socket.end()
  t.equal((await readToEnd(socket).catch(() => Buffer.alloc(0))).length, 0)
  const atOnce = await openSocket({ gatewayPort })
  atOnce.end(connectAs('job-2'))
  t.equal((await readToEnd(atOnce).catch(() => Buffer.alloc(0))).length, 0)
  await allGivenBack(2)
  t.same(
    facts.of('request_refused').map(({ status }) => status),
    [499, 499],
  )
})

t.test('A23 with bytes for the tunnel it is a half-close, and the answer is wanted', async (t) => {
  const hostile = await startHostile(t)
  const socket = await openSocket(hostile)
  socket.end(`${head(connectLine)}hello`)
  t.equal((await readAnswer(socket, 'CONNECT')).status, 200)
  t.equal((await readToEnd(socket)).toString(), 'hello')
})

t.test('A24 a reset at any time after the head leaves nothing behind', async (t) => {
  const answering: Script = async ({ socket }) => {
    await delay(250)
    if (!socket.destroyed) socket.write(established)
    socket.pipe(socket)
  }
  const { gatewayPort, facts, connectAs, allGivenBack } = await startWatched(t, answering)
  const times = [0, 150, 400, ...Array.from({ length: 17 }, () => Math.random() * 500)]
  await Promise.all(
    times.map(async (ms, index) => {
      const socket = await openSocket({ gatewayPort })
      socket.on('error', () => {})
      socket.resume()
      await new Promise((resolve) => socket.write(connectAs(`job-${index}`), resolve))
      await delay(ms)
      socket.resetAndDestroy()
    }),
  )
  // A reset can overtake a head that was not read yet.
  await allGivenBack(times.filter((ms) => ms > 100).length)
  t.ok(
    facts.of('tunnel_closed').length > 0 && facts.of('request_refused').length > 0,
    `before and in a tunnel (${times})`,
  )
  for (const { status } of facts.of('request_refused')) t.equal(status, 499)
})
