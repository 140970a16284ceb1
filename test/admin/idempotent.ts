import t, { type Test } from 'tap'
import { fingerprintOf } from '../../src/admin/idempotent.ts'
import { ControlError, GatewayError } from '../../src/errors.ts'
import type { Pin } from '../../src/types.ts'
import { makeAdmin, noJobs } from '../fixtures/admin.ts'
import { databaseAway, makeControl, upstreamRecord } from '../fixtures/admin-control.ts'
import { makeMemoryKeys } from '../fixtures/memory-keys.ts'

function setUp(t: Test, script: Parameters<typeof makeControl>[0] = {}) {
  const keys = makeMemoryKeys()
  const { control, calls } = makeControl({
    upstream: upstreamRecord({ id: 'up-1' }),
    ...script,
    records: { keys, ...script.records },
  })
  const { app } = makeAdmin(t, { control })
  const register = (key: string | null, payload: object = { address: 'h:1' }, url = '/v1/upstreams') =>
    app.inject({ method: 'POST', url, payload, headers: key === null ? {} : { 'idempotency-key': key } })
  return { keys, calls, app, register }
}

t.test('the same key and the same request get the same answer, and nothing is done twice', async (t) => {
  const { calls, register } = setUp(t)
  const first = await register('k1')
  t.equal(first.headers['idempotency-replayed'], undefined)
  for (const key of ['k1', '"k1"']) {
    const again = await register(key)
    t.equal(again.statusCode, 201)
    t.equal(again.headers['idempotency-replayed'], 'true')
    t.equal(again.headers.location, '/v1/upstreams/up-1')
    t.equal(again.headers['content-type'], first.headers['content-type'])
    t.strictSame(again.json(), first.json())
  }
  t.match(calls, [{ verb: 'register', keeps: true }])
  t.equal(calls.length, 1)
})

t.test('without a key each request acts', async (t) => {
  const { keys, calls, register } = setUp(t)
  await register(null)
  await register(null)
  t.equal(calls.length, 2)
  t.equal(keys.rows.size, 0)
})

t.test('a key belongs to one request', async (t) => {
  const { calls, app, register } = setUp(t)
  await register('k1', { address: 'h:1', labels: { a: '1', b: '2' } })
  t.equal((await register('k1', { labels: { b: '2', a: '1' }, address: 'h:1' })).statusCode, 201, 'reordered')
  const others = [
    await register('k1', { address: 'h:2', labels: { a: '1', b: '2' } }),
    await register('k1', { address: 'h:1', labels: { a: '1', b: '2' } }, '/v1/upstreams?reason=other'),
    await app.inject({
      method: 'POST',
      url: '/v1/upstreams/up-1/release',
      headers: { 'idempotency-key': 'k1' },
    }),
  ]
  for (const answer of others) {
    t.equal(answer.statusCode, 422)
    t.match(answer.json(), { code: 'idempotency_mismatch' })
  }
  t.equal(calls.length, 1)
})

t.test(
  'a refusal is an answer: it is told again, though the verb might think otherwise by now',
  async (t) => {
    let refusals = 0
    const refuse = () => new ControlError('conflict', `Taken, said for the time ${(refusals += 1)}.`)
    const { register } = setUp(t, { refuse })
    const first = await register('k1')
    const again = await register('k1')
    t.equal(first.statusCode, 409)
    t.equal(again.statusCode, 409)
    t.equal(again.headers['idempotency-replayed'], 'true')
    t.match(again.headers['content-type'], /^application\/problem\+json/)
    t.strictSame(again.json(), first.json())
    t.equal(refusals, 1)
  },
)

t.test('after a failure a repetition acts', async (t) => {
  for (const error of [databaseAway(), new TypeError('a bug')]) {
    const failures: (Error | null)[] = [error, error, null]
    const { calls, register } = setUp(t, { refuse: () => failures.shift() })
    const statuses = []
    for (let turn = 0; turn < 4; turn += 1) statuses.push((await register('k1')).statusCode)
    t.strictSame(statuses.slice(2), [201, 201])
    t.ok(statuses[0]! >= 500 && statuses[1]! >= 500)
    t.equal(calls.length, 3, 'the fourth was told again')
  }
})

