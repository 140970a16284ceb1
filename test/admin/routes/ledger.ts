import t from 'tap'
import type { Ledger, LedgerEntry, Step } from '../../../src/store/records.ts'
import { makeAdmin } from '../../fixtures/admin.ts'
import { makeControl, restrictionRecord } from '../../fixtures/admin-control.ts'
import { noLife } from '../../fixtures/life.ts'
import { makeUpstream } from '../../fixtures/upstream.ts'

const { source: _, createdAtMs: _1, updatedAtMs: _2, ...rule } = restrictionRecord({ id: 'rule-1' })
const { stateVersion: _4, stateSinceMs: _5, claimFence: _6, ...life } = noLife('up-2')
/** Every field of a life that may change. */
const { instanceId: _7, ...changes } = {
  ...life,
  retryAtMs: 1,
  problem: 'quota: raise it',
  incarnation: '77',
}
const drain = {
  sinceMs: 1,
  deadlineMs: 2,
  thenDelete: true,
  by: 'operator' as const,
  drainedAtMs: 2,
  shut: { atMs: 2, pins: 3, tunnels: 4 },
}
/** One of each kind, so that each is compared with the document. */
const steps: Step[] = [
  { kind: 'upstream_added', upstream: { ...makeUpstream({ id: 'up-1' }), zone: null, addedBy: 'operator' } },
  {
    kind: 'upstream_added',
    upstream: { ...makeUpstream({ id: 'up-2', host: '' }), ...life, addedBy: 'control' },
  },
  {
    kind: 'upstream_changed',
    id: 'up-1',
    from: { quarantined: false, name: 'a' },
    to: { quarantined: true },
  },
  { kind: 'upstream_changed', id: 'up-1', from: changes, to: { ...changes, state: 'draining', drain } },
  { kind: 'upstream_deleted', id: 'up-1', by: 'provider' },
  { kind: 'upstream_deleted', id: 'up-2', by: 'control' },
  { kind: 'restriction_added', restriction: rule, source: 'api' },
  {
    kind: 'restriction_replaced',
    from: rule,
    restriction: { ...rule, upstreams: { labels: { pool: 'a' } } },
    source: 'config',
  },
  { kind: 'restriction_removed', restriction: rule },
  { kind: 'eviction_asked' },
  { kind: 'jobs_evicted', asked: 3, jobs: 12 },
  { kind: 'size_wanted', from: null, to: 5, configured: 4 },
  { kind: 'size_wanted', from: 5, to: null, configured: null },
  { kind: 'version_raised', above: 7 },
]
const entry: LedgerEntry = {
  version: 8,
  atMs: Date.UTC(2026, 0, 1),
  actor: 'admin:alice',
  reason: 'blocked',
  steps,
  previousHash: 'a1',
  hash: 'b2',
}
const { atMs: _3, ...rest } = entry
const shape = { ...rest, at: '2026-01-01T00:00:00.000Z' }

function setUp(said: Partial<Ledger> = {}) {
  const asked: unknown[] = []
  const ledger: Ledger = {
    list: async (request) => {
      asked.push(request)
      return { items: [entry], next: '8' }
    },
    read: async (version) => (version === 8 ? entry : null),
    verify: async () => ({ ok: true, entries: 8, version: 8, hash: 'b2' }),
    ...said,
  }
  return { asked, control: makeControl({ records: { ledger } }).control }
}

t.test('the list, whole', async (t) => {
  const { asked, control } = setUp()
  const { app } = makeAdmin(t, { control })
  t.strictSame((await app.inject({ url: '/v1/ledger' })).json(), { items: [shape], next: '8' })
  await app.inject({ url: '/v1/ledger?about=up-1&limit=3&after=9' })
  t.strictSame(asked, [
    { after: null, limit: 100, about: null },
    { after: '9', limit: 3, about: 'up-1' },
  ])
})

t.test('one entry', async (t) => {
  const { app } = makeAdmin(t, { control: setUp().control })
  t.strictSame((await app.inject({ url: '/v1/ledger/8' })).json(), shape)
  const missing = await app.inject({ url: '/v1/ledger/9' })
  t.equal(missing.statusCode, 404)
  t.match(missing.json(), { code: 'not_found', detail: /version 9/ })
  for (const version of ['0', '-1', '8a', '1e3', '9'.repeat(16)])
    t.equal((await app.inject({ url: `/v1/ledger/${version}` })).statusCode, 400, version)
})

t.test('whether the chain is whole', async (t) => {
  const { app } = makeAdmin(t, { control: setUp().control })
  t.strictSame((await app.inject({ url: '/v1/ledger/verify' })).json(), {
    ok: true,
    entries: 8,
    version: 8,
    hash: 'b2',
  })
  const broken = { ok: false as const, version: 5, problem: 'Its hash does not fit.' }
  const other = makeAdmin(t, { control: setUp({ verify: async () => broken }).control })
  const answer = await other.app.inject({ url: '/v1/ledger/verify' })
  t.equal(answer.statusCode, 200)
  t.strictSame(answer.json(), broken)
})

t.test('nobody changes it', async (t) => {
  const { app } = makeAdmin(t, { control: setUp().control })
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE'] as const)
    for (const url of ['/v1/ledger', '/v1/ledger/8', '/v1/ledger/verify'])
      t.equal((await app.inject({ method, url })).statusCode, 405, `${method} ${url}`)
})
