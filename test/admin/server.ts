import { request } from 'node:http'
import { Registry } from 'prom-client'
import t, { type Test } from 'tap'
import { makeAdminServer } from '../../src/admin/server.ts'
import { GatewayError } from '../../src/errors.ts'
import type { Pin } from '../../src/types.ts'
import { makeAdmin, noJobs } from '../fixtures/admin.ts'
import { makeControl } from '../fixtures/admin-control.ts'
import { openSocket } from '../fixtures/raw-client.ts'
import { readAnswer } from '../fixtures/raw-answer.ts'

const failing = (error: unknown) => ({
  ...noJobs,
  pins: {
    read: async () => {
      throw error
    },
  },
})

const pin: Pin = {
  job: { id: 'job-1', type: null, institution: null },
  upstreamId: 'up-1',
  freshBy: null,
  pinnedAtMs: 0,
  expiresAtMs: 0,
}
const oneJob = { ...noJobs, pins: { read: async () => pin } }

t.test('with a token', async (t) => {
  const { app } = makeAdmin(t, { token: 's3cret', jobs: oneJob })

  t.test('/v1 asks for it', async (t) => {
    for (const url of ['/v1/jobs/job-1', '/v1/nothing', '/v1/jobs/job-1?x=1']) {
      const answer = await app.inject({ url })
      t.equal(answer.statusCode, 401, url)
      t.equal(answer.headers['www-authenticate'], 'Bearer')
      t.match(answer.headers['content-type'], 'application/problem+json')
      t.match(answer.json(), { status: 401, code: 'unauthorized' })
    }
    const authorization = 'Bearer s3cret'
    t.equal((await app.inject({ url: '/v1/jobs/job-1', headers: { authorization } })).statusCode, 200)
  })

  t.test('however its path is written', async (t) => {
    for (const url of [
      '/%761/jobs/job-1',
      '/v1%2Fjobs/job-1',
      '/V1/jobs/job-1',
      '//v1/jobs/job-1',
      '/v1/../v1/jobs/job-1',
      '/v1/jobs/job-1/',
    ]) {
      const { statusCode } = await app.inject({ url })
      t.ok([401, 404].includes(statusCode), `${url}: ${statusCode}`)
    }
  })

  t.test('and in absolute-form too', async (t) => {
    const server = makeAdmin(t, { token: 's3cret', jobs: oneJob })
    const { port } = await server.listen({ host: '127.0.0.1', port: 0 })
    for (const path of ['http://h/v1/jobs/job-1', 'http://h/%761/jobs/job-1']) {
      const client = await openSocket({ gatewayPort: port })
      t.teardown(() => client.destroy())
      client.write(`GET ${path} HTTP/1.1\r\nHost: h\r\n\r\n`)
      t.equal((await readAnswer(client, 'GET')).status, 401, path)
    }
  })

  t.test('probes and scrapers do not need it', async (t) => {
    for (const url of ['/healthz', '/readyz', '/metrics'])
      t.equal((await app.inject({ url })).statusCode, 200, url)
  })
})

