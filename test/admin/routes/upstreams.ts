import t from 'tap'
import type { PageRequest } from '../../../src/store/records.ts'
import { makeAdmin } from '../../fixtures/admin.ts'
import { databaseAway, makeControl, upstreamRecord } from '../../fixtures/admin-control.ts'

const first = upstreamRecord({ id: 'up-1', labels: { pool: 'a' }, egressIp: '203.0.113.7', zone: 'eu-1' })
const shape = {
  id: 'up-1',
  name: 'up-1',
  provider: 'static',
  zone: 'eu-1',
  state: 'running',
  host: '127.0.0.1',
  port: 8888,
  egressIp: '203.0.113.7',
  listedIp: null,
  labels: { pool: 'a' },
  ejected: false,
  quarantined: false,
  credentials: null,
  pins: 3,
  tunnels: 0,
  drain: null,
  replacedBy: null,
  problem: null,
  attempts: 0,
  retryAt: null,
  ejectedUntil: null,
  instanceId: 'up-1',
  incarnation: null,
  addedBy: 'operator',
  stateSince: '2026-01-01T00:00:00.000Z',
  createdAt: '2026-01-01T00:00:00.000Z',
  updatedAt: '2026-01-02T00:00:00.000Z',
  deletedAt: null,
}
const load = async () => ({ pins: new Map([['up-1', 3]]), tunnels: new Map() })

t.test('the list', async (t) => {
  const asked: unknown[] = []
  const list = async (request: PageRequest) => {
    asked.push(request)
    return { items: [first], next: 'up-1' }
  }
  const records = { upstreams: { list, read: async () => null } }

  t.test('of a page, whole', async (t) => {
    const { app } = makeAdmin(t, { control: makeControl({ load, records }).control })
    const answer = await app.inject({ url: '/v1/upstreams' })
    t.equal(answer.statusCode, 200)
    t.strictSame(answer.json(), { items: [shape], next: 'up-1' })
    t.strictSame(asked.pop(), { after: null, limit: 100, state: null })
    await app.inject({ url: '/v1/upstreams?state=deleted&limit=7&after=up-1' })
    t.strictSame(asked.pop(), { after: 'up-1', limit: 7, state: 'deleted' })
  })

  t.test('while Redis is away, without pins and tunnels', async (t) => {
    const { app } = makeAdmin(t, { control: makeControl({ load: async () => null, records }).control })
    const answer = await app.inject({ url: '/v1/upstreams' })
    t.equal(answer.statusCode, 200)
    t.strictSame(answer.json().items, [{ ...shape, pins: null, tunnels: null }])
  })

  t.test('while PostgreSQL is away: what still works', async (t) => {
    const away = { ...records.upstreams, list: () => Promise.reject(databaseAway()) }
    const { app } = makeAdmin(t, { control: makeControl({ records: { upstreams: away } }).control })
    const answer = await app.inject({ url: '/v1/upstreams' })
    t.equal(answer.statusCode, 503)
    t.equal(answer.headers['retry-after'], '2')
    t.match(answer.json(), { code: 'database_unavailable', detail: /GET \/v1\/explain/ })
  })
})

t.test('one, also a deleted one', async (t) => {
  const gone = { ...first, state: 'deleted' as const, deletedAtMs: Date.UTC(2026, 0, 3) }
  const read = async (id: string) => (id === 'up-1' ? gone : null)
  const upstreams = { list: async () => ({ items: [], next: null }), read }
  const { app } = makeAdmin(t, { control: makeControl({ load, records: { upstreams } }).control })
  const answer = await app.inject({ url: '/v1/upstreams/up-1' })
  t.strictSame(answer.json(), { ...shape, state: 'deleted', deletedAt: '2026-01-03T00:00:00.000Z' })
  const missing = await app.inject({ url: '/v1/upstreams/up-2' })
  t.equal(missing.statusCode, 404)
  t.match(missing.json(), { code: 'not_found', detail: /"up-2"/ })
})

