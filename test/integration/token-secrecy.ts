// What a running process prints and answers: names of tokens and ids of keys, and never a secret, whatever is sent to it. One
// process for all tests of this file, at the level that tells the most.

import t from 'tap'
import { runCli } from '../fixtures/command-line.ts'
import { startLanekeeper } from '../fixtures/processes.ts'
import { readAnswer } from '../fixtures/raw-answer.ts'
import { basic, connectThrough, openSocket } from '../fixtures/raw-client.ts'
import { establishing, saying, startScriptedUpstream, type Script } from '../fixtures/scripted-upstream.ts'
import { writeSettings } from '../fixtures/settings-file.ts'
import { until } from '../fixtures/until.ts'

const given = {
  static: 'hush-static-token',
  key: 'hush-key-of-thirty-two-characters',
  admin: 'hush-admin-token',
  look: 'hush-looking-token',
  upstream: 'hush-upstream-password',
  /** Of nobody: what somebody sends by mistake. */
  wrong: 'hush-wrong-token',
  cookie: 'hush-cookie-of-a-target',
}
const target = '127.0.0.1:4433'

/** The answer of a target inside the tunnel, with what node's parser takes amiss behind a secret. */
const brokenTarget = establishing({
  glued: `HTTP/1.1 200 OK\r\nSet-Cookie: a=${given.cookie}\r\nbroken\r\n\r\n`,
})
const scripts: { readonly [part: string]: Script } = {
  broken: brokenTarget,
  refusing: saying(`HTTP/1.1 407 No\r\nX-Seen: ${given.upstream}\r\n\r\n`),
  malformed: saying(`SSH-2.0 ${given.upstream}\r\n\r\n`),
  resetting: ({ socket }) => void socket.resetAndDestroy(),
}
/** What its upstream does is told by the type of a job. */
const upstreams = await Promise.all(
  [...Object.entries(scripts), ['open', establishing()] as const].map(async ([type, script]) => {
    const { port, stop } = await startScriptedUpstream(script)
    t.teardown(stop)
    return { id: `up-${type}`, host: '127.0.0.1', port, credentials: 'own', labels: { type } }
  }),
)
const lanekeeper = await startLanekeeper({
  PROVIDER: 'static',
  LANEKEEPER_CONFIG: await writeSettings(t, {
    static: { upstreams },
    // Else those that never open a tunnel would never get a job.
    probes: { everyMs: 0 },
    credentials: { own: `keeper:${given.upstream}` },
    restrictions: upstreams.map(({ id, labels: { type } }) => ({
      id,
      kind: 'exclusive',
      type,
      upstreams: { ids: [id] },
    })),
  }),
  GATEWAY_TOKENS: `platform:${given.static}`,
  GATEWAY_TOKEN_KEYS: `k1:${given.key}`,
  ADMIN_TOKEN: given.admin,
  ADMIN_READ_TOKEN: given.look,
  ALLOW_PRIVATE_TARGETS: 'true',
  TARGET_PORTS: '*',
  LOG_LEVEL: 'trace',
})
t.teardown(() => lanekeeper.stop())
const gatewayPort = lanekeeper.gatewayPort!
const env = { ADMIN_URL: `http://127.0.0.1:${lanekeeper.adminPort}`, ADMIN_TOKEN: given.admin }
const answers: string[] = []

/** To the gateway, or the admin port; what comes back is kept. @returns the status, null where there was no answer */
async function say(bytes: string | Buffer, port = gatewayPort): Promise<number | null> {
  const socket = await openSocket({ gatewayPort: port })
  socket.on('error', () => {})
  socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  try {
    const { head, body, status } = await readAnswer(socket, 'GET')
    answers.push(head + body.toString())
    return status
  } catch {
    return null
  } finally {
    socket.destroy()
  }
}

function tellsNothing(of: readonly string[]): string[] {
  const all = lanekeeper.output() + answers.join('\n')
  return of.filter((secret) => tracesOf(secret).some((trace) => all.includes(trace)))
}

/** As it is, in base64 wherever it stands in the text, and as the numbers of a printed Buffer. */
function tracesOf(secret: string): string[] {
  const inBase64 = ['', 'x', 'xx'].map((before) => {
    const text = Buffer.from(before + secret).toString('base64')
    return text.slice(before === '' ? 0 : 4, -4)
  })
  const bytes = [...Buffer.from(secret)]
  const hex = bytes.map((byte) => byte.toString(16).padStart(2, '0'))
  return [secret, ...inBase64, bytes.join(','), hex.join(' '), hex.join('')]
}