t.test('every failure is a problem document', async (t) => {
  async function problemOf(t: Test, url: string, error: unknown = null) {
    const { app } = makeAdmin(t, error === null ? {} : { jobs: failing(error) })
    const answer = await app.inject({ url })
    t.match(answer.headers['content-type'], /^application\/problem\+json/, url)
    t.equal(answer.json().status, answer.statusCode)
    return answer.json()
  }

  t.test('a path that is not there', async (t) => {
    t.match(await problemOf(t, '/nothing?token=s3cret'), {
      status: 404,
      code: 'not_found',
      detail: /^((?!s3cret).)*$/,
    })
  })

  t.test('a path that cannot be read', async (t) => {
    t.match(await problemOf(t, '/v1/jobs/%ZZ'), { status: 400, code: 'bad_request' })
  })

  t.test('a path with an id that nothing can have', async (t) => {
    const url = `/v1/jobs/${'x'.repeat(1000)}`
    t.match(await problemOf(t, url), { status: 414, code: 'bad_request', detail: /^An id .* too long\.$/ })
  })

  t.test('an error of ours, with its status and code', async (t) => {
    const error = new GatewayError('store_unavailable', { detail: 'The store does not answer.' })
    t.match(await problemOf(t, '/v1/jobs/job-1', error), {
      status: 503,
      code: 'store_unavailable',
      detail: 'The store does not answer.',
    })
  })

  t.test('an error that nobody foresaw, of which nothing is told but to the log', async (t) => {
    const failed: unknown[] = []
    const error = new TypeError("cannot read 'password'")
    const { app } = makeAdmin(t, { jobs: failing(error), failed: (error) => failed.push(error) })
    const answer = await app.inject({ url: '/v1/jobs/job-1' })
    t.match(answer.headers['content-type'], /^application\/problem\+json/)
    t.match(answer.json(), { status: 500, code: 'internal_error' })
    t.notMatch(answer.body, /password/)
    t.strictSame(failed, [error])
  })

  t.test('a body that cannot be taken', async (t) => {
    const { control, calls } = makeControl()
    const { app } = makeAdmin(t, { control })
    const json = 'application/json'
    const rows: [status: number, type: string | null, payload: string, url?: string][] = [
      [400, json, '{"address": "hunter2'],
      [400, json, ''],
      [400, json, '{"__proto__": {}, "address": "h:1"}'],
      [400, json, 'null'],
      [400, null, ''],
      [413, json, JSON.stringify({ address: 'x'.repeat(600_000) })],
      [415, 'text/plain', '{"address": "h:1"}'],
      [415, 'application/x-www-form-urlencoded', 'address=h:1'],
      [400, json, '{"reason": "x"}', '/v1/upstreams/up-1/quarantine'],
    ]
    for (const [status, type, payload, url = '/v1/upstreams'] of rows) {
      const headers = type === null ? {} : { 'content-type': type }
      const answer = await app.inject({ method: 'POST', url, headers, payload })
      const name = `${type} ${payload.slice(0, 30)}`
      t.equal(answer.statusCode, status, name)
      t.match(answer.headers['content-type'], /^application\/problem\+json/, name)
      t.match(answer.json(), { status, code: 'bad_request' })
      t.notMatch(answer.body, /hunter2/)
    }
    t.strictSame(calls, [])
    const empty = { method: 'POST' as const, url: '/v1/upstreams/up-1/quarantine', payload: {} }
    t.equal((await app.inject(empty)).statusCode, 200, 'nothing in braces is nothing')
  })
})

t.test('who has no token is told before anything else', async (t) => {
  const { control, calls } = makeControl()
  const { app } = makeAdmin(t, { token: 's3cret', control })
  for (const [method, url] of [
    ['POST', '/v1/upstreams?nonsense=1'],
    ['PUT', '/v1/restrictions/-'],
    ['DELETE', '/v1/jobs/-'],
    ['PATCH', '/v1/upstreams'],
    ['POST', '/v1/nothing'],
  ] as const) {
    const headers = { 'content-type': 'application/json', 'x-actor': 'not allowed' }
    const answer = await app.inject({ method, url, headers, payload: '{"broken' })
    t.equal(answer.statusCode, 401, `${method} ${url}`)
  }
  t.strictSame(calls, [])
})

