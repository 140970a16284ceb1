// Section 2.4 (E) of the hostile inputs, and F13, through the real listener: the heads of plain http:// requests. Refused rows
// go through the helper; accepted ones say what a strict origin read, and that the next request is read for what it is.
// Bodies, Expect, pipelines and answers (E6 to E13, E21 to E23, E25, E26): hostile-plain-bodies.

import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import { expectRefused, startHostile, type Refusal } from '../fixtures/hostile.ts'
import {
  identity,
  malformed,
  reaches,
  refuseAll,
  request,
  roundTrip,
  secret,
  startPlain,
  url,
  type World,
} from '../fixtures/plain-world.ts'
import { readAnswer, readBytes } from '../fixtures/raw-answer.ts'
import { openSocket } from '../fixtures/raw-client.ts'
import { established, type Script } from '../fixtures/scripted-upstream.ts'
import type { OriginRequest } from '../fixtures/strict-origin.ts'
import { until } from '../fixtures/until.ts'

t.test('E1, E2, E3: what is not http://host/', async (t) => {
  const world = await startPlain(t)
  const line = (target: string, method = 'GET') =>
    `${method} ${target} HTTP/1.1\r\nHost: bank.example\r\n${identity}\r\n`
  const password = { ...malformed, secrets: [secret, 'pa55'] }
  await refuseAll(t, world, [
    ...['/', '/index.html', '/v1/job/', '//bank.example/', '/http://bank.example/', '*'].map(
      (target) => [`E1: ${target}`, line(target)] as const,
    ),
    ['E1: POST', line('/login', 'POST')],
    ...[
      'https',
      'HTTPS',
      'ftp',
      'gopher',
      'file',
      'ws',
      'wss',
      'javascript',
      'http+unix',
      'httpx',
      'htt',
    ].map((scheme) => [`E2: ${scheme}:`, line(`${scheme}://bank.example/`)] as const),
    ...[
      'http:///x',
      'http://',
      'http:/bank.example/',
      'http:bank.example',
      'http//bank.example/',
      '://bank.example/',
      'bank.example:80',
      'bank.example/',
      'http://h\\@x/',
      'http://h\\x/',
      'http:\\\\bank.example\\',
      'http://bank.example:/',
      'http://bank.example:0/',
      'http://bank.example:65616/',
      'http://bank.example:+80/',
      'http://bank.example:80:80/',
      'http://[::1/',
      'http://bank.example%2f@x/',
      'http://bank.example%00/',
      'http://bank.example/a"b\\\xe9',
      'view-source:http://bank.example/',
      'http://http://bank.example/',
    ].map((target) => [`E2: ${target}`, line(target)] as const),
    // Dropping it quietly would send a request without what its sender relies on.
    ['E3: user and password', line('http://user:pa55@bank.example/'), password],
    ['E3: a password alone', line('http://:pa55@bank.example/'), password],
    ['E3: an empty user', line('http://@bank.example/')],
    ['E3: two of them', line('http://user:pa55@user:pa55@bank.example/'), password],
    ['E3: percent-encoded', line('http://user%40x:pa55@bank.example/'), password],
  ])
})

t.test('E4, E5: Host', async (t) => {
  const world = await startPlain(t)
  const rows = {
    'E4: another host': 'Host: other.example\r\n',
    'E4: another port': 'Host: 127.0.0.1:9\r\n',
    'E4: no port': 'Host: 127.0.0.1\r\n',
    'E4: an empty one': 'Host:\r\n',
    "E4, E24: the upstream's own page": 'Host: tinyproxy.stats\r\n',
    'E4: an address': 'Host: [::1]:80\r\n',
    'E4: in other letters': 'hOST: other.example\r\n',
  }
  for (const [name, host] of Object.entries(rows))
    await t.test(name, (t) => reaches(t, world, request('', { host }), { headers: [] }))
  await t.test('E5: HTTP/1.0 may do without', (t) =>
    reaches(t, world, request('', { host: '', version: '1.0' }), { headers: [] }),
  )
  await refuseAll(t, world, [
    ['E5: none', request('', { host: '' })],
    ['E5: two', request('', { host: 'Host: 127.0.0.1:8080\r\nHost: other.example\r\n' })],
    ['E5: the same twice', request('', { host: 'Host: a\r\nhost: a\r\n' })],
    ['E5: two in HTTP/1.0', request('', { host: 'Host: a\r\nHost: b\r\n', version: '1.0' })],
    ...['a b', 'a, b', 'u@a', 'http://a/', 'a/b', 'a?b', 'a#b', 'a:b', 'a\\b', '[a', '\xe9'].map(
      (host) => [`E5: ${host}`, request('', { host: `Host: ${host}\r\n` })] as const,
    ),
  ])
})