t.test('a secret would be found, however it was printed', async (t) => {
  const secret = 'hush-that-is-printed'
  const printed = [
    `Proxy-Authorization: ${basic(`42:${secret}`)}`,
    `Proxy-Authorization: ${basic(`4:${secret}`)}`,
    `Proxy-Authorization: ${basic(`:${secret}`)}`,
    JSON.stringify({ rawPacket: Buffer.from(`GET ${secret}`) }),
    `<Buffer ${Buffer.from(secret).toString('hex').replace(/../g, '$& ')}>`,
  ]
  for (const text of printed)
    t.ok(
      tracesOf(secret).some((trace) => text.includes(trace)),
      text,
    )
})

t.test('who was let in is told by name, from the command line to the log', async (t) => {
  const made = await runCli(['token', '--job', 'job-1', '--type', 'open', '--ttl', '5m'], env)
  t.strictSame([made.code, made.err], [0, ''])
  const token = made.out.trimEnd()
  t.match(token, /^lk1\.k1\.[\w-]+\.[\w-]{43}$/, 'it alone')
  const { proxyUser } = JSON.parse((await runCli(['token', '--job', 'job-2', '--json'], env)).out) as {
    proxyUser: string
  }
  t.equal(proxyUser, 'job=job-2')

  for (const userinfo of [`:${token}`, `job=static-1,type=open:${given.static}`]) {
    const answer = await connectThrough({ gatewayPort, target, userinfo })
    t.equal(answer.status, 200)
    answer.socket.destroy()
  }
  const denied = await connectThrough({ gatewayPort, target, userinfo: `job-3:${token}` })
  denied.socket.destroy()
  answers.push(denied.head + denied.body.toString())
  t.equal(denied.status, 403)

  const closed = () => lanekeeper.output().match(/"msg":"tunnel closed"/g)?.length ?? 0
  await until('both tunnels have ended', () => closed() === 2)
  const lines = lanekeeper
    .output()
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as { readonly msg: string })
  const of = (msg: string) => lines.filter((line) => line.msg === msg)
  t.match(of('token minted'), [
    { job: 'job-1', type: 'open', keyId: 'k1', expiresAt: /Z$/ },
    { job: 'job-2', type: null, keyId: 'k1' },
  ])
  for (const msg of ['tunnel opened', 'tunnel closed'])
    t.match(of(msg), [
      { job: 'job-1', token: null, tokenKey: 'k1' },
      { job: 'static-1', token: 'platform', tokenKey: null },
    ])
  t.match(of('request refused'), [{ code: 'job_denied', detail: /job "job-3".*job "job-1" only/ }])
  const [, , payload, mac] = token.split('.')
  t.strictSame(tellsNothing([token, payload!, mac!, ...Object.values(given)]), [])
})