t.test('with the token to look, one may look and no more', async (t) => {
  const { control, calls } = makeControl()
  const minted: unknown[] = []
  control.tokens.events.on('token_minted', (fact) => minted.push(fact))
  const { app } = makeAdmin(t, { token: 's3cret', readToken: 'l00k', control, jobs: oneJob })
  const authorization = 'Bearer l00k'
  for (const url of ['/v1/jobs/job-1', '/v1/upstreams', '/v1/restrictions', '/v1/fleet', '/v1/ledger'])
    for (const method of ['GET', 'HEAD'] as const)
      t.equal(
        (await app.inject({ method, url, headers: { authorization } })).statusCode,
        200,
        `${method} ${url}`,
      )
  for (const [method, url] of [
    ['POST', '/v1/upstreams/up-1/quarantine'],
    ['POST', '/v1/upstreams?nonsense=1'],
    ['PUT', '/v1/restrictions/-'],
    ['DELETE', '/v1/jobs/job-1'],
    ['POST', '/v1/jobs/job-1/report'],
    ['POST', '/v1/sync'],
    ['POST', '/v1/tokens'],
    ['PATCH', '/v1/upstreams'],
    ['POST', '/v1/nothing'],
    ['DELETE', '/%761/jobs/job-1'],
    ['OPTIONS', '/v1/upstreams'],
  ] as const) {
    const headers = { authorization, 'content-type': 'application/json' }
    const answer = await app.inject({ method, url, headers, payload: '{"job": "42"}' })
    t.equal(answer.statusCode, 403, `${method} ${url}`)
    t.match(answer.json(), { code: 'forbidden', detail: /may only look; [A-Z]+ asks for ADMIN_TOKEN/ })
    t.notMatch(answer.body, /l00k|s3cret/)
  }
  t.strictSame([calls, minted], [[], []])
  t.equal((await app.inject({ url: '/v1/fleet' })).statusCode, 401, 'who has none may not even look')
  // What stands in the method's place elsewhere counts for nothing.
  const headers = { authorization, 'x-http-method-override': 'DELETE' }
  t.equal((await app.inject({ url: '/v1/jobs/job-1?_method=DELETE', headers })).statusCode, 400)
  t.equal((await app.inject({ url: '/v1/jobs/job-1', headers })).json().id, 'job-1', 'it was only shown')
})

t.test('no byte of a body is awaited of who may not send one', async (t) => {
  const server = makeAdmin(t, { token: 's3cret', control: makeControl().control })
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 })
  const client = await openSocket({ gatewayPort: port })
  t.teardown(() => client.destroy())
  client.write(
    'POST /v1/upstreams HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n',
  )
  t.equal((await readAnswer(client, 'POST')).status, 401)
})

t.test('without a token, a page of another site changes nothing', async (t) => {
  const { control, calls } = makeControl()
  const request = { method: 'POST' as const, url: '/v1/upstreams/up-1/quarantine' }
  const fromElsewhere = { 'sec-fetch-site': 'cross-site', origin: 'http://elsewhere.example' }
  const { app } = makeAdmin(t, { control })
  const refused = await app.inject({ ...request, headers: fromElsewhere })
  t.equal(refused.statusCode, 403)
  t.match(refused.json(), { code: 'forbidden', detail: /another site/ })
  t.strictSame(calls, [])
  const looking = await app.inject({ url: '/v1/upstreams', headers: fromElsewhere })
  t.equal(looking.statusCode, 200, 'its browser shows it no answer')
  t.equal(looking.headers['access-control-allow-origin'], undefined)
  const { app: guarded } = makeAdmin(t, { control, token: 's3cret' })
  const headers = { ...fromElsewhere, authorization: 'Bearer s3cret' }
  t.equal(
    (await guarded.inject({ ...request, headers })).statusCode,
    200,
    'who has the token may be anywhere',
  )
})

t.test('without a token, a name of others that leads here is not answered', async (t) => {
  const { control, calls } = makeControl()
  const { app } = makeAdmin(t, { control, jobs: oneJob })
  const rebound = {
    host: 'evil.example:3129',
    'sec-fetch-site': 'same-origin',
    origin: 'http://evil.example:3129',
  }
  for (const [method, url] of [
    ['POST', '/v1/upstreams/up-1/quarantine'],
    ['POST', '/v1/tokens'],
    ['GET', '/v1/jobs/job-1'],
  ] as const) {
    const answer = await app.inject({ method, url, headers: rebound })
    t.equal(answer.statusCode, 403, `${method} ${url}`)
    t.match(answer.json(), { code: 'forbidden', detail: /as localhost or by its address/ })
  }
  t.strictSame(calls, [])
  const headers = { host: 'control.internal' }
  const { app: guarded } = makeAdmin(t, { control, jobs: oneJob, token: 's3cret' })
  const authorization = 'Bearer s3cret'
  const shown = await guarded.inject({ url: '/v1/jobs/job-1', headers: { ...headers, authorization } })
  t.equal(shown.statusCode, 200, 'with one, any name will do')
})

