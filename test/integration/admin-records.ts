// The admin API on a real PostgreSQL, with the verbs of control: what a key promises holds with many at once, and
// what the database keeps comes back as it was told.

import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { makeFleetEdits } from '../../src/control/edit-fleet.ts'
import { makeRestrictionEdits } from '../../src/control/edit-restrictions.ts'
import { makeUpstreamEdits } from '../../src/control/edit-upstreams.ts'
import { makeEvents } from '../../src/events.ts'
import { makeStaticProvider } from '../../src/provider/static.ts'
import type { RecordStore } from '../../src/store/records.ts'
import { makeAdmin } from '../fixtures/admin.ts'
import { controlWorlds, pinJob, type World } from '../fixtures/control-under-test.ts'
import { added, apply } from '../fixtures/records-under-test.ts'
import { snapshot } from '../fixtures/snapshot.ts'

const { server, openWorld } = await controlWorlds(t)

let suffixes = 0
const newSuffix = () => String((suffixes += 1)).padStart(8, '0')

/** One control process; several on one world are several processes. */
function openProcess(t: Test, { store }: Pick<World, 'store'>, records: RecordStore) {
  const load = async () => ({ pins: await store.pins.counts(), tunnels: new Map<string, number>() })
  const { fleet } = records
  const changed = () => {}
  return makeAdmin(t, {
    jobs: { pins: store.pins, release: store.pins.release, upstream: () => null, tunnels: () => 0 },
    control: {
      upstreams: makeUpstreamEdits({
        fleet,
        provider: makeStaticProvider(() => []),
        settings: { drainMs: 60_000, probes: false },
        newSuffix,
        newRequestId: randomUUID,
        changed,
      }),
      fleet: makeFleetEdits({ fleet, provider: makeStaticProvider(() => []), changed }),
      sync: { ask: async () => ({ pass: 'none' }), report: () => records.syncs.read() },
      restrictions: makeRestrictionEdits({
        fleet,
        pins: store.pins,
        newId: () => `rule-${newSuffix()}`,
        changed,
      }),
      tokens: { keys: [], events: makeEvents(), now: Date.now },
      records,
      snapshot: () => store.snapshots.read(),
      load,
    },
  }).app
}

async function setUp(t: Test) {
  const world = await openWorld(t)
  const { records, store } = world
  return {
    records,
    store,
    app: openProcess(t, world, records.store),
    another: () => openProcess(t, world, records.another()),
  }
}

type Request = { method: 'GET' | 'POST' | 'PUT' | 'DELETE'; url: string; payload?: object }
const withKey = (request: Request, key: string) => ({ ...request, headers: { 'idempotency-key': key } })
const register = (n: number): Request => ({
  method: 'POST',
  url: '/v1/upstreams',
  payload: { address: `10.0.0.${n}:8888`, labels: { pool: 'a', 'b-before-a': 'ü' } },
})

t.test('fifty at once with one key, at two processes, act once', async (t) => {
  const { app, another, records } = await setUp(t)
  const processes = [app, another()]
  const request = withKey(register(1), 'k1')
  const answers = await Promise.all(Array.from({ length: 50 }, (_, n) => processes[n % 2]!.inject(request)))
  t.equal((await records.store.fleet.head()).version, 1, 'one change')
  const acted = answers.filter(({ statusCode }) => statusCode === 201)
  t.equal(acted.filter(({ headers }) => headers['idempotency-replayed'] === undefined).length, 1)
  for (const answer of answers.filter(({ statusCode }) => statusCode !== 201))
    t.match(answer.json(), { status: 409, code: 'idempotency_in_flight' })

  const original = acted.find(({ headers }) => headers['idempotency-replayed'] === undefined)!
  for (const process of processes) {
    const again = await process.inject(request)
    t.equal(again.statusCode, 201)
    t.equal(again.headers['idempotency-replayed'], 'true')
    t.equal(again.headers.location, original.headers.location)
    t.equal(again.body, original.body, 'to the letter')
  }
  const found = await app.inject({ url: String(original.headers.location) })
  const { version: _, ...upstream } = original.json()
  t.strictSame(found.json(), upstream, 'it stands where Location says, as it was told')
})

t.test('fifty keys are fifty changes, and each has its row in the ledger', async (t) => {
  const { app, another, records } = await setUp(t)
  const processes = [app, another()]
  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, n) => processes[n % 2]!.inject(withKey(register(n + 1), `k${n}`))),
  )
  t.ok(answers.every(({ statusCode }) => statusCode === 201))
  t.equal(new Set(answers.map((answer) => answer.json().version)).size, 50)
  t.equal((await records.store.fleet.head()).version, 50)
  t.match((await app.inject({ url: '/v1/ledger/verify' })).json(), { ok: true, entries: 50, version: 50 })
})

