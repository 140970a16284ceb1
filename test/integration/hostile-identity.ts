// Hostile inputs, section 2.3: who is calling. Each row of that table is a test of its name, through the real listener;
// D12, another tenant's job, is with the job tokens.

import t from 'tap'
import { expectRefused, startHostile } from '../fixtures/hostile.ts'
import type { Hostile, HostileOptions, Refusal } from '../fixtures/hostile.ts'
import { startGateway } from '../fixtures/gateway.ts'
import { readAnswer, type Answer } from '../fixtures/raw-answer.ts'
import { basic, connectThrough, openSocket } from '../fixtures/raw-client.ts'
import { establishing, startScriptedUpstream } from '../fixtures/scripted-upstream.ts'
import { established, type Script } from '../fixtures/scripted-upstream.ts'
import { until } from '../fixtures/until.ts'
import { openMemoryStore } from '../../src/store/memory/memory.ts'
import { storeLimits } from '../../src/store/limits.ts'

const target = '127.0.0.1:443'
const token = 'sesame-73-token'
const tokens = [{ name: 'payments', token }]

/** The roads on which somebody must say who they are. */
const roads = {
  connect: (headers: string) => `CONNECT ${target} HTTP/1.1\r\n${headers}\r\n`,
  http: (headers: string) => `GET http://127.0.0.1/ HTTP/1.1\r\nHost: 127.0.0.1\r\n${headers}\r\n`,
  upgrade: (headers: string) =>
    `GET http://127.0.0.1/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${headers}\r\n`,
  own: (headers: string) => `GET /v1/job HTTP/1.1\r\nHost: gateway\r\n${headers}\r\n`,
}
type Road = keyof typeof roads

const malformed: Refusal = { status: 400, code: 'bad_request' }
const unknown: Refusal = {
  status: 407,
  code: 'proxy_auth_required',
  token: 'http_request_denied',
  connection: 'kept',
}

/** Header lines, each with its line end. */
type Spellings = { readonly [name: string]: string }

const authorization = (value: string) => `Proxy-Authorization: ${value}\r\n`
const user = (userinfo: string) => authorization(basic(userinfo))
const jobId = (value: string) => `X-Job-Id: ${value}\r\n`

/** What must be neither in an answer nor in a record: a token, as it is and as it was sent. */
function secretsIn(headers: string): string[] {
  return [token, ...[...headers.matchAll(/basic +(\S{8,})/gi)].map(([, encoded]) => encoded!)]
}

function refuses(
  name: string,
  spellings: Spellings,
  refusal: Refusal,
  { on = ['connect'], ...options }: HostileOptions & { readonly on?: readonly Road[] } = {},
): void {
  t.test(name, async (t) => {
    const hostile = await startHostile(t, options)
    for (const road of on)
      for (const [spelling, headers] of Object.entries(spellings))
        await t.test(`${road}: ${spelling}`, async (t) => {
          // An upgrade is answered on a raw connection, which ends then.
          const connection = road === 'upgrade' ? 'closed' : refusal.connection
          const expected = { ...refusal, ...(connection && { connection }), secrets: secretsIn(headers) }
          await expectRefused(t, hostile, roads[road](headers), expected)
        })
  })
}

/** All spellings open a tunnel for that job. */
function knows(
  name: string,
  spellings: { readonly [name: string]: readonly [headers: string, job: string] },
  options: HostileOptions = {},
): void {
  t.test(name, async (t) => {
    const hostile = await startHostile(t, options)
    for (const [spelling, [headers, id]] of Object.entries(spellings))
      await t.test(spelling, async (t) => {
        const answer = await answerTo(hostile, roads.connect(headers), 'CONNECT')
        answer.socket.destroy()
        t.equal(answer.status, 200)
        t.equal(hostile.gateway.facts.of('tunnel_opened').at(-1)?.job.id, id)
        t.notMatch(hostile.upstreams.flatMap(({ heads }) => heads).join(''), /x-job|authorization/i)
        await until('its tunnel has ended', () => hostile.gateway.gateway.tunnels.count === 0)
      })
  })
}

async function answerTo({ gatewayPort }: Hostile, bytes: string, method = 'GET'): Promise<Answer> {
  const socket = await openSocket({ gatewayPort })
  socket.write(bytes, 'latin1')
  return readAnswer(socket, method)
}

