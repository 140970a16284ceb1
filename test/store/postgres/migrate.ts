import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import type { Test } from 'tap'
import type { Db } from '../../../src/store/postgres/db.ts'
import { migrate, readMigrations } from '../../../src/store/postgres/migrate.ts'
import type { Migration } from '../../../src/store/postgres/migrate.ts'
import { makeRecordStore } from '../../../src/store/postgres/records.ts'
import { openPg } from '../../../src/store/postgres/pg.ts'
import { pgOn, pgliteFor, timeouts } from '../../fixtures/db-under-test.ts'
import { noLife } from '../../fixtures/life.ts'
import { ask, postgresFor } from '../../fixtures/postgres.ts'
import { added, apply, changed } from '../../fixtures/records-under-test.ts'

const server = await postgresFor(t)
const adapters = { 'a server': pgOn(server), PGlite: await pgliteFor(t) }

function migration(number: number, sql: string): Migration {
  return { number, name: `000${number}_test`, sql }
}

const first = migration(1, 'create table steps (id int primary key); insert into steps values (1)')
const second = migration(2, 'insert into steps values (2)')
const third = migration(3, 'insert into steps values (3)')

/** As an older program has left them. */
const before0007 = `
  insert into fleets (name, wanted_size) values ('one', 4), ('two', null);
  insert into upstreams (
    fleet, id, name, provider, zone, labels, host, port, state, ejected, quarantined, added_by,
    created_at, updated_at, deleted_at, deleted_by
  )
  select
    fleet, id, id, 'gce', 'z', '{}', '10.0.0.1', 8888, state, false, false, 'provider',
    '2026-01-01T10:00:00Z', '2026-03-01T10:00:00Z',
    case when state = 'deleted' then timestamptz '2026-02-01T10:00:00Z' end,
    case when state = 'deleted' then 'provider' end
  from (values
    ('one', 'vm-1', 'deleted'),
    ('one', 'vm-1.2', 'deleted'),
    ('one', 'vm-1.3', 'running'),
    ('one', 'vm-1x2', 'running'),
    -- Named so from the first: a life of nothing, and no life's number.
    ('one', 'vm-2.2', 'running'),
    ('two', 'vm-2', 'running'),
    ('one', 'vm-10', 'running'),
    ('one', 'vm-10.1', 'running')
  ) as rows (fleet, id, state)`

const before0008 = (id: string) => `
  insert into fleets (name) values ('one') on conflict do nothing;
  insert into restrictions (
    fleet, id, kind, type, institution, selector, overflow, source, created_at, updated_at
  )
  values ('one', '${id}', 'deny', 'payment', '*', '{"ids": ["a"]}', false, 'api', now(), now())`

async function steps(db: Db): Promise<number[]> {
  return (await db.query<{ id: number }>('select id from steps order by id')).map(({ id }) => id)
}

for (const [adapter, open] of Object.entries(adapters)) {
  t.test(`on ${adapter}`, async (t) => {
    await t.test('each is applied once, in order, whatever comes later', async (t) => {
      const db = await open(t)
      t.same(await migrate(db, [first, second]), ['0001_test', '0002_test'])
      t.same(await migrate(db, [first, second]), [])
      t.same(await migrate(db, [first, second, third]), ['0003_test'])
      t.same(await steps(db), [1, 2, 3])
      t.same(await migrate(db, []), [])
    })

    await t.test('one that fails is named, changes nothing, and keeps the ones before', async (t) => {
      const db = await open(t)
      const broken = migration(2, 'insert into steps values (7); insert into steps values (1)')
      await t.rejects(migrate(db, [first, broken, third]), {
        message: /^The migration 0002_test failed and changed nothing: .*duplicate key/,
        cause: { code: '23505' },
      })
      t.same(await steps(db), [1])
      t.same(await migrate(db, [first, second]), ['0002_test'])
    })

    await t.test('one that was changed after it was applied is named, and nothing is done', async (t) => {
      const db = await open(t)
      await migrate(db, [first])
      const changed = { ...first, sql: `${first.sql};` }
      await t.rejects(migrate(db, [changed, second]), /migration 0001_test was changed after it was applied/)
      t.same(await steps(db), [1])
      const otherLineEnds = { ...second, sql: 'insert into steps\r\nvalues (2)' }
      await migrate(db, [first, otherLineEnds])
      t.same(await migrate(db, [first, { ...second, sql: 'insert into steps\nvalues (2)' }]), [])
    })

    await t.test('a newer program has run: its migrations are left alone', async (t) => {
      const db = await open(t)
      await migrate(db, [first, second, third])
      t.same(await migrate(db, [first, second]), [])
      t.same(await steps(db), [1, 2, 3])
    })

    await t.test('upstreams of the time before lives were kept have one', async (t) => {
      const db = await open(t)
      const ours = readMigrations(new URL('../../../src/store/postgres/migrations/', import.meta.url))
      await migrate(db, ours.slice(0, 6))
      await db.transaction(({ exec }) => exec(before0007))
      t.same(await migrate(db, ours.slice(0, 7)), ['0007_life'])
      const rows = await db.query<{ fleet: string; id: string; instance_id: string }>(
        'select fleet, id, instance_id from upstreams order by fleet, id',
      )
      t.same(
        rows.map(({ fleet, id, instance_id: instanceId }) => `${fleet} ${id} of ${instanceId}`),
        [
          'one vm-1 of vm-1',
          'one vm-1.2 of vm-1',
          'one vm-1.3 of vm-1',
          'one vm-10 of vm-10',
          'one vm-10.1 of vm-10.1',
          'one vm-1x2 of vm-1x2',
          'one vm-2.2 of vm-2.2',
          'two vm-2 of vm-2',
        ],
      )
      const store = makeRecordStore({ db, fleet: 'one' })
      const [created, gone] = [Date.parse('2026-01-01T10:00:00Z'), Date.parse('2026-02-01T10:00:00Z')]
      const lived = { ...noLife('vm-1'), zone: 'z', stateVersion: 0 }
      t.match(await store.upstreams.read('vm-1'), { ...lived, state: 'deleted', stateSinceMs: gone })
      t.match(await store.upstreams.read('vm-1.3'), { ...lived, stateSinceMs: created })
      t.match(await store.fleet.head(), { version: 0, wantedSize: 4, configuredSize: null })
      await migrate(db, ours)
      await apply(store, changed('vm-1.3', { state: 'draining' }), added('vm-1.4', { addedBy: 'control' }))
      t.match(await store.upstreams.read('vm-1.3'), { stateVersion: 1 })
    })

    await t.test(
      'restrictions of the time before targets have none; what an older program writes has none',
      async (t) => {
        const db = await open(t)
        const ours = readMigrations(new URL('../../../src/store/postgres/migrations/', import.meta.url))
        await migrate(db, ours.slice(0, 7))
        await db.transaction(({ exec }) => exec(before0008('before')))
        t.same(await migrate(db, ours.slice(0, 8)), ['0008_targets'])
        await db.transaction(({ exec }) => exec(before0008('beside')))
        const { restrictions } = makeRecordStore({ db, fleet: 'one' })
        for (const id of ['before', 'beside']) {
          const read = (await restrictions.read(id))!
          t.strictSame(read, {
            id,
            kind: 'deny',
            type: 'payment',
            institution: '*',
            upstreams: { ids: ['a'] },
            overflow: false,
            source: 'api',
            createdAtMs: read.createdAtMs,
            updatedAtMs: read.updatedAtMs,
          })
        }
      },
    )
  })
}