t.test('E14, E15, E16: headers of one hop', async (t) => {
  const world = await startPlain(t)
  const rows: [name: string, headers: string, goesOn: string[]][] = [
    [
      'E14: what Connection names, but not what frames or leads',
      'Connection: close, X-Job-Id, Host, Authorization, Content-Length\r\nX-Job-Id: job-1\r\nAuthorization: Bearer x\r\nCookie: a\r\n',
      ['cookie: a'],
    ],
    [
      'E14: on two lines, before and behind, in other letters',
      'X-A: 1\r\nconnection: x-a\r\nX-B: 2\r\nCONNECTION: ,X-B ,, keep-alive\r\nX-C: 3\r\n',
      ['x-c: 3'],
    ],
    [
      'E15: Connection that names itself',
      'Connection: Connection\r\nConnection: connection, Connection\r\n',
      [],
    ],
    ['E15: Proxy-Connection again and again', 'Proxy-Connection: keep-alive\r\n'.repeat(20), []],
    ['E15: names without end', `Connection: ${'x,'.repeat(5000)}\r\nX: 1\r\n`, []],
    [
      'E15: names that are none',
      'Connection: (), \t, __proto__, constructor\r\n__proto__: 1\r\nconstructor: 2\r\n',
      [],
    ],
    [
      'E16: of the hop',
      'Keep-Alive: timeout=5\r\nTE: trailers, deflate\r\nTrailer: X-A\r\nHTTP2-Settings: AAA\r\nUpgrade: h2c\r\n',
      [],
    ],
    [
      'E16: said to proxies',
      'Proxy-Authenticate: x\r\nProxy-Foo: y\r\nPROXY-AUTHORIZATION-INFO: z\r\nX-Job-Id: job-1\r\nX-JOB-ANYTHING: b\r\n',
      [],
    ],
    [
      'E16: words of the client that are for the target',
      'X-Tinyproxy: 10.0.0.1\r\nMax-Forwards: 0\r\n',
      ['x-tinyproxy: 10.0.0.1', 'max-forwards: 0'],
    ],
  ]
  for (const [name, headers, goesOn] of rows)
    await t.test(name, (t) => reaches(t, world, request(headers), { headers: goesOn }))
  await t.test('E16: a trail of proxies is the client’s own word, and gets nothing added', async (t) => {
    const trail = ['forwarded: for=10.0.0.1', 'x-forwarded-for: 10.0.0.1', 'via: 1.0 inner']
    const socket = await openSocket(world)
    t.teardown(() => socket.destroy())
    socket.write(request(trail.map((line) => `${line}\r\n`).join('')))
    t.equal((await readAnswer(socket, 'GET')).status, 200)
    const seen = world.origin.requests.at(-1)!.headers.map(([name, value]) => `${name}: ${value}`)
    t.strictSame(seen.slice(1, -1), trail)
  })
})