const every = ['connect', 'http', 'upgrade', 'own'] as const

refuses(
  'D1 nobody: a challenge, on a connection that is kept',
  {
    'no header': '',
    'type and institution alone': 'X-Job-Type: payment\r\nX-Job-Institution: bci\r\n',
    'no user': user(':x'),
    'cookies of another site': 'Cookie: job=42\r\n',
  },
  unknown,
  { on: every },
)

t.test('D1 the connection is closed where more follows, or was not to be kept', async (t) => {
  const hostile = await startHostile(t)
  const closed: Refusal = { ...unknown, connection: 'closed' }
  const rows: { readonly [name: string]: string } = {
    'a TLS hello behind it': `${roads.connect('')}\x16\x03\x01`,
    'a request behind it': roads.connect('') + roads.connect(jobId('job-1')),
    'Connection: close': roads.connect('Connection: close\r\n'),
    'Connection: keep-alive, Close': roads.connect('Connection: keep-alive, Close\r\n'),
    'HTTP/1.0': `CONNECT ${target} HTTP/1.0\r\n\r\n`,
    'a plain request with Connection: close': roads.http('Connection: close\r\n'),
    'a plain request of HTTP/1.0': 'GET http://127.0.0.1/ HTTP/1.0\r\n\r\n',
    'a plain request with a body on its way': roads.http('Content-Length: 100\r\n'),
  }
  for (const [name, bytes] of Object.entries(rows))
    await t.test(name, (t) => expectRefused(t, hostile, bytes, closed).then(() => undefined))
})

t.test('D1 whoever answers the challenge is served on that connection', async (t) => {
  const hostile = await startHostile(t, { settings: { tokens }, userinfo: (job) => `${job}:${token}` })
  const socket = await openSocket(hostile)
  for (const headers of ['', user('job-1:wrong'), '']) {
    socket.write(roads.connect(headers))
    const answer = await readAnswer(socket, 'GET')
    t.equal(answer.status, 407)
    t.equal(answer.headers['proxy-authenticate'], 'Basic realm="lanekeeper"')
  }
  socket.write(roads.connect(user(`job-1:${token}`)))
  t.equal((await readAnswer(socket, 'CONNECT')).status, 200)
  socket.destroy()
})

refuses(
  'D2 a header of the job twice',
  {
    'the same id': jobId('a') + jobId('a'),
    'two ids': jobId('a') + jobId('b'),
    'in other letters': `${jobId('a')}x-job-id: a\r\n`,
    'far apart': `${jobId('a')}${'Y: z\r\n'.repeat(50)}X-JOB-ID: a\r\n`,
    'one of them empty': `${jobId('a')}X-Job-Id:\r\n`,
    'three times': jobId('a').repeat(3),
    'two types': `${jobId('a')}X-Job-Type: x\r\nX-Job-Type: x\r\n`,
    'two institutions': `${jobId('a')}X-Job-Institution: x\r\nx-job-institution: y\r\n`,
    'beside credentials that agree': user('a:x') + jobId('a') + jobId('a'),
  },
  malformed,
  { on: every },
)

const ids = {
  'a list': 'a, b',
  'a list without a space': 'a,b',
  empty: '',
  blanks: '   ',
  tabs: '\t\t',
  'a space inside': 'a b',
  'a tab inside': 'a\tb',
  'UTF-8': 'j\xc3\xbc',
  Latin1: 'j\xfc',
  'a byte above 0x7f': '\xff',
  '129 characters': 'a'.repeat(129),
  '8,000 characters': 'a'.repeat(8000),
  'a percent sign': 'job%2F42',
  'a slash': 'job/42',
  'in quotes': '"42"',
  'a key of the proxy user': 'job=42',
  'a parameter': '42;type=payment',
  'a hyphen in front': '-42',
  'a dot in front': '.42',
  'a comment': '42 (a)',
} as const

refuses(
  'D3 an id that is none',
  Object.fromEntries(Object.entries(ids).map(([name, id]) => [name, jobId(id)])),
  malformed,
)