t.test('without a token, no other machine is told of jobs, by a gateway alone neither', async (t) => {
  const { control } = makeControl()
  for (const parts of [{ jobs: oneJob }, { jobs: oneJob, control }]) {
    const { app } = makeAdmin(t, parts)
    const { app: guarded } = makeAdmin(t, { ...parts, token: 's3cret' })
    for (const remoteAddress of ['10.0.0.7', '::ffff:10.0.0.7', '2001:db8::1']) {
      const answer = await app.inject({ url: '/v1/jobs/job-1', remoteAddress })
      t.equal(answer.statusCode, 403)
      t.match(answer.json(), { code: 'forbidden', detail: /only this machine/ })
      t.equal((await app.inject({ url: '/metrics', remoteAddress })).statusCode, 200)
      const authorization = 'Bearer s3cret'
      const shown = await guarded.inject({ url: '/v1/jobs/job-1', remoteAddress, headers: { authorization } })
      t.equal(shown.statusCode, 200)
    }
    for (const remoteAddress of ['127.0.0.1', '::ffff:127.0.0.1', '127.9.9.9', '::1'])
      t.equal((await app.inject({ url: '/v1/jobs/job-1', remoteAddress })).statusCode, 200)
  }
})

t.test('its tokens may be others from one request to the next', async (t) => {
  const tokens = { token: 'old' as string | null, readToken: null as string | null }
  const { app } = makeAdminServer({
    get token() {
      return tokens.token
    },
    get readToken() {
      return tokens.readToken
    },
    metrics: new Registry(),
    health: { missing: () => [] },
    jobs: noJobs,
    control: null,
  })
  t.teardown(() => app.close())
  const status = async (token: string) => {
    const headers = { authorization: `Bearer ${token}` }
    return (await app.inject({ url: '/v1/jobs/job-1', headers })).statusCode
  }
  t.equal(await status('old'), 404)
  Object.assign(tokens, { token: 'new', readToken: 'look' })
  t.strictSame(await Promise.all(['old', 'new', 'look'].map(status)), [401, 404, 404])
})

t.test('what an answer says beyond its schema is not dropped, so that a test can notice it', async (t) => {
  const parts = { token: null, readToken: null, metrics: new Registry(), health: { missing: () => [] } }
  const { app, close } = makeAdminServer({ ...parts, jobs: noJobs, control: null })
  t.teardown(close)
  const said = { type: 'object', properties: { a: { type: 'integer' } }, additionalProperties: false }
  app.get('/more', { schema: { response: { 200: said } } }, async () => ({ a: 1, b: 2 }))
  t.strictSame((await app.inject({ url: '/more' })).json(), { a: 1, b: 2 })
})

t.test('metrics are told in the words of Prometheus', async (t) => {
  const { app } = makeAdmin(t)
  const answer = await app.inject({ url: '/metrics' })
  t.match(answer.headers['content-type'], 'text/plain')
  t.match(answer.body, /^things_total 3$/m)
})

t.test('it listens, and closes with a connection open', async (t) => {
  const server = makeAdmin(t)
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 })
  await new Promise<void>((resolve, reject) => {
    request({ port, path: '/healthz', agent: false }, (answer) => answer.resume().once('end', resolve))
      .on('error', reject)
      .end()
  })
  const idle = await openSocket({ gatewayPort: port })
  t.teardown(() => idle.destroy())
  await server.close()
})

t.test('a port that is taken is said', async (t) => {
  const { port } = await makeAdmin(t).listen({ host: '127.0.0.1', port: 0 })
  await t.rejects(makeAdmin(t).listen({ host: '127.0.0.1', port }), { code: 'EADDRINUSE' })
})