t.test('several at once: one works, the others wait, and none fails', async (t) => {
  const url = await server.createDatabase()
  const dbs = [1, 2, 3, 4].map(() => openPg({ url, timeouts, poolSize: 2 }))
  for (const db of dbs) t.teardown(() => db.close())
  const slow = migration(2, 'select pg_sleep(0.2); insert into steps values (2)')
  const applied = await Promise.all(dbs.map((db) => migrate(db, [first, slow, third])))
  t.same(applied.flat().sort(), ['0001_test', '0002_test', '0003_test'])
  t.same(await steps(dbs[0]!), [1, 2, 3])
})

t.test('one that takes longer than a usual statement may', async (t) => {
  const url = await server.createDatabase()
  const impatient = { connectMs: 5000, statementMs: 100, lockMs: 100 }
  const dbs = [1, 2].map(() => openPg({ url, timeouts: impatient, poolSize: 1 }))
  for (const db of dbs) t.teardown(() => db.close())
  const slow = migration(2, 'select pg_sleep(1.5)')
  const applied = await Promise.all(dbs.map((db) => migrate(db, [first, slow])))
  t.same(applied.flat().sort(), ['0001_test', '0002_test'])
})

t.test('who may not create tables may still start where there is nothing to do', async (t) => {
  const url = await server.createDatabase()
  const owner = openPg({ url, timeouts, poolSize: 1 })
  t.teardown(() => owner.close())
  await migrate(owner, [first])
  await ask(url, `create role reader login password 'hunter3'`)
  await ask(url, 'revoke create on schema public from public')
  await ask(url, 'grant select on schema_migrations to reader')
  const reader = openPg({ url: url.replace(/postgres:\w+@/, 'reader:hunter3@'), timeouts, poolSize: 1 })
  t.teardown(() => reader.close())
  t.same(await migrate(reader, [first]), [])
  await t.rejects(migrate(reader, [first, second]), /0002_test failed .*permission denied/)
})

async function folderOf(t: Test, files: readonly string[]): Promise<URL> {
  const folder = await mkdtemp(join(tmpdir(), 'lanekeeper-migrations-'))
  t.teardown(() => rm(folder, { recursive: true }))
  for (const file of files) await writeFile(join(folder, file), `select '${file}'`)
  return pathToFileURL(`${folder}/`)
}

t.test('files are read in the order of their numbers', async (t) => {
  const folder = await folderOf(t, ['0010_c.sql', '0002_b-b.sql', '0001_a.sql', 'README.md'])
  t.same(
    readMigrations(folder).map(({ number, name }) => [number, name]),
    [
      [1, '0001_a'],
      [2, '0002_b-b'],
      [10, '0010_c'],
    ],
  )
})

t.test('a file with another name, or two with one number, are refused by name', async (t) => {
  for (const bad of ['1_a.sql', '0001.sql', '0001_A.sql', 'a.sql']) {
    const folder = await folderOf(t, [bad])
    t.throws(() => readMigrations(folder), { message: new RegExp(`named like 0001_name.sql, not ${bad}`) })
  }
  const folder = await folderOf(t, ['0001_a.sql', '0001_b.sql'])
  t.throws(() => readMigrations(folder), /0001_a and 0001_b have one number/)
})