refuses(
  'D3 a type or an institution that is none',
  {
    'an empty type': `${jobId('a')}X-Job-Type:\r\n`,
    'a type with a colon': `${jobId('a')}X-Job-Type: a:b\r\n`,
    'a type of 65 characters': `${jobId('a')}X-Job-Type: ${'a'.repeat(65)}\r\n`,
    'any type': `${jobId('a')}X-Job-Type: *\r\n`,
    'any institution': `${jobId('a')}X-Job-Institution: *\r\n`,
    'an institution with a space': `${jobId('a')}X-Job-Institution: a b\r\n`,
    'a type of the proxy user': user('job=a,type=a b:x'),
  },
  malformed,
  { on: ['connect', 'own'] },
)

knows('D3 an id at its limits, and blanks around it', {
  '128 characters': [jobId('a'.repeat(128)), 'a'.repeat(128)],
  'every sign': [jobId('A0._~:@+-'), 'A0._~:@+-'],
  'blanks around it': [`X-Job-Id: \t 42 \t\r\n`, '42'],
  'no blank': ['X-Job-Id:42\r\n', '42'],
})

refuses(
  'D4 names that are only like the header of the job',
  {
    underscores: 'X_Job_Id: a\r\n',
    'underscores in lower case': 'x_job_id: a\r\n',
    'one underscore': 'X-Job_Id: a\r\n',
    'a letter more': 'X-Job-Ids: a\r\n',
    'a letter less': 'X-Job-I: a\r\n',
    'a prefix': 'Y-X-Job-Id: a\r\n',
    'no hyphens': 'XJobId: a\r\n',
    'a hyphen more': 'X--Job-Id: a\r\n',
    'Authorization, which is for the target': `Authorization: ${basic('a:x')}\r\n`,
    'credentials with an underscore': `Proxy_Authorization: ${basic('a:x')}\r\n`,
  },
  unknown,
  { on: ['connect', 'http'] },
)

refuses(
  'D4 the name with a blank behind it',
  { 'a space': 'X-Job-Id : a\r\n', 'a tab': 'X-Job-Id\t: a\r\n' },
  malformed,
)

knows('D4 the name in any letters, and what is only like it beside it', {
  'lower case': ['x-job-id: a\r\n', 'a'],
  'upper case': ['X-JOB-ID: a\r\n', 'a'],
  mixed: ['x-JoB-iD: a\r\n', 'a'],
  'another with underscores': [`X_Job_Id: b\r\n${jobId('a')}x_job_id: c\r\n`, 'a'],
})

refuses(
  'D5 header and credentials that differ',
  {
    ids: jobId('a') + user('b:x'),
    'ids, the other way round': user('b:x') + jobId('a'),
    'ids in other letters': jobId('a') + user('A:x'),
    'ids, by key': jobId('a') + user('job=b,type=t:x'),
    types: `${jobId('a')}X-Job-Type: t\r\n${user('job=a,type=u:x')}`,
    institutions: `X-Job-Institution: i\r\n${user('job=a,institution=j:x')}`,
  },
  malformed,
  { on: every },
)

knows('D5 header and credentials that agree, or complete each other', {
  both: [jobId('a') + user('a:x'), 'a'],
  'the type from one': [`X-Job-Type: t\r\n${user('b:x')}`, 'b'],
  'a password alone': [jobId('c') + user(':x'), 'c'],
})

const encoded = (text: string) => Buffer.from(text, 'latin1').toString('base64')

