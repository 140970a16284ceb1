// Every code of the table in design 11, as a client of the real listener meets it: status, code, Proxy-Status,
// what to do, and the state of the connection afterwards. And that a refusal costs no turn of a ring.

import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { parseStaticUpstreams } from '../../src/provider/static.ts'
import { closedPort } from '../fixtures/listen.ts'
import { startLanekeeper, type Lanekeeper } from '../fixtures/processes.ts'
import { readAnswer, readToEnd, type Answer } from '../fixtures/raw-answer.ts'
import { basic, connectThrough, getThrough, openSocket, sendRaw } from '../fixtures/raw-client.ts'
import { startRedis } from '../fixtures/redis.ts'
import * as scripted from '../fixtures/scripted-upstream.ts'
import { writeSettings } from '../fixtures/settings-file.ts'
import { until } from '../fixtures/until.ts'

type Settings = { readonly [key: string]: unknown }

async function startGateway(
  t: Test,
  upstreams: readonly number[],
  settings: Settings = {},
  env: { readonly [name: string]: string } = {},
) {
  const gateway = await startLanekeeper({
    PROVIDER: 'static',
    STATIC_UPSTREAMS: upstreams.map((port) => `127.0.0.1:${port}`).join(','),
    ALLOW_PRIVATE_TARGETS: 'true',
    TARGET_PORTS: '*',
    LOG_LEVEL: 'silent',
    // These upstreams count who connects to them.
    LANEKEEPER_CONFIG: await writeSettings(t, { probes: { everyMs: 0 }, ...settings }),
    ...env,
  })
  t.teardown(() => gateway.stop('SIGKILL'))
  return gateway
}

async function startUpstream(t: Test, script: scripted.Script): Promise<scripted.ScriptedUpstream> {
  const upstream = await scripted.startScriptedUpstream(script)
  t.teardown(upstream.stop)
  return upstream
}

/** As the configuration derives it. */
function idOf({ port }: { readonly port: number }): string {
  return parseStaticUpstreams(`127.0.0.1:${port}`).entries[0]!.id
}

/** Asserts all that a refusal must be, and answers its problem document. */
function refused(t: Test, answer: Answer, status: number, code: string, token: string) {
  const problem = JSON.parse(answer.body.toString()) as {
    status: number
    code: string
    detail: string
    title: string
    type: string
  }
  t.equal(answer.status, status)
  t.match(answer.headers['content-type'], /^application\/problem\+json/)
  t.match(problem, { status, code, title: String, detail: String, type: String })
  t.match(answer.headers['proxy-status'], new RegExp(`^lanekeeper; ?error=${token}(;|$)`))
  if ([429, 503].includes(status))
    t.match(answer.headers['retry-after'], /^\d+$/, 'it says when to try again')
  return problem
}

/** A CONNECT and whatever has a body end with their answer; a plain request may be mended on the same connection. */
async function closes(t: Test, { socket, headers }: Answer): Promise<void> {
  if (headers['connection'] === 'close') await readToEnd(socket).catch(() => undefined)
  else t.equal(headers['connection'], 'keep-alive')
  socket.destroy()
}

const target = '127.0.0.1:4433'

