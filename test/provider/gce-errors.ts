// What the server refuses, through Google's own client, which knows only gRPC codes.

import { createServer, type Socket } from 'node:net'
import { inspect } from 'node:util'
import t, { type Test } from 'tap'
import { GceError, fromClient } from '../../src/provider/gce-errors.ts'
import { makeGceProvider } from '../../src/provider/gce.ts'
import type { ProviderErrorCode } from '../../src/provider/provider.ts'
import { gceSettings, startGce, zones } from '../fixtures/gce-under-test.ts'
import { closedPort, listen } from '../fixtures/listen.ts'
import { drafting, orderOf, rejectsWith } from '../fixtures/provider-contract.ts'

const nobody = { id: 'nobody', zone: zones[0]!, incarnation: null }

type Case = readonly [status: number, reason: string, ours: ProviderErrorCode]
const cases: readonly Case[] = [
  [403, 'quotaExceeded', 'quota'],
  [403, 'QUOTA_EXCEEDED', 'quota'],
  [403, 'dailyLimitExceeded', 'quota'],
  [403, 'rateLimitExceeded', 'rate_limited'],
  [403, 'userRateLimitExceeded', 'rate_limited'],
  [403, 'forbidden', 'refused'],
  [403, 'accessNotConfigured', 'refused'],
  [400, 'invalid', 'refused'],
  [400, 'resourceNotReady', 'unavailable'],
  [401, 'authError', 'refused'],
  [412, 'conditionNotMet', 'refused'],
  [429, 'rateLimitExceeded', 'rate_limited'],
  [429, 'somethingNew', 'rate_limited'],
  [500, 'internalError', 'unavailable'],
  [502, 'badGateway', 'unavailable'],
  [503, 'backendError', 'unavailable'],
  [503, 'ZONE_RESOURCE_POOL_EXHAUSTED', 'no_capacity'],
]

t.test('a quota, a rate limit, a missing permission and an outage are told apart', async (t) => {
  const { engine, provider } = await startGce(t)
  for (const details of [false, true]) {
    for (const [status, reason, ours] of cases) {
      const times = triesOf(ours)
      engine.refuse('insert', { status, reason, details }, { times })
      const order = orderOf(provider.draft(drafting({ zone: zones[0]! })))
      const text = new RegExp(
        `make ${order.name} in europe-west1-b: ${status} ${reason}, "refused: ${reason}"`,
      )
      await rejectsWith(t, provider.create(order), ours, text)
    }
  }
  t.strictSame(engine.instances(), [])
})

/** What may pass is asked for twice more. */
function triesOf(code: ProviderErrorCode): number {
  return code === 'unavailable' || code === 'rate_limited' ? 3 : 1
}

t.test(
  'what may pass is tried again, more slowly where calls are counted; what will not is told at once',
  async (t) => {
    const { engine, provider, waits, callsOf } = await startGce(t)
    const expected = [
      [503, 'backendError', [500, 1000, 2000, 4000]],
      [403, 'rateLimitExceeded', [3000, 6000, 12_000, 20_000]],
      [403, 'forbidden', []],
    ] as const
    for (const [status, reason, growing] of expected) {
      waits.length = 0
      const before = callsOf('get').length
      engine.refuse('get', { status, reason }, { times: growing.length + 1 })
      await t.rejects(provider.read(nobody))
      t.strictSame(waits, growing, reason)
      t.equal(callsOf('get').length - before, growing.length + 1)
    }
  },
)

t.test('calls that are counted are answered once there are some again', async (t) => {
  const { engine, provider } = await startGce(t)
  engine.rateLimit(4)
  t.equal(await provider.read(nobody), null)
})

t.test('no answer is told as that: nobody there, too late, cut off, not the API', async (t) => {
  const { engine, provider } = await startGce(t, { callTimeoutMs: 150 })
  engine.hangAfter('insert', 3)
  const order = orderOf(provider.draft(drafting({ zone: zones[0]! })))
  await rejectsWith(t, provider.create(order), 'unavailable', /make \S+ in europe-west1-b: no answer in time/)

  const answers: readonly (readonly [url: string, text: RegExp])[] = [
    [`http://127.0.0.1:${await closedPort()}`, /no answer \(ECONNREFUSED\); is the network there/],
    [await serverThat(t, (socket) => void socket.destroy()), /no answer \(ECONNRESET\)/],
    [await serverThat(t, (socket) => void socket.end(page(502))), /read nobody in europe-west1-b: 502/],
    [await serverThat(t, (socket) => void socket.end(page(200))), /no answer/],
  ]
  for (const [endpoint, text] of answers) {
    const delay = async () => {}
    const elsewhere = makeGceProvider({ ...gceSettings(engine), endpoint, delay })
    t.teardown(() => elsewhere.close())
    await rejectsWith(t, elsewhere.read(nobody), 'unavailable', text)
  }
})

t.test('what is no error of the client is nothing that we could name', async (t) => {
  const mistake = new TypeError('x is not a function')
  t.equal(fromClient(mistake, 'read x in y'), mistake)
})

t.test('the text of a refusal is Google’s, and never what the client knows beside it', async (t) => {
  const gaxios = { config: { headers: { authorization: 'Bearer SECRET' } }, message: 'SECRET' }
  const raw = (body: unknown) => ({
    code: 7,
    httpStatusCode: 403,
    message: 'SECRET',
    cause: gaxios,
    [rawBody]: body,
  })
  const bodies: readonly (readonly [body: unknown, text: string])[] = [
    [
      '{"error":{"message":"no","errors":[{"reason":"forbidden"}]}}',
      'Compute Engine: x: 403 forbidden, "no".',
    ],
    [
      { error: { message: 'no', errors: [{ reason: 'forbidden' }] } },
      'Compute Engine: x: 403 forbidden, "no".',
    ],
    [{ error: { message: 'no', details: [{ reason: 'WHY' }] } }, 'Compute Engine: x: 403 WHY, "no".'],
    ['{"error":"invalid_grant","error_description":"SECRET"}', 'Compute Engine: x: 403 invalid_grant.'],
    ['<html>SECRET</html>', 'Compute Engine: x: 403.'],
    [{ error: { message: 7, errors: 'none', details: [null] } }, 'Compute Engine: x: 403.'],
    ['null', 'Compute Engine: x: 403.'],
    [undefined, 'Compute Engine: x: 403.'],
  ]
  for (const [body, text] of bodies) {
    const error = fromClient(raw(body), 'x')
    if (!(error instanceof GceError)) return t.fail('no GceError')
    t.equal(error.message, text)
    t.notMatch(inspect(error, { depth: 9, showHidden: true }), /SECRET/)
  }
})

const rawBody = Symbol.for('google-gax.rawHttpResponsePayload')

function page(status: number): string {
  return `HTTP/1.1 ${status} Whatever\r\nContent-Length: 13\r\nConnection: close\r\n\r\n<html></html>`
}

async function serverThat(t: Test, answers: (socket: Socket) => void): Promise<string> {
  const server = await listen(createServer((socket) => void socket.once('data', () => answers(socket))))
  t.teardown(() => server.close())
  return `http://${server.host}:${server.port}`
}