refuses(
  'D6 credentials that cannot be read',
  {
    'the scheme alone': authorization('Basic'),
    'the scheme and a blank': authorization('Basic '),
    nothing: authorization(''),
    'no base64': authorization(`Basic a:${token}`),
    'base64 for URLs': authorization(
      `Basic ${encoded('a?>:?>?>').replaceAll('/', '_').replaceAll('+', '-')}`,
    ),
    'padding left out': authorization(`Basic ${encoded(`a:${token}`).replaceAll('=', '')}`),
    'padding inside': authorization(`Basic ${encoded('a:x')}=${encoded('b:x')}`),
    'too much padding': authorization(`Basic ${encoded('a:xyz')}====`),
    'a blank inside': authorization(`Basic ${encoded('a:x').slice(0, 2)} ${encoded('a:x').slice(2)}`),
    'a tab behind the scheme': authorization(`Basic\t${encoded('a:x')}`),
    'no colon': authorization(`Basic ${encoded(token)}`),
    'an escaped colon': authorization(`Basic ${encoded(`a%3A${token}`)}`),
    NUL: authorization(`Basic ${encoded(`a\0:${token}`)}`),
    'NUL in the password': authorization(`Basic ${encoded(`a:${token}\0`)}`),
    'a line end': authorization(`Basic ${encoded(`a:${token}\r\nX-Job-Id: b`)}`),
    'a tab in the user': authorization(`Basic ${encoded('a\tb:x')}`),
    DEL: authorization(`Basic ${encoded('a\x7f:x')}`),
    'Latin-1 in the user': authorization(`Basic ${encoded('j\xfc:x')}`),
    'more than 4 KiB': authorization(`Basic ${encoded(`a:${'x'.repeat(4096)}`)}`),
    '12 KB': authorization(`Basic ${encoded(`a:${'x'.repeat(9000)}`)}`),
    'two in one line': authorization(`Basic ${encoded('a:x')}, Basic ${encoded('a:x')}`),
    'a parameter': authorization(`Basic ${encoded('a:x')};charset=UTF-8`),
    'no scheme': authorization(encoded(`a:${token}`)),
    'a colon behind the scheme': authorization(`Basic: ${encoded('a:x')}`),
    'in quotes': authorization(`"Basic ${encoded('a:x')}"`),
    'the id empty': user('job=:x'),
    'no id': user('type=t:x'),
    'an unknown key': user('job=a,colour=red:x'),
    'a key twice': user('job=a,job=a:x'),
    'a key of every object': user('job=a,__proto__=b:x'),
    'a comma at the end': user('job=a,:x'),
    'a space behind a comma': user('job=a, type=t:x'),
  },
  malformed,
)

refuses(
  'D6 another scheme than Basic',
  {
    Bearer: authorization(`Bearer ${token}`),
    Digest: authorization('Digest username="a", realm="r", nonce="n", uri="h:443", response="0"'),
    Negotiate: authorization('Negotiate YIIB'),
    NTLM: authorization('NTLM TlRMTVNTUAAB'),
    'one that begins like Basic': authorization(`Basics ${encoded('a:x')}`),
    'one that ends like Basic': authorization(`XBasic ${encoded('a:x')}`),
    'Basic!': authorization(`Basic! ${encoded('a:x')}`),
  },
  unknown,
)

knows('D6 the scheme in any letters', {
  'lower case': [authorization(`basic ${encoded('a:x')}`), 'a'],
  'upper case': [authorization(`BASIC ${encoded('a:x')}`), 'a'],
  'several blanks behind it': [authorization(`Basic    ${encoded('a:x')}`), 'a'],
  'blanks around it': [authorization(`  Basic ${encoded('a:x')}  `), 'a'],
  'any byte in the password': [authorization(`Basic ${encoded('a:\xfc\xff:%00')}`), 'a'],
  'nearly 4 KiB': [authorization(`Basic ${encoded(`a:${'x'.repeat(3000)}`)}`), 'a'],
})

const withTokens = { settings: { tokens }, userinfo: (job: string) => `${job}:${token}` }

refuses(
  'D6 a token that is not ours',
  {
    none: jobId('a'),
    'an empty one': user('a:'),
    another: user('a:open-sesame'),
    'in other letters': user(`a:${token.toUpperCase()}`),
    'the begin of ours': user(`a:${token.slice(0, -1)}`),
    'ours and more': user(`a:${token}x`),
    'ours and a blank': user(`a:${token} `),
    'ours and NEL': authorization(`Basic ${encoded(`a:${token}\x85`)}`),
    'ours, escaped': user(`a:%73${token.slice(1)}`),
    'ours as the user': user(`${token}:`),
    'its name': user('a:payments'),
    'in Authorization, which is for the target': `${jobId('a')}Authorization: ${basic(`a:${token}`)}\r\n`,
  },
  unknown,
  withTokens,
)

knows(
  'D6 a token of ours',
  { 'with any user': [user(`a:${token}`), 'a'], 'with a header': [user(`:${token}`) + jobId('b'), 'b'] },
  withTokens,
)

refuses(
  'D7 credentials twice',
  {
    'the same ones': user('a:x') + user('a:x'),
    'two jobs': user('a:x') + user('b:x'),
    'in other letters': `${user('a:x')}proxy-authorization: ${basic('a:x')}\r\n`,
    'two schemes': user('a:x') + authorization(`Bearer ${token}`),
    'one of them empty': `${user('a:x')}Proxy-Authorization:\r\n`,
  },
  malformed,
  { on: every },
)

