import t from 'tap'
import { migrate, readMigrations } from '../../../src/store/postgres/migrate.ts'
import { makeRecordStore } from '../../../src/store/postgres/records.ts'
import type { RecordStore } from '../../../src/store/records.ts'
import { openPg } from '../../../src/store/postgres/pg.ts'
import { postgresFor } from '../../fixtures/postgres.ts'
import { added, apply, author, timeouts } from '../../fixtures/records-under-test.ts'

const server = await postgresFor(t)

const page = { after: null, limit: 1 }
const asks: { readonly [name: string]: (store: RecordStore) => Promise<unknown> } = {
  'fleet.read': (store) => store.fleet.read(),
  'fleet.head': (store) => store.fleet.head(),
  'fleet.change': (store) => apply(store, added('up-a')),
  'fleet.changeUpstreams': (store) =>
    store.fleet.changeUpstreams({
      author,
      ids: ['up-a'],
      decide: () => ({ steps: [], answer: null }),
    }),
  'fleet.storeSeen': (store) => store.fleet.storeSeen('store-1'),
  'upstreams.list': (store) => store.upstreams.list({ ...page, state: null }),
  'upstreams.read': (store) => store.upstreams.read('up-a'),
  'restrictions.list': (store) => store.restrictions.list(page),
  'restrictions.read': (store) => store.restrictions.read('r-1'),
  'ledger.list': (store) => store.ledger.list({ ...page, about: null }),
  'ledger.read': (store) => store.ledger.read(1),
  'ledger.verify': (store) => store.ledger.verify(),
  'keys.claim': (store) => store.keys.claim('key', 'f', { retake: true }),
  'keys.sweep': (store) => store.keys.sweep(),
  'reports.list': (store) => store.reports.list('job-1', 1),
  'claims.waiting': (store) => store.claims.waiting({ provider: 'gce', place: null, limit: 1 }),
  'claims.take': (store) => store.claims.take(['up-a'], { holder: 'control-1', forMs: 1 }),
  'claims.note': (store) => store.claims.note({ id: 'up-a', holder: 'control-1', fence: 1 }, {}),
  'syncs.read': (store) => store.syncs.read(),
}

t.test('before the tables are there, every call says what to do', async (t) => {
  const db = openPg({ url: await server.createDatabase(), timeouts, poolSize: 2 })
  t.teardown(() => db.close())
  const store = makeRecordStore({ db, fleet: 'default' })
  await store.ping()
  const refusal = { code: 'database_unavailable', detail: /tables are not there yet.*lanekeeper migrate/ }
  for (const [name, ask] of Object.entries(asks)) await t.rejects(ask(store), refusal, name)
})

t.test('before the fleet is there, every call names it; then the same store works', async (t) => {
  const db = openPg({ url: await server.createDatabase(), timeouts, poolSize: 2 })
  t.teardown(() => db.close())
  await makeRecordStore({ db, fleet: 'default' }).migrate()
  const store = makeRecordStore({ db, fleet: 'another' })
  const refusal = { code: 'database_unavailable', detail: /no fleet "another" yet/ }
  for (const [name, ask] of Object.entries(asks)) await t.rejects(ask(store), refusal, name)
  await store.migrate()
  for (const [name, ask] of Object.entries(asks)) await t.resolves(ask(store), name)
})

t.test('tables that were there, and are gone, are told too', async (t) => {
  const db = openPg({ url: await server.createDatabase(), timeouts, poolSize: 2 })
  t.teardown(() => db.close())
  const store = makeRecordStore({ db, fleet: 'default' })
  await store.migrate()
  await store.fleet.head()
  await db.transaction((statements) => statements.exec('drop table upstreams'))
  await t.rejects(store.fleet.read(), { code: 'database_unavailable', detail: /tables are not there yet/ })
})

t.test('tables that an older program has made are told as well', async (t) => {
  const db = openPg({ url: await server.createDatabase(), timeouts, poolSize: 2 })
  t.teardown(() => db.close())
  const ours = readMigrations(new URL('../../../src/store/postgres/migrations/', import.meta.url))
  await migrate(db, ours.slice(0, 6))
  await db.query(`insert into fleets (name) values ('default')`)
  const store = makeRecordStore({ db, fleet: 'default' })
  const refusal = { code: 'database_unavailable', detail: /not up to date yet.*lanekeeper migrate/ }
  await t.rejects(store.fleet.head(), refusal)
  await store.migrate()
  t.match(await store.fleet.head(), { version: 0 })
})