t.test('heads that are refused', async (t) => {
  const upstream = await startUpstream(t, scripted.establishing())
  const { gatewayPort: port } = await startGateway(t, [upstream.port], {
    gateway: { headTimeoutMs: 500, tokens: ['t0ken'] },
  })
  const gatewayPort = port!
  const identity = `Proxy-Authorization: ${basic('job-1:t0ken')}\r\n`
  const many = Array.from({ length: 110 }, (_, index) => `X-${index}: y\r\n`).join('')
  const rows: [name: string, bytes: string, status: number, code: string][] = [
    ['no HTTP at all', 'SSH-2.0-OpenSSH_9\r\n\r\n', 400, 'bad_request'],
    ['a TLS hello', '\x16\x03\x01\x02\x00\x01\x00\x01', 400, 'bad_request'],
    ['a target without a port', `CONNECT bank.example HTTP/1.1\r\n${identity}\r\n`, 400, 'bad_request'],
    [
      'a target with userinfo',
      `CONNECT u:p@bank.example:443 HTTP/1.1\r\n${identity}\r\n`,
      400,
      'bad_request',
    ],
    [
      'a CONNECT with a body',
      `CONNECT ${target} HTTP/1.1\r\n${identity}Content-Length: 5\r\n\r\nhello`,
      400,
      'bad_request',
    ],
    [
      'a job id with a space',
      `CONNECT ${target} HTTP/1.1\r\nX-Job-Id: a b\r\n${identity}\r\n`,
      400,
      'bad_request',
    ],
    [
      'two job ids',
      `CONNECT ${target} HTTP/1.1\r\nX-Job-Id: a\r\nX-Job-Id: a\r\n${identity}\r\n`,
      400,
      'bad_request',
    ],
    [
      'identities that differ',
      `CONNECT ${target} HTTP/1.1\r\nX-Job-Id: other\r\n${identity}\r\n`,
      400,
      'bad_request',
    ],
    ['an origin-form request', `GET / HTTP/1.1\r\nHost: gateway\r\n${identity}\r\n`, 400, 'bad_request'],
    [
      'an https URL',
      `GET https://bank.example/ HTTP/1.1\r\nHost: bank.example\r\n${identity}\r\n`,
      400,
      'bad_request',
    ],
    ['no Host', `GET http://bank.example/ HTTP/1.1\r\n${identity}\r\n`, 400, 'bad_request'],
    [
      'TRACE',
      `TRACE http://bank.example/ HTTP/1.1\r\nHost: bank.example\r\n${identity}\r\n`,
      405,
      'bad_request',
    ],
    ['a head that never ends', `CONNECT ${target} HTTP/1.1\r\nX-Slow: `, 408, 'bad_request'],
    [
      'a target of 400 bytes',
      `CONNECT ${'a.'.repeat(200)}example:443 HTTP/1.1\r\n${identity}\r\n`,
      414,
      'bad_request',
    ],
    [
      'an unknown expectation',
      `GET http://bank.example/ HTTP/1.1\r\nHost: bank.example\r\nExpect: tea\r\n${identity}\r\n`,
      417,
      'bad_request',
    ],
    ['too many header lines', `CONNECT ${target} HTTP/1.1\r\n${identity}${many}\r\n`, 431, 'bad_request'],
    [
      'a head of 20 KiB',
      `CONNECT ${target} HTTP/1.1\r\n${identity}X-Long: ${'y'.repeat(20_000)}\r\n\r\n`,
      431,
      'bad_request',
    ],
    [
      'a coding that is not chunked',
      `POST http://bank.example/ HTTP/1.1\r\nHost: bank.example\r\n${identity}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
      501,
      'bad_request',
    ],
    ['HTTP/2.0', `CONNECT ${target} HTTP/2.0\r\n${identity}\r\n`, 505, 'bad_request'],
  ]
  for (const [name, bytes, status, code] of rows) {
    await t.test(name, async (t) => {
      const answer = await sendRaw({ gatewayPort }, Buffer.from(bytes, 'latin1'))
      // Understood, and not allowed (hostile inputs E18).
      refused(t, answer, status, code, status === 405 ? 'http_request_denied' : 'http_request_error')
      await closes(t, answer)
    })
  }
  t.equal(upstream.connections().accepted, 0, 'not one of them reached the upstream')
  const good = await connectThrough({ gatewayPort, target, userinfo: 'job-1:t0ken' })
  t.equal(good.status, 200, 'and a good request is served after all of them')
  good.socket.destroy()
})

t.test('407: who are you', async (t) => {
  const upstream = await startUpstream(t, scripted.establishing())
  const { gatewayPort: port } = await startGateway(t, [upstream.port], {}, { GATEWAY_TOKENS: 't0ken,n3xt' })
  const gatewayPort = port!

  await t.test('no identity: challenged, and the same connection may try again', async (t) => {
    const answer = await connectThrough({ gatewayPort, target })
    refused(t, answer, 407, 'proxy_auth_required', 'http_request_denied')
    t.match(answer.headers['proxy-authenticate'], /^Basic realm=/)
    const { socket } = answer
    socket.write(`CONNECT ${target} HTTP/1.1\r\nProxy-Authorization: ${basic('job-2:n3xt')}\r\n\r\n`)
    const again = await readAnswer(socket, 'CONNECT')
    t.equal(again.status, 200, 'on the challenged connection')
    socket.destroy()
  })

  await t.test('bytes behind the challenged head: closed, and the bytes never parsed', async (t) => {
    const answer = await connectThrough({
      gatewayPort,
      target,
      early: 'GET http://bank.example/ HTTP/1.1\r\n\r\n',
    })
    refused(t, answer, 407, 'proxy_auth_required', 'http_request_denied')
    t.strictSame((await readToEnd(answer.socket)).length, 0, 'there is no second answer')
    answer.socket.destroy()
  })

  await t.test('a wrong token', async (t) => {
    const answer = await connectThrough({ gatewayPort, target, userinfo: 'job-1:wrong' })
    refused(t, answer, 407, 'proxy_auth_required', 'http_request_denied')
    t.notMatch(answer.head + answer.body.toString(), 'wrong', 'which is not repeated')
    answer.socket.destroy()
  })

  await t.test('a plain request', async (t) => {
    const answer = await getThrough({ gatewayPort, url: 'http://bank.example/' })
    refused(t, answer, 407, 'proxy_auth_required', 'http_request_denied')
    answer.socket.destroy()
  })
})

t.test('403: a port that is not allowed, and our own listeners', async (t) => {
  const upstream = await startUpstream(t, scripted.establishing())
  const gateway = await startGateway(t, [upstream.port], {}, { TARGET_PORTS: `443,${upstream.port}` })
  const open = await startGateway(t, [upstream.port])
  const rows: [name: string, gateway: Lanekeeper, target: string][] = [
    ['SMTP', gateway, 'bank.example:25'],
    ['an upstream of the fleet', gateway, `127.0.0.1:${upstream.port}`],
    ['the gateway itself', open, `127.0.0.1:${open.gatewayPort}`],
    ['the admin port', open, `127.0.0.1:${open.adminPort}`],
    ['the metadata server', open, '169.254.169.254:80'],
  ]
  for (const [name, { gatewayPort }, denied] of rows) {
    await t.test(name, async (t) => {
      const answer = await connectThrough({ gatewayPort: gatewayPort!, target: denied, userinfo: 'job-1:x' })
      refused(t, answer, 403, 'target_denied', '[a-z_]+')
      await closes(t, answer)
    })
  }
  t.equal(upstream.connections().accepted, 0)
})

t.test('429: too many lanes', async (t) => {
  const upstream = await startUpstream(t, scripted.establishing())
  const { gatewayPort } = await startGateway(t, [upstream.port], { pins: { maxLanes: 1 } })
  const first = await connectThrough({ gatewayPort: gatewayPort!, target, userinfo: 'job=a,type=payment:x' })
  first.socket.destroy()
  t.equal(first.status, 200)
  const answer = await connectThrough({
    gatewayPort: gatewayPort!,
    target,
    userinfo: 'job=b,type=statement:x',
  })
  refused(t, answer, 429, 'rate_limited', 'http_request_denied')
  await closes(t, answer)
})

t.test('429: as many pins as there may be; jobs that are pinned go on', async (t) => {
  const upstream = await startUpstream(t, scripted.establishing())
  const { gatewayPort } = await startGateway(t, [upstream.port], { pins: { max: 2 } })
  const ask = (userinfo: string) => connectThrough({ gatewayPort: gatewayPort!, target, userinfo })
  for (const userinfo of ['job-1:x', 'job-2:x', 'job-1:x']) {
    const { status, socket } = await ask(userinfo)
    socket.destroy()
    t.equal(status, 200)
  }
  const answer = await ask('job-3:x')
  refused(t, answer, 429, 'rate_limited', 'http_request_denied')
  t.match(JSON.parse(answer.body.toString()), { detail: /pins\.max/, job: 'job-3' })
  await closes(t, answer)
})

t.test('503: no upstream may serve the lane', async (t) => {
  const upstream = await startUpstream(t, scripted.establishing())
  const restrictions = [
    {
      id: 'nobody',
      kind: 'deny',
      type: 'payment',
      upstreams: { ids: [idOf(upstream)] },
    },
  ]
  const { gatewayPort } = await startGateway(t, [upstream.port], { restrictions })
  const answer = await connectThrough({ gatewayPort: gatewayPort!, target, userinfo: 'job=a,type=payment:x' })
  refused(t, answer, 503, 'no_upstream', 'destination_unavailable')
  await closes(t, answer)
})

t.test('503: the pinned upstream is full', async (t) => {
  const upstream = await startUpstream(t, scripted.establishing())
  const { gatewayPort } = await startGateway(t, [upstream.port], { upstreams: { maxTunnels: 1 } })
  const first = await connectThrough({ gatewayPort: gatewayPort!, target, userinfo: 'job-1:x' })
  t.equal(first.status, 200)
  for (const job of ['job-1', 'job-2']) {
    const answer = await connectThrough({ gatewayPort: gatewayPort!, target, userinfo: `${job}:x` })
    refused(t, answer, 503, 'overloaded', 'connection_limit_reached')
    answer.socket.destroy()
  }
  first.socket.destroy()
})

t.test('502 and 504: upstreams that fail', async (t) => {
  const rows: [name: string, script: scripted.Script, status: number, code: string, token: string][] = [
    ['it closes before it answers', scripted.closing, 502, 'upstream_failed', 'connection_terminated'],
    ['it resets', scripted.resetting, 502, 'upstream_failed', 'connection_terminated'],
    [
      'it does not speak HTTP',
      scripted.saying('SSH-2.0-x\r\n'),
      502,
      'upstream_failed',
      'http_protocol_error',
    ],
    [
      'it asks for credentials that we lack',
      scripted.refuse(407, 'Auth'),
      502,
      'upstream_failed',
      'proxy_configuration_error',
    ],
    ['it cannot reach the target', scripted.refuse(500), 502, 'target_failed', 'destination_unavailable'],
    ['it says nothing', scripted.stayingSilent, 504, 'upstream_timeout', 'connection_read_timeout'],
  ]
  for (const [name, script, status, code, token] of rows) {
    await t.test(name, async (t) => {
      const upstream = await startUpstream(t, script)
      const { gatewayPort } = await startGateway(t, [upstream.port], { upstreams: { replyTimeoutMs: 300 } })
      const answer = await connectThrough({ gatewayPort: gatewayPort!, target, userinfo: 'job-1:x' })
      const problem = refused(t, answer, status, code, token)
      t.notMatch(JSON.stringify(problem), /<h1>/, "the upstream's own words are not passed on")
      await closes(t, answer)
      const plain = await getThrough({
        gatewayPort: gatewayPort!,
        url: `http://${target}/`,
        userinfo: 'job-2:x',
      })
      refused(t, plain, status, code, token)
      plain.socket.destroy()
    })
  }
  await t.test('it refuses the connection', async (t) => {
    const { gatewayPort } = await startGateway(t, [await closedPort()])
    const answer = await connectThrough({ gatewayPort: gatewayPort!, target, userinfo: 'job-1:x' })
    refused(t, answer, 502, 'upstream_failed', 'connection_refused')
    await closes(t, answer)
  })
})