t.test('a refusal is kept: it is told again when it would be granted by now', async (t) => {
  const { app, records } = await setUp(t)
  const first = await app.inject(register(1))
  const again = withKey(register(1), 'k1')
  const refused = await app.inject(again)
  t.match(refused.json(), { status: 409, code: 'conflict' })
  await apply(records.store, { kind: 'upstream_deleted', id: first.json().id, by: 'operator' })
  const told = await app.inject(again)
  t.equal(told.headers['idempotency-replayed'], 'true')
  t.equal(told.body, refused.body)
  t.equal((await app.inject(withKey(register(1), 'k2'))).statusCode, 201)
})

t.test('who died while holding a key: a change is done after a while, a release never again', async (t) => {
  const { app, records, store } = await setUp(t)
  await app.inject(register(1))
  const id = (await app.inject({ url: '/v1/upstreams' })).json().items[0].id
  await store.snapshots.publish(snapshot(1, ['up-1', 'up-2']))
  const quarantine = withKey({ method: 'POST', url: `/v1/upstreams/${id}/quarantine` }, 'k1')
  const release = withKey({ method: 'DELETE', url: '/v1/jobs/job-1' }, 'k2')
  // The keys of both requests, claimed by one who never comes back.
  const dying = openProcess(
    t,
    { store },
    {
      ...records.store,
      keys: {
        ...records.store.keys,
        claim: async (...given) => {
          await records.store.keys.claim(...given)
          throw new Error('died')
        },
      },
    },
  )
  for (const request of [quarantine, release]) t.equal((await dying.inject(request)).statusCode, 500)

  for (const request of [quarantine, release])
    t.match((await app.inject(request)).json(), { code: 'idempotency_in_flight' })
  await records.pass(61_000)
  t.match((await app.inject(quarantine)).json(), { quarantined: true, version: 2 })
  t.match((await app.inject(release)).json(), { code: 'idempotency_in_flight' })
})

t.test('releases with one key at once release once', async (t) => {
  const { app, another, store } = await setUp(t)
  await store.snapshots.publish(snapshot(1, ['up-1', 'up-2']))
  await pinJob({ store }, { id: 'job-1', type: 'payment' }, ['up-1'])
  const processes = [app, another()]
  const request = withKey({ method: 'DELETE', url: '/v1/jobs/job-1' }, 'k1')
  const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => processes[n % 2]!.inject(request)))
  for (const { statusCode } of answers) t.ok([200, 409].includes(statusCode), String(statusCode))
  await pinJob({ store }, { id: 'job-1' }, ['up-2'])
  const again = await app.inject(request)
  t.match(again.json(), { id: 'job-1', type: 'payment', upstream: { id: 'up-1' } })
  t.match(await store.pins.read('job-1'), { upstreamId: 'up-2' }, 'a later life of the job is not touched')
})

t.test('lists can be followed to their end', async (t) => {
  const { app, records } = await setUp(t)
  const ids = Array.from({ length: 7 }, (_, n) => `up-${n}`)
  for (const [n, id] of ids.entries()) await apply(records.store, added(id, { port: 8000 + n }))
  const rules = ['z', 'a', 'm']
  for (const id of rules) {
    const payload = { id, kind: 'deny', institution: 'bank-a', upstreams: { ids: ['up-0'] } }
    t.equal((await app.inject({ method: 'POST', url: '/v1/restrictions', payload })).statusCode, 201)
  }
  type Page = { readonly items: { id?: string; version?: number }[]; readonly next: string | null }
  async function follow(url: string, after: string | null = null): Promise<Page['items']> {
    const answer = await app.inject({ url: `${url}?limit=2${after === null ? '' : `&after=${after}`}` })
    t.equal(answer.statusCode, 200)
    const { items, next } = answer.json<Page>()
    t.ok(items.length <= 2)
    return next === null ? items : [...items, ...(await follow(url, next))]
  }
  t.strictSame(
    (await follow('/v1/upstreams')).map(({ id }) => id),
    ids,
  )
  t.strictSame(
    (await follow('/v1/restrictions')).map(({ id }) => id),
    rules,
  )
  t.strictSame(
    (await follow('/v1/ledger')).map(({ version }) => version),
    Array.from({ length: 10 }, (_, n) => 10 - n),
  )
  const about = (await app.inject({ url: '/v1/ledger?about=m' })).json()
  t.match(about, {
    items: [{ version: 10, actor: 'admin', steps: [{ kind: 'restriction_added' }] }],
    next: null,
  })
  for (const list of ['restrictions', 'ledger'])
    t.match((await app.inject({ url: `/v1/${list}?after=nonsense` })).json(), {
      status: 400,
      code: 'bad_request',
    })
})

