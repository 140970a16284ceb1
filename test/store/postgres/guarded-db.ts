import t from 'tap'
import { makeRecordStore } from '../../../src/store/postgres/records.ts'
import type { RecordStore } from '../../../src/store/records.ts'
import { openPg } from '../../../src/store/postgres/pg.ts'
import { postgresFor } from '../../fixtures/postgres.ts'
import { added, apply, timeouts } from '../../fixtures/records-under-test.ts'

const server = await postgresFor(t)

const page = { after: null, limit: 1 }
const asks: { readonly [name: string]: (store: RecordStore) => Promise<unknown> } = {
  'fleet.read': (store) => store.fleet.read(),
  'fleet.head': (store) => store.fleet.head(),
  'fleet.change': (store) => apply(store, added('up-a')),
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