refuses(
  'D7 two of them for a request of our own, where Authorization may stand in',
  {
    'that differ': `${user('a:x')}Authorization: ${basic('b:x')}\r\n`,
    'Authorization twice': `Authorization: ${basic('a:x')}\r\n`.repeat(2),
  },
  malformed,
  { on: ['own'] },
)

knows('D8 an id with escapes is decoded once', {
  'as axios sends it': [user('job%3D42%2Ctype%3Dpayment:x'), '42'],
  'a colon': [user('a%3Ab:x'), 'a:b'],
  'letters that need none': [user('%6a%6F%62-1:x'), 'job-1'],
})

refuses(
  'D8 and what it is then must be an id',
  {
    'a slash': user('job%2F42:x'),
    'a percent sign': user('job%2542:x'),
    'a percent sign, twice': user('job%252F42:x'),
    NUL: user('job%00:x'),
    'a line end': user('job%0d%0aX-Job-Id:%20b:x'),
    'no escape': user('job%4z:x'),
    'half an escape': user('job%4:x'),
    'UTF-8': user('j%C3%BC:x'),
    'in a header, which knows no escapes': jobId('job%2D42'),
  },
  malformed,
)

const foul = [
  `__proto__ * {a} a} ../.. .. /etc/passwd a* a? ?a [a] a\\b $a a$b a\`b a'b a"b a|b a&b a<b a>b a#b !a ~a @a +a :a _a`,
  'lk:{f}:pins a{b} %s ${x} #{x} {{x}} <script> a;drop (a) a=b a,b a^b \\u0061 $(a) ;a',
].flatMap((some) => some.split(' '))

refuses(
  'D9 ids that mean something to somebody else',
  {
    ...Object.fromEntries(foul.map((id) => [`${id} by header`, jobId(id)])),
    'a command of Redis': authorization(`Basic ${encoded('a\r\nDEL x:x')}`),
    'a command of Redis, escaped': user('a%0D%0ADEL%20x:x'),
  },
  malformed,
)

refuses(
  'D9 by the proxy user as well',
  // What stands behind a colon is the password.
  Object.fromEntries(foul.filter((id) => !id.includes(':')).map((id) => [id, user(`job=${id}:x`)])),
  malformed,
)

t.test('D9 ids that every object has are jobs like others', async (t) => {
  const hostile = await startHostile(t)
  for (const id of ['constructor', 'toString', 'hasOwnProperty', 'valueOf', 'null', 'undefined', 'NaN', '0'])
    await t.test(id, async (t) => {
      const before = await answerTo(hostile, roads.own(jobId(id)))
      before.socket.destroy()
      t.equal(before.status, 404, 'pinned nowhere')
      const first = await answerTo(hostile, roads.connect(jobId(id)), 'CONNECT')
      first.socket.destroy()
      t.equal(first.status, 200)
      const after = await answerTo(hostile, roads.own(jobId(id)))
      after.socket.destroy()
      t.match(JSON.parse(after.body.toString()), { id, upstream: { id: first.headers['x-upstream-id']! } })
      const type = await answerTo(
        hostile,
        roads.connect(`${jobId(`of-${id}`)}X-Job-Type: ${id}\r\n`),
        'CONNECT',
      )
      type.socket.destroy()
      t.equal(type.status, 200, 'as a type, too')
    })
})