t.test('registering', async (t) => {
  const { control, calls } = makeControl({ upstream: first, load, version: 9 })
  const { app } = makeAdmin(t, { control })
  const register = (payload: object) => app.inject({ method: 'POST', url: '/v1/upstreams', payload })

  t.test('answers where it is, and the version that has it', async (t) => {
    const answer = await register({ address: '10.0.0.5:8888' })
    t.equal(answer.statusCode, 201)
    t.equal(answer.headers.location, '/v1/upstreams/up-1')
    t.strictSame(answer.json(), { ...shape, version: 9 })
    t.match(calls.pop(), { verb: 'register', author: { actor: 'admin', reason: null }, keeps: false })
  })

  t.test('hands on what was said, in its one spelling', async (t) => {
    const rows: [payload: object, given: object][] = [
      [{ address: '10.0.0.5:8888' }, { host: '10.0.0.5', port: 8888 }],
      [{ address: '[0:0::1]:8888' }, { host: '::1', port: 8888 }],
      [{ address: 'Proxy.Internal.:1' }, { host: 'proxy.internal', port: 1 }],
      [
        { address: 'h:1', name: 'n', egressIp: '2001:DB8:0::7', labels: { a: 'b' }, credentials: 'c' },
        { name: 'n', egressIp: '2001:db8::7', labels: { a: 'b' }, credentials: 'c' },
      ],
      [{ address: 'h:1', name: null, egressIp: null, credentials: null }, {}],
    ]
    for (const [payload, given] of rows) {
      t.equal((await register(payload)).statusCode, 201, JSON.stringify(payload))
      const none = { host: 'h', port: 1, name: null, egressIp: null, labels: {}, credentials: null }
      t.strictSame(calls.pop()?.given, [{ ...none, ...given }])
    }
  })

  t.test('refuses what is no address, and never repeats it', async (t) => {
    const addresses = [
      '10.0.0.5',
      'h:0',
      'h:65536',
      'http://h:1',
      'user:hunter2@h:1',
      'hunter2:x',
      '::1:8888',
    ]
    for (const address of [...addresses, '', 'h:1/', '127.1:1', '[::1%eth0]:1', `${'x'.repeat(300)}:1`]) {
      const answer = await register({ address })
      t.equal(answer.statusCode, 400, address)
      t.match(answer.json(), { code: 'bad_request', detail: /^Field "address" must be host:port, such as/ })
      t.notMatch(answer.body, /hunter2/)
    }
    for (const egressIp of ['203.0.113', 'host', 'fe80::1%eth0', '203.0.113.7/32']) {
      const answer = await register({ address: 'h:1', egressIp })
      t.equal(answer.statusCode, 400, egressIp)
      t.match(answer.json(), { detail: /^Field "egressIp" must be an IP address/ })
    }
    t.strictSame(calls, [])
  })
})

t.test('ordering', async (t) => {
  const { host: _, port: _1, ...ordered } = shape
  const upstream = { ...first, host: '', port: 0, state: 'provisioning' as const }
  const { control, calls } = makeControl({ upstream, load, version: 9 })
  const { app } = makeAdmin(t, { control })
  const order = (payload: object, key?: string) =>
    app.inject({
      method: 'POST',
      url: '/v1/upstreams',
      payload,
      headers: key === undefined ? {} : { 'idempotency-key': key },
    })

  t.test('answers what it is called and where it tells how far it is', async (t) => {
    const answer = await order({ labels: { pool: 'a' }, zone: 'eu-1' })
    t.equal(answer.statusCode, 202)
    t.equal(answer.headers.location, '/v1/upstreams/up-1')
    t.strictSame(answer.json(), { ...ordered, state: 'provisioning', host: null, port: null, version: 9 })
    t.match(calls.pop(), { verb: 'create', given: [{ labels: { pool: 'a' }, zone: 'eu-1' }] })
    t.equal((await order({})).statusCode, 202)
    t.strictSame(calls.pop()?.given, [{ labels: null, zone: null }])
  })

  t.test('a key orders one machine', async (t) => {
    const [one, again] = [await order({}, 'k'), await order({}, 'k')]
    t.equal(again.headers['idempotency-replayed'], 'true')
    t.match(again, { statusCode: 202, body: one.body, headers: { location: '/v1/upstreams/up-1' } })
    t.match((await order({ zone: 'eu-2' }, 'k')).json(), { status: 422, code: 'idempotency_mismatch' })
    t.match((await order({ address: 'h:1' }, 'k')).json(), { status: 422, code: 'idempotency_mismatch' })
    t.match(calls.splice(0), [{ verb: 'create', keeps: true }])
  })

  t.test('is not mixed with registering', async (t) => {
    for (const payload of [{ address: 'h:1', zone: 'eu-1' }, { name: 'n' }, { zone: 'eu 1' }, { zone: '' }])
      t.equal((await order(payload)).statusCode, 400, JSON.stringify(payload))
    const none = await app.inject({ method: 'POST', url: '/v1/upstreams' })
    t.equal(none.statusCode, 400, 'a body that was forgotten orders nothing')
    t.strictSame(calls, [])
  })
})
