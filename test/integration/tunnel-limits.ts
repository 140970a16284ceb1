// How many tunnels a gateway carries, in all, of a job and by a token, through the real listener and on each road.

import t, { type Test } from 'tap'
import type { GatewayOptions } from '../fixtures/gateway.ts'
import { startGateway } from '../fixtures/gateway.ts'
import type { Answer } from '../fixtures/raw-answer.ts'
import { connectThrough, getThrough } from '../fixtures/raw-client.ts'
import {
  establishing,
  startScriptedUpstream,
  stayingSilent,
  type Script,
} from '../fixtures/scripted-upstream.ts'
import { until } from '../fixtures/until.ts'

async function setUp(t: Test, options: GatewayOptions, script: Script = establishing()) {
  const upstream = await startScriptedUpstream(script)
  t.teardown(upstream.stop)
  const { gatewayPort, gateway, facts, stop } = await startGateway({ ...options, upstreams: [upstream] })
  t.teardown(stop)
  const open = async (userinfo: string, target = '127.0.0.1:443') => {
    const answer = await connectThrough({ gatewayPort, target, userinfo })
    t.teardown(() => answer.socket.destroy())
    return answer
  }
  return { upstream, gatewayPort, gateway, facts, open }
}

function isLimited(t: Test, { status, headers, body }: Answer, detail: RegExp): void {
  t.equal(status, 429)
  t.equal(headers['proxy-status'], 'lanekeeper; error=http_request_denied; details="rate_limited"')
  t.equal(headers['retry-after'], '5')
  t.match(JSON.parse(body.toString()), { code: 'rate_limited', detail })
}

t.test('the tunnels of one job', async (t) => {
  const { gatewayPort, gateway, upstream, open } = await setUp(t, { settings: { tunnelsPerJob: 2 } })
  const first = await open('job-1:x')
  await open('job-1:x')
  isLimited(t, await open('job-1:x'), /tunnelsPerJob/)
  const plain = { gatewayPort, url: 'http://127.0.0.1/', userinfo: 'job-1:x' }
  isLimited(t, await getThrough(plain), /tunnelsPerJob/)
  const headers = { Connection: 'Upgrade', Upgrade: 'websocket' }
  isLimited(t, await getThrough({ ...plain, headers }), /tunnelsPerJob/)
  t.equal(upstream.connections().accepted, 2, 'nothing was dialled')
  t.equal((await open('job-2:x')).status, 200, 'another job')
  first.socket.destroy()
  await until('it has ended', () => gateway.limits.taken === 2)
  t.equal((await open('job-1:x')).status, 200)
})

t.test('the tunnels of all jobs with one token', async (t) => {
  const tokens = [
    { name: 'payments', token: 'a-token-of-payments' },
    { name: 'statements', token: 'a-token-of-statements' },
  ]
  const { facts, open } = await setUp(t, { settings: { tokens, tunnelsPerToken: 2 } })
  await open('job-1:a-token-of-payments')
  await open('job-2:a-token-of-payments')
  const refused = await open('job-3:a-token-of-payments')
  isLimited(t, refused, /tunnelsPerToken/)
  t.notMatch(
    refused.head + refused.body.toString(),
    /of-payments|"payments/,
    'neither token nor name is told',
  )
  t.match(facts.of('request_refused'), [{ code: 'rate_limited', token: 'payments' }])
  t.equal((await open('job-3:a-token-of-statements')).status, 200)
})

t.test('a burst does not pass the limit while the first are still on their way', async (t) => {
  const { upstream, open } = await setUp(
    t,
    { settings: { tunnelsPerJob: 3, replyTimeoutMs: 500 } },
    stayingSilent,
  )
  const answers = await Promise.all(Array.from({ length: 10 }, () => open('job-1:x')))
  const count = (wanted: number) => answers.filter(({ status }) => status === wanted).length
  t.equal(count(504), 3)
  t.equal(count(429), 7)
  t.equal(upstream.connections().accepted, 3)
})

t.test('a full gateway says what is wrong with a target before it says that it is full', async (t) => {
  const { facts, open } = await setUp(t, {
    settings: { maxTunnels: 1 },
    guard: { ports: [443] },
  })
  await open('job-1:x')
  t.equal((await open('job-2:x', '127.0.0.1:22')).status, 403)
  const full = await open('job-2:x')
  t.equal(full.status, 503)
  t.equal(full.headers['proxy-status'], 'lanekeeper; error=connection_limit_reached; details="overloaded"')
  t.equal(facts.of('pin_made').length, 1, 'no pin, no turn')
})
