// Job tokens through the real listener: a container uses its own job and no other (hostile inputs D12), until its token
// expires, while keys are rotated.

import t, { type Test } from 'tap'
import { mintJobToken } from '../../src/routing/job-token.ts'
import type { Job } from '../../src/types.ts'
import { startGateway } from '../fixtures/gateway.ts'
import { expectRefused, startHostile, type Input, type Refusal } from '../fixtures/hostile.ts'
import { basic, connectThrough, getThrough, requestOver } from '../fixtures/raw-client.ts'
import { establishing, startScriptedUpstream, tunnelling } from '../fixtures/scripted-upstream.ts'
import { startTarget } from '../fixtures/target.ts'
import { until } from '../fixtures/until.ts'

const startMs = Date.UTC(2026, 0, 1)
const hourMs = 3_600_000
const old = { id: 'k1', secret: 'the old secret of 32 characters..' }
const next = { id: 'k2', secret: 'the new secret of 32 characters..' }
const job = (id: string, type: string | null = null, institution: string | null = null): Job => ({
  id,
  type,
  institution,
})
const mint = (of: Job, key = old) => mintJobToken({ job: of, expiresAtMs: startMs + hourMs }, key)

const token = mint(job('42'))
const wholeToken = mint(job('42', 'payment', 'bank-a'))
const staticToken = 'static-t0ken'
const tokens = [{ name: 'platform', token: staticToken }]
const target = '127.0.0.1:443'

function startTenants(t: Test) {
  const userinfo = (id: string) => `${id}:${staticToken}`
  return startHostile(t, {
    settings: { tokens, tokenKeys: [old] },
    wallClock: () => startMs,
    userinfo,
    target,
  })
}

const proxy = (userinfo: string) => `Proxy-Authorization: ${basic(userinfo)}\r\n`
const connect = (headers: string) => `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${headers}\r\n`
const get = (headers: string) => `GET http://127.0.0.1/ HTTP/1.1\r\nHost: 127.0.0.1\r\n${headers}\r\n`
const own = (line: string, headers: string, body = '') =>
  `${line} HTTP/1.1\r\nHost: gateway\r\n${body && `Content-Length: ${body.length}\r\n`}${headers}\r\n${body}`

t.test('D12: the job of another with a token of its own', async (t) => {
  const hostile = await startTenants(t)
  const secrets = [token, wholeToken, basic(`43:${token}`).slice(6)]
  const denied: Refusal = { status: 403, code: 'job_denied', token: 'http_request_denied', secrets }
  const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\n'
  const report = '{"outcome":"blocked"}'
  const rows: [name: string, input: Input, detail: RegExp][] = [
    ['as the proxy user', connect(proxy(`43:${token}`)), /proxy user says job "43", .* job "42" only/],
    ['by header', connect(`X-Job-Id: 43\r\n${proxy(`:${token}`)}`), /X-Job-Id says job "43", .* "42" only/],
    ['by header, beside its own user', connect(`${proxy(`42:${token}`)}X-Job-Id: 43\r\n`), /X-Job-Id says/],
    ['another type', connect(`X-Job-Type: statement\r\n${proxy(`:${wholeToken}`)}`), /type "statement"/],
    ['a type that the token lacks', connect(proxy(`job=42,type=payment:${token}`)), /with no type/],
    [
      'another institution',
      connect(proxy(`job=42,institution=bank-b:${wholeToken}`)),
      /institution "bank-b", .* institution "bank-a"/,
    ],
    ['in plain HTTP', get(`X-Job-Id: 43\r\n${proxy(`:${token}`)}`), /job "43"/],
    ['in an upgrade', get(`${upgrade}${proxy(`43:${token}`)}`), /job "43"/],
    ['asked for', own('GET /v1/job', proxy(`43:${token}`)), /job "43"/],
    ['asked for by header', own('GET /v1/job', `X-Job-Id: 43\r\n${proxy(`:${token}`)}`), /job "43"/],
    ['released', own('DELETE /v1/job', proxy(`43:${token}`)), /job "43"/],
    ['reported', own('POST /v1/job/report', proxy(`43:${token}`), report), /job "43"/],
    [
      'with the token in Authorization',
      own('DELETE /v1/job', `X-Job-Id: 43\r\nAuthorization: ${basic(`42:${token}`)}\r\n`),
      /X-Job-Id says job "43"/,
    ],
  ]
  for (const [name, input, detail] of rows)
    await t.test(name, (t) => expectRefused(t, hostile, input, { ...denied, detail }))
  t.equal(await hostile.gateway.store.pins.read('43'), null)
})

t.test('tokens that are none of ours are asked for again', async (t) => {
  const hostile = await startTenants(t)
  const [expired, unknown] = [
    mintJobToken({ job: job('42'), expiresAtMs: startMs - 1000 }, old),
    mint(job('42'), next),
  ]
  const rows: [name: string, password: string, detail: RegExp][] = [
    ['expired', expired, /token of job "42" expired at 2025-12-31T23:59:59\.000Z.*lanekeeper token/],
    ['of an unknown key', unknown, /No key of this gateway/],
    ['cut', token.slice(0, -1), /may have been cut/],
    [
      'with another payload',
      token.replace(/\.[^.]+\.([^.]+)$/, `.${mint(job('43')).split('.')[2]}.$1`),
      /cut/,
    ],
    ['signed by nobody', `lk1.k1.${token.split('.')[2]}.${'A'.repeat(43)}`, /cut/],
    ['of no form at all', 'lk1.', /cut/],
  ]
  for (const [name, password, detail] of rows) {
    const refusal: Refusal = {
      status: 407,
      code: 'proxy_auth_required',
      token: 'http_request_denied',
      connection: 'kept',
      secrets: password.length > 4 ? [password, basic(`42:${password}`).slice(6)] : [],
      detail,
    }
    await t.test(name, (t) => expectRefused(t, hostile, connect(proxy(`42:${password}`)), refusal))
  }
})

