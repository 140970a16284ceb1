// What a job may ask of the gateway itself, and what operators see of it on the admin port.

import t, { type Test } from 'tap'
import { startLanekeeper } from '../fixtures/processes.ts'
import { basic, connectThrough, getThrough } from '../fixtures/raw-client.ts'
import { adminGet } from '../fixtures/readings.ts'
import { establishing, startScriptedUpstream } from '../fixtures/scripted-upstream.ts'
import { until } from '../fixtures/until.ts'
import { writeSettings } from '../fixtures/settings-file.ts'

const target = '127.0.0.1:4433'

async function startAll(t: Test) {
  const upstream = await startScriptedUpstream(establishing())
  t.teardown(upstream.stop)
  const settings = {
    static: { upstreams: [{ id: 'up-1', host: '127.0.0.1', port: upstream.port, egressIp: '203.0.113.7' }] },
  }
  const gateway = await startLanekeeper({
    PROVIDER: 'static',
    LANEKEEPER_CONFIG: await writeSettings(t, settings),
    ALLOW_PRIVATE_TARGETS: 'true',
    TARGET_PORTS: '*',
    GATEWAY_TOKENS: 't0ken',
    LOG_LEVEL: 'silent',
  })
  t.teardown(() => gateway.stop('SIGKILL'))
  const ask = async (
    method: string,
    url: string,
    options: { userinfo?: string; headers?: { [name: string]: string }; body?: string } = {},
  ) => {
    const answer = await getThrough({
      gatewayPort: gateway.gatewayPort!,
      url,
      method,
      userinfo: 'job=42,type=payment:t0ken',
      ...options,
    })
    answer.socket.destroy()
    const text = answer.body.toString()
    return {
      status: answer.status,
      body: text === '' ? null : (JSON.parse(text) as { [key: string]: unknown }),
    }
  }
  const open = async () => {
    const userinfo = 'job=42,type=payment:t0ken'
    const { socket } = await connectThrough({ gatewayPort: gateway.gatewayPort!, target, userinfo })
    t.teardown(() => socket.destroy())
  }
  return { gateway, gatewayPort: gateway.gatewayPort!, ask, open }
}

t.test('a job asks where it is pinned, and releases itself', async (t) => {
  const { gateway, gatewayPort, ask } = await startAll(t)
  t.match(
    await ask('GET', '/v1/job'),
    { status: 404, body: { code: 'not_found' } },
    'before its first request',
  )

  const { status, headers, socket } = await connectThrough({
    gatewayPort,
    target,
    userinfo: 'job=42,type=payment:t0ken',
  })
  t.equal(status, 200)
  t.match(
    headers,
    { 'x-upstream-id': 'up-1', 'x-egress-ip': '203.0.113.7' },
    'the 200 tells which way it goes',
  )

  const job = {
    id: '42',
    type: 'payment',
    institution: null,
    upstream: { id: 'up-1', egressIp: '203.0.113.7' },
    tunnels: 1,
    fresh: false,
  }
  const asked = await ask('GET', '/v1/job')
  t.match(asked, { status: 200, body: job })
  t.match(asked.body, { pinnedAt: /^\d{4}-.*Z$/, expiresAt: /^\d{4}-.*Z$/ })
  const seenByOperator = await adminGet(gateway, '/v1/jobs/42')
  t.match(JSON.parse(seenByOperator.body), job)

  t.equal((await ask('DELETE', '/v1/job')).status, 204)
  t.equal((await ask('DELETE', '/v1/job')).status, 204, 'once more does no harm')
  t.equal((await ask('GET', '/v1/job')).status, 404)
  t.equal((await adminGet(gateway, '/v1/jobs/42')).status, 404)
  socket.destroy()
})

t.test(
  'Basic may stand in Authorization here, since a client may keep Proxy-Authorization for proxies',
  async (t) => {
    const { ask } = await startAll(t)
    const headers = { Authorization: basic('job=42:t0ken') }
    t.equal((await ask('GET', '/v1/job', { userinfo: undefined as never, headers })).status, 404)
    t.equal(
      (
        await ask('GET', '/v1/job', {
          userinfo: undefined as never,
          headers: { Authorization: basic('job=42:no') },
        })
      ).status,
      407,
    )
  },
)

t.test('a job reports how the target treated it, and operators can read it', async (t) => {
  const { ask, gateway, open } = await startAll(t)
  t.equal((await ask('POST', '/v1/job/report', { body: '{"outcome":"captcha"}' })).status, 202)
  await open()
  t.equal((await ask('POST', '/v1/job/report', { body: '{"outcome":"blocked"}' })).status, 202)
  const withoutType = { userinfo: 'job=42:t0ken', body: '{"outcome":"ok"}' }
  t.equal((await ask('POST', '/v1/job/report', withoutType)).status, 202)
  const reports = await until('all are written down', async () => {
    const { items } = JSON.parse((await adminGet(gateway, '/v1/jobs/42/reports')).body) as {
      items: unknown[]
    }
    return items.length === 3 && items
  })
  t.match(
    reports,
    [
      { outcome: 'ok', upstream: 'up-1', type: 'payment' },
      { outcome: 'blocked', upstream: 'up-1', type: 'payment', institution: null, actor: 'job' },
      { outcome: 'captcha', upstream: null, type: 'payment' },
    ],
    'newest first',
  )
  for (const body of [
    '',
    'blocked',
    '{"outcome":"sad"}',
    '[]',
    'null',
    `{"outcome":"ok","pad":"${'x'.repeat(5000)}"}`,
  ]) {
    t.match(
      await ask('POST', '/v1/job/report', { body }),
      { status: 400, body: { code: 'bad_request' } },
      body.slice(0, 30),
    )
  }
})

t.test('anything else in origin-form is refused with a hint', async (t) => {
  const { ask } = await startAll(t)
  for (const [method, url] of [
    ['GET', '/'],
    ['POST', '/v1/job'],
    ['GET', '/metrics'],
    ['GET', '/v1/jobs/42'],
    ['OPTIONS', '/v1/job'],
    ['GET', '*'],
  ] as const) {
    t.match(
      await ask(method, url),
      { status: 400, body: { code: 'bad_request', detail: /CONNECT/ } },
      `${method} ${url}`,
    )
  }
})