t.test('E17: an upgrade', async (t) => {
  const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n'
  /** Says 101 when it is told to. */
  async function startSwitching(t: Test) {
    let heard = ''
    let socket: Socket | null = null
    const script: Script = (connection) => {
      connection.socket.write(established)
      connection.socket.on('error', () => {}).on('end', () => connection.socket.end())
      connection.socket.on('data', (chunk) => {
        socket = connection.socket
        heard += chunk.toString('latin1')
      })
      connection.socket.resume()
    }
    const world = await startHostile(t, { script })
    return { world, heard: () => heard, say: (text: string) => socket!.write(text) }
  }

  await t.test('E17: nothing of the client goes on before the 101, and all of it then', async (t) => {
    const { world, heard, say } = await startSwitching(t)
    const socket = await openSocket(world)
    t.teardown(() => socket.destroy())
    socket.write(`${request(`${upgrade}X-Job-Type: a\r\n`)}early ${request('', { path: '/inner' })}`)
    await until('the target has the head', () => heard().includes('\r\n\r\n'))
    await roundTrip(world)
    t.match(heard(), /\r\n\r\n$/, 'the head alone')
    t.notMatch(heard(), /early|inner|job-1|x-job|proxy-/i)
    say('HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello')
    t.equal((await readAnswer(socket, 'GET')).status, 101)
    t.equal((await readBytes(socket, 5)).toString(), 'hello')
    await until('what waited has come', () => heard().includes('/inner'))
    socket.write('frames')
    await until('and what follows', () => heard().endsWith('frames'))
  })

  const world = await startPlain(t)
  const plain: [name: string, input: string][] = [
    [
      'E17: another protocol is not asked for',
      request('Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n'),
    ],
    ['E17: HTTP/1.0 knows none', request(upgrade, { version: '1.0' })],
    ['E17: an Upgrade that Connection does not name', request('Upgrade: websocket\r\n')],
  ]
  for (const [name, input] of plain) await t.test(name, (t) => reaches(t, world, input, {}))
  const notBoth: Refusal = { status: 501, code: 'bad_request' }
  await refuseAll(t, world, [
    [
      'E17: with a body',
      request(`${upgrade}Content-Length: 3\r\n`, { method: 'POST', body: 'abc' }),
      notBoth,
    ],
    ['E17: with chunks', request(`${upgrade}Transfer-Encoding: chunked\r\n`, { body: '0\r\n\r\n' }), notBoth],
    ['E17: in origin-form', `GET /ws HTTP/1.1\r\nHost: a\r\n${identity}${upgrade}\r\n`],
  ])
})

t.test('E18: TRACE would send the credentials back', async (t) => {
  const world = await startPlain(t)
  const denied: Refusal = { status: 405, code: 'bad_request', token: 'http_request_denied' }
  const rows = ['', 'Max-Forwards: 0\r\n', 'Max-Forwards: 5\r\n', 'Max-Forwards: abc\r\n'].map(
    (headers) => [`E18, E20: TRACE ${headers.trim()}`, request(headers, { method: 'TRACE' })] as const,
  )
  await refuseAll(
    t,
    world,
    [
      ...rows,
      ['E18: in origin-form', `TRACE / HTTP/1.1\r\nHost: a\r\n${identity}\r\n`],
      ['E18: of everything', `TRACE * HTTP/1.1\r\nHost: a\r\n${identity}\r\n`],
      ['E18: with an upgrade', request('Connection: upgrade\r\nUpgrade: websocket\r\n', { method: 'TRACE' })],
    ],
    denied,
  )
})

/** A 200 of our own: no upstream has part in it. */
async function answeredHere(t: Test, world: World, input: string): Promise<void> {
  const bytesBefore = world.bytesToUpstreams()
  const turn = world.next()
  const socket = await openSocket(world)
  t.teardown(() => socket.destroy())
  socket.write(input)
  const answer = await readAnswer(socket, 'OPTIONS')
  t.match(answer, {
    status: 200,
    headers: {
      allow: /GET/,
      'content-length': '0',
      'proxy-status': 'lanekeeper; error=proxy_internal_response',
    },
  })
  t.notMatch(answer.headers['allow'], /TRACE/)
  t.equal(world.bytesToUpstreams(), bytesBefore, 'not one byte to an upstream')
  if (answer.headers['connection'] === 'keep-alive') {
    socket.write(`GET /none HTTP/1.1\r\nHost: a\r\n${identity}\r\n`)
    t.equal((await readAnswer(socket, 'GET')).status, 400, 'the next request is itself')
  }
  t.equal(await world.serveOne(), turn, 'no turn of the ring')
}