t.test('a container with its own token is served, and sees and ends its own job', async (t) => {
  const { gateway, gatewayPort } = await startTenants(t)
  const userinfo = `:${wholeToken}`
  const answer = await connectThrough({ gatewayPort, target, userinfo })
  t.equal(answer.status, 200)
  const [tunnel] = gateway.facts.of('tunnel_opened').slice(-1)
  t.match(tunnel, { job: job('42', 'payment', 'bank-a'), token: null, tokenKey: 'k1' })

  const ask = async (method: string, url: string, body = '') => {
    const { socket, status, body: said } = await getThrough({ gatewayPort, url, method, userinfo, body })
    socket.destroy()
    return { status, said: said.length === 0 ? null : JSON.parse(said.toString()) }
  }
  t.match(await ask('GET', '/v1/job'), {
    status: 200,
    said: { id: '42', type: 'payment', institution: 'bank-a', tunnels: 1 },
  })
  t.equal((await ask('POST', '/v1/job/report', '{"outcome":"blocked"}')).status, 202)
  t.match(gateway.facts.of('job_reported'), [{ job: { id: '42', type: 'payment' }, outcome: 'blocked' }])
  const headers = { Authorization: basic(`job=42,type=payment:${wholeToken}`) }
  const standIn = await getThrough({ gatewayPort, url: '/v1/job', headers })
  standIn.socket.destroy()
  t.equal(standIn.status, 200, 'in Authorization too')
  t.equal((await ask('DELETE', '/v1/job')).status, 204)
  t.equal((await ask('GET', '/v1/job')).status, 404)

  answer.socket.destroy()
  await until('it is over', () => gateway.gateway.tunnels.count === 0)
  t.match(gateway.facts.of('tunnel_closed').at(-1), { token: null, tokenKey: 'k1' })
  const platform = await connectThrough({ gatewayPort, target, userinfo: `43:${staticToken}` })
  platform.socket.destroy()
  t.match(gateway.facts.of('tunnel_opened').at(-1), { job: job('43'), token: 'platform', tokenKey: null })
})

t.test('a token ends with its time, within a connection too; a tunnel that is open goes on', async (t) => {
  const origin = await startTarget()
  t.teardown(origin.close)
  const upstream = await startScriptedUpstream(tunnelling())
  t.teardown(upstream.stop)
  let nowMs = startMs
  const settings = { tokenKeys: [old] }
  const gateway = await startGateway({ settings, upstreams: [upstream], wallClock: () => nowMs })
  t.teardown(gateway.stop)
  const { gatewayPort } = gateway
  const userinfo = `job=42:${token}`
  const url = `${origin.origin}/`
  const tunnel = await connectThrough({ gatewayPort, target: `127.0.0.1:${origin.port}`, userinfo })
  t.teardown(() => tunnel.socket.destroy())
  const first = await getThrough({ gatewayPort, url, userinfo })
  t.equal(first.status, 200)
  nowMs = startMs + hourMs - 1
  const last = await getThrough({ gatewayPort, url, userinfo, socket: first.socket })
  t.equal(last.status, 200, 'in its last millisecond')
  nowMs += 1
  const late = await getThrough({ gatewayPort, url, userinfo, socket: last.socket })
  late.socket.destroy()
  t.equal(late.status, 407)
  t.match(JSON.parse(late.body.toString()), { detail: /expired at 2026-01-01T01:00:00\.000Z/ })
  t.equal((await requestOver(tunnel.socket)).status, 200)
})

t.test('keys are rotated without a job that notices', async (t) => {
  const upstream = await startScriptedUpstream(establishing())
  t.teardown(upstream.stop)
  const first = await startGateway({
    settings: { tokenKeys: [old] },
    upstreams: [upstream],
    wallClock: () => startMs,
  })
  t.teardown(first.stop)
  const { store } = first
  const startWith = async (tokenKeys: readonly (typeof old)[], gatewayId: string) => {
    const gateway = await startGateway({
      settings: { tokenKeys },
      store,
      gatewayId,
      wallClock: () => startMs,
    })
    t.teardown(gateway.stop)
    return gateway
  }
  // The new key is told to all gateways before the first token is signed with it.
  const both = await startWith([next, old], 'gw-2')
  const after = await startWith([next], 'gw-3')
  const [older, newer] = [token, mint(job('43'), next)]
  const statusAt = async ({ gatewayPort }: { gatewayPort: number }, password: string) => {
    const answer = await connectThrough({ gatewayPort, target, userinfo: `:${password}` })
    answer.socket.destroy()
    return answer.status
  }
  const rows = [
    ['before', first, 200, 407],
    ['while both are valid', both, 200, 200],
    ['once the old one is taken away', after, 407, 200],
  ] as const
  for (const [name, gateway, ofOld, ofNew] of rows)
    t.strictSame([await statusAt(gateway, older), await statusAt(gateway, newer)], [ofOld, ofNew], name)
  t.strictSame(
    both.facts.of('tunnel_opened').map(({ job, tokenKey }) => [job.id, tokenKey]),
    [
      ['42', 'k1'],
      ['43', 'k2'],
    ],
    'which key is still in use is told',
  )
})