t.test('what is malformed, or wrong, is told of without what was sent', async (t) => {
  const { wrong } = given
  const bad = (userinfo: string) => `Proxy-Authorization: ${basic(userinfo)}\r\n`
  const right = bad(`42:${given.static}`)
  const connect = (lines: string, behind = '') =>
    `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${lines}\r\n${behind}`
  const get = (lines: string, url = `http://${target}/`) => `GET ${url} HTTP/1.1\r\nHost: h\r\n${lines}\r\n`
  const post = (lines: string, body: string) =>
    `POST http://${target}/ HTTP/1.1\r\nHost: h\r\n${lines}\r\n${body}`
  const rows: [name: string, bytes: string, status: number | null][] = [
    ['a wrong token', connect(bad(`42:${wrong}`)), 407],
    ['a wrong token in plain HTTP', get(bad(`42:${wrong}`)), 407],
    ['a wrong token as the user', connect(bad(`${wrong}:x`)), 407],
    ['a wrong job token', connect(bad(`42:lk1.k1.${wrong}.${'A'.repeat(43)}`)), 407],
    ['a job token of a key named so', connect(bad(`42:lk1.${wrong}.e30.${'A'.repeat(43)}`)), 407],
    ['another scheme', connect(`Proxy-Authorization: Bearer ${wrong}\r\n`), 407],
    ['a scheme forgotten', connect(`Proxy-Authorization: ${wrong}\r\n`), 407],
    ['no base64', connect(`Proxy-Authorization: Basic 42:${wrong}\r\n`), 400],
    ['no colon', connect(bad(wrong)), 400],
    ['a line end in the password', connect(bad(`42:${wrong}\r\nX: y`)), 400],
    ['two of them', connect(bad(`42:${wrong}`) + right), 400],
    ['more than 4 KiB', connect(bad(`42:${wrong.repeat(300)}`)), 400],
    ['a right one, and a job that is none', connect(bad(`a b:${given.static}`)), 400],
    ['a right one, and a word that is none', connect(bad(`job=42,pool=a:${given.static}`)), 400],
    ['a right one, and a target that is none', connect(right).replaceAll(target, 'h'), 400],
    ['behind a header that is none', connect(`${right}no colon\r\n`), 400],
    ['before a NUL', connect(`${right}X: \0\r\n`), 400],
    ['folded', connect(`${right} folded: ${wrong}\r\n`), 400],
    ['in a head that is too large', connect(`${right}X: ${'x'.repeat(20_000)}\r\n`), 431],
    ['with too many lines', connect(right + 'X: y\r\n'.repeat(150)), 431],
    ['with a body', connect(`${right}Content-Length: ${wrong.length}\r\n`, wrong), 400],
    ['with two lengths', post(`${right}Content-Length: 1\r\nContent-Length: 2\r\n`, wrong), 400],
    ['with both framings', post(`${right}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n`, wrong), 400],
    ['with an unknown expectation', get(`${right}Expect: foo\r\n`), 417],
    ['HTTP of another time', connect(right).replace('HTTP/1.1', 'HTTP/2.0'), 505],
    ['for ourselves', get(`Authorization: ${basic(`42:${wrong}`)}\r\n`, '/v1/job'), 407],
    ['for ourselves, nowhere', get(right, `/v1/jobs?token=${wrong}`), 400],
    ['credentials in a URL', get(right, `http://u:${wrong}@${target}/`), 400],
    ['credentials in a target', connect(right).replace(target, `u:${wrong}@${target}`), 400],
  ]
  for (const [name, bytes, status] of rows) t.equal(await say(bytes), status, name)
  await until('the last is on record', () => lanekeeper.output().includes('"status":505'))
  t.strictSame(tellsNothing([wrong, given.static]), [])
})

t.test('nor what is wrong with an upstream or a target', async (t) => {
  const statuses = []
  for (const type of Object.keys(scripts)) {
    const { status, head, body, socket } = await connectThrough({
      gatewayPort,
      target,
      userinfo: `job=${type},type=${type}:${given.static}`,
    })
    socket.destroy()
    answers.push(head + body.toString())
    const lines = `Proxy-Authorization: ${basic(`job=plain-${type},type=${type}:${given.static}`)}\r\n`
    statuses.push([type, status, await say(`GET http://${target}/ HTTP/1.1\r\nHost: h\r\n${lines}\r\n`)])
  }
  t.strictSame(statuses, [
    ['broken', 200, 502],
    ['refusing', 502, 502],
    ['malformed', 502, 502],
    ['resetting', 502, 502],
  ])
  t.strictSame(tellsNothing([given.static, given.upstream, given.cookie]), [])
})

t.test('nor the admin port', async (t) => {
  const bearer = (token: string) => `Host: 127.0.0.1\r\nAuthorization: Bearer ${token}\r\n`
  const json = 'Content-Type: application/json\r\n'
  const mint = (token: string, body: string) =>
    `POST /v1/tokens HTTP/1.1\r\n${bearer(token)}${json}Content-Length: ${body.length}\r\n\r\n${body}`
  const rows: [name: string, bytes: string, status: number][] = [
    ['a wrong token', `GET /v1/fleet HTTP/1.1\r\n${bearer(given.wrong)}\r\n`, 401],
    ['the token to look', `GET /v1/fleet HTTP/1.1\r\n${bearer(given.look)}\r\n`, 200],
    ['the token to look, for a change', mint(given.look, '{"job":"42"}'), 403],
    ['a body that is none', mint(given.admin, `{"job": "${given.wrong}`), 400],
    ['a job that is none', mint(given.admin, `{"job":"a ${given.wrong}"}`), 400],
    ['a header that is none', `GET /v1/fleet HTTP/1.1\r\n${bearer(given.admin)}no colon\r\n\r\n`, 400],
    [
      'a head that is too large',
      `GET / HTTP/1.1\r\n${bearer(given.admin)}X: ${'x'.repeat(20_000)}\r\n\r\n`,
      431,
    ],
  ]
  for (const [name, bytes, status] of rows) t.equal(await say(bytes, lanekeeper.adminPort!), status, name)
  t.strictSame(tellsNothing(Object.values(given)), [])
})