t.test('reports come back newest first', async (t) => {
  const { app } = await setUp(t)
  for (const outcome of ['ok', 'blocked'])
    await app.inject({ method: 'POST', url: '/v1/jobs/job-1/report', payload: { outcome } })
  t.match((await app.inject({ url: '/v1/jobs/job-1/reports' })).json(), {
    items: [{ outcome: 'blocked', actor: 'admin' }, { outcome: 'ok' }],
    next: null,
  })
  t.equal((await app.inject({ url: '/v1/jobs/job-1/reports?limit=1' })).json().items.length, 1)
})

t.test('a report whose answer was lost is one report when it is repeated', async (t) => {
  const { app, records } = await setUp(t)
  const report = () =>
    app.inject({
      method: 'POST',
      url: '/v1/jobs/job-1/report',
      payload: { outcome: 'ok' },
      headers: { 'idempotency-key': 'key-1' },
    })
  t.equal((await report()).statusCode, 202)
  // As if the process had died before it kept the answer, a while ago.
  await records.tamper(
    `update idempotency_keys set answer = null, claimed_at = claimed_at - interval '2 minutes'`,
  )
  t.equal((await report()).statusCode, 202)
  t.equal((await app.inject({ url: '/v1/jobs/job-1/reports' })).json().items.length, 1)
})

t.test('texts of all kinds come back as they were', async (t) => {
  const { app } = await setUp(t)
  const labels = { 'ключ ü/"\\': '🚧 \u2028 \u00a0', '~': '', constructor: 'x' }
  const reason = 'gesperrt: "bank-ä" \\ 🚧 %00'
  const made = await app.inject({
    method: 'POST',
    url: `/v1/upstreams?reason=${encodeURIComponent(reason)}`,
    payload: { address: 'h:1', labels },
  })
  t.equal(made.statusCode, 201)
  t.strictSame((await app.inject({ url: `/v1/upstreams/${made.json().id}` })).json().labels, labels)
  t.strictSame((await app.inject({ url: '/v1/ledger/1' })).json().reason, reason)
  for (const bad of ['\0', '\ud800'])
    t.equal(
      (await app.inject({ ...register(2), payload: { address: 'h:2', labels: { a: bad } } })).statusCode,
      400,
    )
})

// The last: it takes the database away.
t.test('while PostgreSQL is away, what needs it says so, and the rest answers', async (t) => {
  const { app, records, store } = await setUp(t)
  await store.snapshots.publish(snapshot(1, ['up-1', 'up-2']))
  await pinJob({ store }, { id: 'job-1' }, ['up-1'])
  await server.halt()
  const needing: Request[] = [
    { method: 'GET', url: '/v1/upstreams' },
    { method: 'GET', url: '/v1/restrictions/a' },
    { method: 'GET', url: '/v1/ledger/verify' },
    { method: 'GET', url: '/v1/jobs/job-1/reports' },
    register(1),
    { method: 'POST', url: '/v1/jobs/job-1/report', payload: { outcome: 'ok' } },
  ]
  const keyed = [withKey(register(1), 'k1'), withKey({ method: 'DELETE', url: '/v1/jobs/job-1' }, 'k2')]
  for (const request of [...needing, ...keyed]) {
    const answer = await app.inject(request)
    t.equal(answer.statusCode, 503, `${request.method} ${request.url}`)
    t.equal(answer.headers['retry-after'], '2')
    t.match(answer.json(), { code: 'database_unavailable', detail: /GET \/v1\/explain/ })
  }
  for (const url of ['/v1/jobs/job-1', '/v1/explain?type=payment', '/healthz', '/readyz', '/metrics'])
    t.equal((await app.inject({ url })).statusCode, 200, url)
  t.equal((await app.inject({ method: 'DELETE', url: '/v1/jobs/job-1' })).statusCode, 200)

  await server.start()
  // The server of the tests may lose what was committed in its last moment: our fleet.
  await records.store.migrate()
  const back = await app.inject(keyed[0]!)
  t.equal(back.statusCode, 201, back.body)
})