t.test('D10 ever new jobs: what they leave is bounded, and who is pinned goes on', async (t) => {
  const upstream = await startScriptedUpstream(establishing())
  t.teardown(upstream.stop)
  const life = { idleMs: 600_000, maxLifeMs: 86_400_000 }
  const store = openMemoryStore({ life, now: Date.now, limits: { ...storeLimits, maxPins: 20 } })
  t.teardown(() => store.close())
  const settings = { knownPins: 10, tunnelsPerJob: 5, life }
  const { gatewayPort, gateway, facts, stop } = await startGateway({ upstreams: [upstream], store, settings })
  t.teardown(stop)
  const statuses: number[] = []
  for (let n = 0; n < 200; n++) {
    const answer = await connectThrough({ gatewayPort, target, userinfo: `job-${n}:x` })
    answer.socket.destroy()
    statuses.push(answer.status)
    if (answer.status === 200) continue
    t.equal(answer.status, 429)
    t.match(answer.headers, {
      'retry-after': /^\d+$/,
      'proxy-status': 'lanekeeper; error=http_request_denied; details="rate_limited"',
    })
  }
  t.equal(statuses.filter((status) => status === 200).length, 20)
  const ask = async (id: string) => {
    const { status, socket } = await connectThrough({ gatewayPort, target, userinfo: `${id}:x` })
    socket.destroy()
    return status
  }
  t.equal(await ask('job-0'), 200)
  await until('no tunnel is left', () => gateway.tunnels.count === 0)
  await until('all uses are told to the store', () => gateway.known.dirty.size === 0)
  t.ok(await gateway.pinning.release('job-0', 'job'))
  t.equal(await ask('another'), 200, 'in the place of one that is over')
  t.ok(gateway.known.size <= 10, `${gateway.known.size} pins are remembered`)
  await until('no tunnel is left', () => gateway.tunnels.count === 0)
  t.equal(gateway.limits.counted, 0, 'no job is counted')
  t.equal(facts.of('request_refused').length, 180)
})

/** Tells the target's side what came through the tunnel, and answers it. */
function recording(seen: string[]): Script {
  return ({ socket }) => {
    socket.write(established)
    socket.once('end', () => socket.end())
    socket.resume().on('data', (chunk: Buffer) => {
      seen.push(chunk.toString('latin1'))
      if (chunk.includes('\r\n\r\n')) socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
    })
  }
}

t.test(
  'D11 Connection names the header of the job: it is read first, and goes no further anyway',
  async (t) => {
    const seen: string[] = []
    const hostile = await startHostile(t, { script: recording(seen), ...withTokens })
    const rows: { readonly [name: string]: string } = {
      'X-Job-Id': `Connection: X-Job-Id\r\n${jobId('a')}${user(`:${token}`)}`,
      'behind it': `${jobId('a')}${user(`:${token}`)}Connection: x-job-id\r\n`,
      'Proxy-Authorization': `Connection: keep-alive, Proxy-Authorization\r\n${user(`a:${token}`)}`,
      'all of them': `Connection: X-Job-Id, X-Job-Type, Proxy-Authorization, Host\r\n${user(`a:${token}`)}${jobId('a')}`,
      none: `${user(`a:${token}`)}${jobId('a')}Proxy-Connection: keep-alive\r\nX-Job-Other: x\r\n`,
    }
    for (const [name, headers] of Object.entries(rows)) {
      for (const road of ['connect', 'http', 'upgrade'] as const)
        await t.test(`${road}: ${name}`, async (t) => {
          const answer = await answerTo(hostile, roads[road](headers), road === 'connect' ? 'CONNECT' : 'GET')
          answer.socket.destroy()
          t.equal(answer.status, 200)
          t.equal(hostile.gateway.facts.of('tunnel_opened').at(-1)?.job.id, 'a')
          await until('its tunnel has ended', () => hostile.gateway.gateway.tunnels.count === 0)
        })
    }
    const all = seen.join('') + hostile.upstreams.flatMap(({ heads }) => heads).join('')
    t.match(all, /^GET \/ HTTP\/1\.1\r\nHost: 127\.0\.0\.1\r\n/m)
    t.notMatch(all, /x-job|proxy-|sesame/i)
  },
)

t.test('who is calling is asked of each request, never inherited from the one before', async (t) => {
  const hostile = await startHostile(t, { script: recording([]), ...withTokens })
  const socket = await openSocket(hostile)
  const ask = async (bytes: string, method = 'GET') => {
    socket.write(bytes)
    return (await readAnswer(socket, method)).status
  }
  t.equal(await ask(roads.http(user(`a:${token}`))), 200)
  t.equal(await ask(roads.http('')), 407)
  t.equal(await ask(roads.own(jobId('a'))), 407)
  t.equal(await ask(roads.connect(jobId('a'))), 407)
  t.equal(await ask(roads.connect(user(`b:${token}`)), 'CONNECT'), 200)
  t.equal(hostile.gateway.facts.of('tunnel_opened').at(-1)?.job.id, 'b')
  socket.destroy()
})
