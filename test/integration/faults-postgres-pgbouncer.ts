// PgBouncer in transaction mode between us and PostgreSQL: that it shares connections among all, runs short of them, dies
// and comes back. The suites of the store run through it in test/store/postgres/records.ts.

import pg from 'pg'
import t, { type Test } from 'tap'
import type { DbTimeouts } from '../../src/store/postgres/db.ts'
import { openPg } from '../../src/store/postgres/pg.ts'
import { makeRecordStore } from '../../src/store/postgres/records.ts'
import { bouncerFor, type Bouncer } from '../fixtures/pgbouncer.ts'
import { ask, postgresFor } from '../fixtures/postgres.ts'
import { added, apply, timeouts } from '../fixtures/records-under-test.ts'
import { until } from '../fixtures/until.ts'

const server = await postgresFor(t)
/** One connection to the server for a database, a second of waiting for it. */
const scarce = await bouncerFor(t, server, {
  settings: { default_pool_size: '1', query_wait_timeout: '1', server_login_retry: '1' },
})
const unavailable = { name: 'ControlError', code: 'database_unavailable' }

async function setUp(t: Test, bouncer: Bouncer, how: Partial<DbTimeouts> = {}) {
  const url = await bouncer.createDatabase()
  const open = () => {
    const db = openPg({ url, timeouts: { ...timeouts, ...how }, poolSize: 4 })
    t.teardown(() => db.close())
    return { db, store: makeRecordStore({ db, fleet: 'main' }) }
  }
  const first = open()
  await first.store.migrate()
  return { url, open, ...first }
}

t.test('two processes and one connection to the server: nothing of one reaches the other', async (t) => {
  const { url, open, store } = await setUp(t, scarce)
  const other = open()
  const writes = Array.from({ length: 20 }, (_, n) =>
    apply(n % 2 === 0 ? store : other.store, added(`up-${n}`)),
  )
  t.same(
    (await Promise.all(writes)).sort((a, b) => a - b),
    Array.from({ length: 20 }, (_, n) => n + 1),
  )
  t.match(await store.ledger.verify(), { ok: true, entries: 20 })
  const left = await ask(
    url,
    `select name from pg_settings where source = 'session' and name not in ('application_name', 'client_encoding')`,
  )
  t.same(left, [], 'and no setting stays')
  t.same(await ask(url, 'select name from pg_prepared_statements'), [], 'nor a statement')
})

t.test('no connection to the server is free in time: that is said, and then it works again', async (t) => {
  const { url, store } = await setUp(t, scarce)
  const client = new pg.Client(url)
  await client.connect()
  await client.query('begin')
  await client.query('select 1')
  const beganMs = performance.now()
  await t.rejects(store.fleet.head(), { ...unavailable, detail: /by the server or by a pooler before it/ })
  const changes = Array.from({ length: 10 }, (_, n) => apply(store, added(`up-${n}`)))
  for (const change of changes) await t.rejects(change, unavailable)
  // A second of PgBouncer's for each of both, which it looks after once a second.
  t.ok(performance.now() - beganMs < 10_000)
  await client.query('commit')
  await client.end()
  await apply(store, added('up-a'))
  t.match(await store.ledger.verify(), { ok: true, entries: 1 })
})

t.test('PgBouncer dies and comes back', async (t) => {
  const { store, open } = await setUp(t, scarce, { connectMs: 1000 })
  const other = open()
  await apply(store, added('up-a'))
  const underWay = other.db.query('select pg_sleep(5)')
  underWay.catch(() => null)
  await until(
    'it sleeps',
    async () => (await ask(server.url, `select 1 from pg_stat_activity where query ~ '^select pg_sleep'`))[0],
  )
  await scarce.halt()
  await t.rejects(underWay, unavailable)
  await t.rejects(store.fleet.head(), { ...unavailable, detail: /nothing listens there|connection broke/ })
  await scarce.start()
  await apply(store, added('up-b'))
  t.match(await other.store.ledger.verify(), { ok: true, entries: 2 })
})

// The last: the server goes too.
t.test('the server behind PgBouncer goes and comes back', async (t) => {
  const { store } = await setUp(t, scarce)
  await server.halt()
  await t.rejects(store.fleet.head(), unavailable)
  await server.start()
  await until('it works', () => store.fleet.head().catch(() => null), { everyMs: 50 })
  await apply(store, added('up-a'))
})