t.test('what cannot be understood takes no key', async (t) => {
  const { keys, register } = setUp(t)
  t.equal((await register('k1', { address: 'nonsense' })).statusCode, 400)
  t.equal((await register('k1', { name: 'n' })).statusCode, 400)
  t.equal((await register('not a key')).statusCode, 400)
  t.equal(keys.rows.size, 0)
  t.equal((await register('k1')).statusCode, 201)
})

t.test('a release is kept after it is done', async (t) => {
  let releases = 0
  const job = { id: 'job-1', type: null, institution: null }
  const pin: Pin = { job, upstreamId: 'up-1', freshBy: null, pinnedAtMs: 0, expiresAtMs: 1 }
  const jobs = {
    ...noJobs,
    release: async () => {
      releases += 1
      return releases === 1 ? pin : null
    },
  }
  const request = { method: 'DELETE' as const, url: '/v1/jobs/job-1', headers: { 'idempotency-key': 'k1' } }

  t.test('and told again', async (t) => {
    releases = 0
    const { app } = makeAdmin(t, { control: makeControl().control, jobs })
    const first = await app.inject(request)
    const again = await app.inject(request)
    t.equal(again.headers['idempotency-replayed'], 'true')
    t.strictSame(again.json(), first.json())
    t.equal(releases, 1)
  })

  t.test('and told once where it cannot be kept: never done again', async (t) => {
    releases = 0
    const keys = { ...makeMemoryKeys(), keep: () => Promise.reject(databaseAway()) }
    const { app } = makeAdmin(t, { control: makeControl({ records: { keys } }).control, jobs })
    t.equal((await app.inject(request)).statusCode, 200)
    const again = await app.inject(request)
    t.equal(again.statusCode, 409)
    t.match(again.json(), { code: 'idempotency_in_flight' })
    t.equal(releases, 1)
  })

  t.test('a release that failed may have happened all the same, so its key stays taken', async (t) => {
    const keys = makeMemoryKeys()
    let tries = 0
    const release = async () => {
      tries += 1
      throw new GatewayError('store_unavailable', { detail: 'no answer' })
    }
    const { app } = makeAdmin(t, {
      control: makeControl({ records: { keys } }).control,
      jobs: { ...jobs, release },
    })
    t.equal((await app.inject(request)).statusCode, 503)
    t.match((await app.inject(request)).json(), { code: 'idempotency_in_flight', detail: /nobody knows/ })
    t.equal(tries, 1)
  })

  t.test('its claim is never taken over, as that of a change is', async (t) => {
    const retakes: boolean[] = []
    const keys = makeMemoryKeys()
    const claim: typeof keys.claim = (key, fingerprint, options) => {
      retakes.push(options.retake)
      return keys.claim(key, fingerprint, options)
    }
    const { app } = makeAdmin(t, {
      control: makeControl({ records: { keys: { ...keys, claim } } }).control,
      jobs,
    })
    const headers = (key: string) => ({ 'idempotency-key': key })
    await app.inject(request)
    await app.inject({
      method: 'POST',
      url: '/v1/jobs/a/report',
      payload: { outcome: 'ok' },
      headers: headers('k2'),
    })
    await app.inject({ method: 'POST', url: '/v1/upstreams/up-1/quarantine', headers: headers('k3') })
    t.strictSame(retakes, [false, true, true], 'a report is one row however often it is written')
  })
})

t.test('the fingerprint is of what is asked, not of how it is written', async (t) => {
  const request = {
    method: 'POST',
    routeOptions: { url: '/v1/things/:id' },
    params: { id: 'a' },
    query: { x: '1', y: '2' },
    body: { a: [1, 2], b: { c: 'd', e: null } },
  }
  const same = { ...request, query: { y: '2', x: '1' }, body: { b: { e: null, c: 'd' }, a: [1, 2] } }
  t.match(fingerprintOf(request), /^[0-9a-f]{64}$/)
  t.equal(fingerprintOf(same), fingerprintOf(request))
  t.equal(fingerprintOf({ ...request, body: undefined }), fingerprintOf({ ...request, body: null }))
  const others = [
    { ...request, method: 'PUT' },
    { ...request, routeOptions: { url: '/v1/others/:id' } },
    { ...request, params: { id: 'b' } },
    { ...request, query: { x: '1' } },
    { ...request, body: { ...request.body, a: [2, 1] } },
    { ...request, body: { ...request.body, b: { c: 'd' } } },
    { ...request, body: null },
  ]
  const prints = [request, ...others].map(fingerprintOf)
  t.equal(new Set(prints).size, prints.length)
})