t.test('E19, E20: OPTIONS', async (t) => {
  const world = await startPlain(t)
  // Who asks need not say who: the answer tells no more than a refusal would.
  await t.test('E19: *', (t) => answeredHere(t, world, 'OPTIONS * HTTP/1.1\r\nHost: gateway\r\n\r\n'))
  await t.test('E19: * of HTTP/1.0', (t) => answeredHere(t, world, 'OPTIONS * HTTP/1.0\r\n\r\n'))
  await t.test('E19: * with a body', (t) =>
    answeredHere(t, world, 'OPTIONS * HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc'),
  )
  for (const value of ['0', '00', '000000000'])
    await t.test(`E20: Max-Forwards: ${value}`, (t) =>
      answeredHere(t, world, request(`Max-Forwards: ${value}\r\n`, { method: 'OPTIONS' })),
    )
  const counted = { 1: 0, 5: 4, '007': 6, 999999999: 999999998 }
  for (const [value, left] of Object.entries(counted))
    await t.test(`E20: Max-Forwards: ${value}`, (t) =>
      reaches(t, world, request(`Max-Forwards: ${value}\r\n`, { method: 'OPTIONS' }), {
        method: 'OPTIONS',
        headers: [`max-forwards: ${left}`],
      }),
    )
  await t.test('E20: without a path it asks about the target', (t) =>
    reaches(t, world, request('', { method: 'OPTIONS', path: '' }), { method: 'OPTIONS', path: '*' }),
  )
  const bad = [
    'abc',
    '',
    '-1',
    '+1',
    '1.5',
    '0x1',
    '1, 1',
    '1 1',
    '100000000000000000000',
    '1\r\nMax-Forwards: 0',
  ]
  await refuseAll(t, world, [
    ...bad.map(
      (value) =>
        [
          `E20: Max-Forwards: ${value}`,
          request(`Max-Forwards: ${value}\r\n`, { method: 'OPTIONS' }),
        ] as const,
    ),
    [
      'E20: none to count without a job',
      `OPTIONS ${url}/ HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n`,
      { status: 407, code: 'proxy_auth_required', token: 'http_request_denied', connection: 'kept' },
    ],
  ])
})

t.test("E24: the upstream's own pages", async (t) => {
  const world = await startPlain(t)
  const denied: Refusal = { status: 403, code: 'target_denied', token: 'http_request_denied' }
  const line = (target: string) => `GET ${target} HTTP/1.1\r\nHost: bank.example\r\n${identity}\r\n`
  const rows = [
    'tinyproxy.stats',
    'TinyProxy.Stats',
    'tinyproxy.stats.',
    'tinyproxy.stats:80',
    'tinyproxy.stats:8888',
  ]
  await refuseAll(
    t,
    world,
    rows.map((host) => [`E24: ${host}`, line(`http://${host}/`)] as const),
    denied,
  )
  for (const { port } of world.upstreams)
    await t.test("E24: an upstream's port", (t) =>
      expectRefused(t, world, line(`http://127.0.0.1:${port}/`), {
        ...denied,
        token: 'destination_ip_prohibited',
      }).then(() => undefined),
    )
})

t.test('E27: methods', async (t) => {
  const world = await startPlain(t)
  const unknown = [
    'FOO',
    'get',
    'Get',
    'GETT',
    'G',
    'BREW',
    'PRI',
    'TRACK',
    'DEBUG',
    'DESCRIBE',
    'SETUP',
    'GET\0',
    'G,ET',
    '\xc7ET',
  ]
  await refuseAll(
    t,
    world,
    unknown.map((method) => [`E27: ${method}`, request('', { method })] as const),
  )
  // What node:http's parser knows is written again by us, byte for byte what it means: no method of HTTP is for us to forbid.
  for (const method of ['PROPFIND', 'REPORT', 'MKCOL', 'PURGE', 'M-SEARCH', 'LINK', 'QUERY'])
    await t.test(`E27: ${method} goes on`, (t) =>
      reaches(t, world, request('', { method }), { method, framing: 'length' }),
    )
})