t.test('502: a name that does not resolve', async (t) => {
  const upstream = await startUpstream(t, scripted.establishing())
  const { gatewayPort } = await startGateway(t, [upstream.port])
  const answer = await connectThrough({
    gatewayPort: gatewayPort!,
    target: 'no-such-name.invalid:443',
    userinfo: 'job-1:x',
  })
  // A machine without any name server answers "not in time".
  t.ok(
    ['target_failed', 'target_timeout'].includes(
      (JSON.parse(answer.body.toString()) as { code: string }).code,
    ),
  )
  t.equal(upstream.connections().accepted, 0)
  answer.socket.destroy()
})

t.test('502 pin_lost: the upstream of the job has left the fleet', async (t) => {
  const redis = await startRedis()
  t.teardown(redis.stop)
  const upstreams = [
    await startUpstream(t, scripted.establishing()),
    await startUpstream(t, scripted.establishing()),
  ]
  const env = { REDIS_URL: redis.url }
  const first = await startGateway(
    t,
    upstreams.map(({ port }) => port),
    {},
    { ...env, ROLE: 'control' },
  )
  const { gatewayPort: port } = await startGateway(
    t,
    [],
    { pins: { flexTypes: ['statement'] } },
    { ...env, ROLE: 'gateway' },
  )
  const gatewayPort = port!
  const ask = async (userinfo: string) => {
    const answer = await connectThrough({ gatewayPort, target, userinfo })
    answer.socket.destroy()
    return answer
  }
  const strict = await ask('job=s,type=payment:x')
  const lost = strict.headers['x-upstream-id']!
  const flexible: string[] = []
  for (const job of ['f1', 'f2'])
    flexible.push((await ask(`job=${job},type=statement:x`)).headers['x-upstream-id']!)
  await first.stop()
  const left = upstreams.filter((upstream) => idOf(upstream) !== lost)
  await startGateway(
    t,
    left.map(({ port }) => port),
    {},
    { ...env, ROLE: 'control' },
  )

  await until(
    'the gateway has heard of the new fleet',
    async () => (await ask('job=s,type=payment:x')).status !== 200,
  )
  const answer = await connectThrough({ gatewayPort, target, userinfo: 'job=s,type=payment:x' })
  const problem = refused(t, answer, 502, 'pin_lost', 'destination_unavailable')
  t.match(problem.detail, lost, 'it names the upstream')
  await closes(t, answer)
  const moved = (await ask(`job=${flexible[0] === lost ? 'f1' : 'f2'},type=statement:x`)).headers[
    'x-upstream-id'
  ]
  t.match(moved, /^static-/)
  t.not(moved, lost, 'a job whose type may change upstreams goes on elsewhere')

  const released = await getThrough({
    gatewayPort,
    url: '/v1/job',
    method: 'DELETE',
    userinfo: 'job=s,type=payment:x',
  })
  released.socket.destroy()
  t.equal(released.status, 204)
  t.equal((await ask('job=s,type=payment:x')).status, 200, 'released, the same id is a new job')
})

t.test('a client that sends nothing is told so, and closed', async (t) => {
  const { gatewayPort } = await startGateway(t, [await closedPort()], { gateway: { headTimeoutMs: 300 } })
  const socket = await openSocket({ gatewayPort: gatewayPort! })
  const answer = await readAnswer(socket, 'GET')
  refused(t, answer, 408, 'bad_request', 'http_request_error')
  await closes(t, answer)
})

t.test('a client that ends after its head is let go', async (t) => {
  const upstream = await startUpstream(t, scripted.stayingSilent)
  const { gatewayPort } = await startGateway(t, [upstream.port])
  const socket = connect({ host: '127.0.0.1', port: gatewayPort! })
  t.teardown(() => socket.destroy())
  socket.end(`CONNECT ${target} HTTP/1.1\r\nProxy-Authorization: ${basic('job-1:x')}\r\n\r\n`)
  t.equal((await readToEnd(socket).catch(() => Buffer.alloc(0))).length, 0)
})