t.test('F13: what has been through this gateway before', async (t) => {
  const world = await startPlain(t, undefined, { via: 'gw-a' })
  // Section 2 has 502 for loops; the table of design 11 has 403 for whatever policy refuses.
  const looping: Refusal = { status: 403, code: 'target_denied', token: 'proxy_loop_detected' }
  const seen = [
    'Via: 1.1 gw-a',
    'via: HTTP/1.0 GW-A (comment)',
    'Via: 1.0 inner, 1.1 gw-a, 1.1 outer',
    'Via: 1.0 inner (never closed\r\nVia: 1.1 gw-a',
    'CDN-Loop: lanekeeper',
    'CDN-Loop: other; a=b, gw-a',
    'Connection: Via\r\nVia: 1.1 gw-a',
  ]
  const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\n'
  await refuseAll(
    t,
    world,
    seen.flatMap((line) => [
      [`F13: ${line}`, request(`${line}\r\n`)] as const,
      [`F13: ${line} (upgrade)`, request(`${upgrade}${line}\r\n`)] as const,
      [
        `F13: ${line} (CONNECT)`,
        `CONNECT 127.0.0.1:443 HTTP/1.1\r\nHost: a\r\n${identity}${line}\r\n\r\n`,
      ] as const,
    ]),
    looping,
  )
  await t.test('F13: who is unknown is asked for credentials first', (t) =>
    expectRefused(t, world, `GET ${url}/ HTTP/1.1\r\nHost: a\r\nVia: 1.1 gw-a\r\n\r\n`, {
      status: 407,
      code: 'proxy_auth_required',
      token: 'http_request_denied',
      connection: 'kept',
    }).then(() => undefined),
  )
})

t.test('Via by config', async (t) => {
  const said = 'HTTP/1.0 200 OK\r\nVia: 1.1 inner\r\nContent-Length: 2\r\n\r\nok'
  const switched = 'HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'
  const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\n'
  async function exchange(t: Test, world: World, input: string) {
    const socket = await openSocket(world)
    t.teardown(() => socket.destroy())
    socket.write(input)
    const { headers } = await readAnswer(socket, 'GET')
    const lines = world.origin.requests.at(-1)!.headers.filter(([name]) => name.toLowerCase() === 'via')
    return { asked: lines.map(([, value]) => value).join(', '), answered: headers['via'] ?? '' }
  }
  const isUpgrade = (request: OriginRequest) => request.headers.some(([name]) => name === 'Upgrade')
  const answer = (request: OriginRequest) => (isUpgrade(request) ? switched : said)

  await t.test(
    'with a name, it is written behind those before, in the version of each message',
    async (t) => {
      const world = await startPlain(t, answer, { via: 'gw-a' })
      t.same(await exchange(t, world, request()), { asked: '1.1 gw-a', answered: '1.1 inner, 1.0 gw-a' })
      t.same(await exchange(t, world, request('Via: 1.1 a\r\nvia: 1.0 b\r\n', { version: '1.0' })), {
        asked: '1.1 a, 1.0 b, 1.0 gw-a',
        answered: '1.1 inner, 1.0 gw-a',
      })
      t.same(await exchange(t, world, request(upgrade)), { asked: '1.1 gw-a', answered: '1.1 gw-a' })
    },
  )
  await t.test('without one, nothing is said', async (t) => {
    const world = await startPlain(t, answer)
    t.same(await exchange(t, world, request()), { asked: '', answered: '1.1 inner' })
    t.same(await exchange(t, world, request(upgrade)), { asked: '', answered: '' })
  })
})
