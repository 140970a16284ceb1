import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { openRecordStore, openTrafficStore } from '../../src/store/open.ts'
import { makeFakeClock } from '../fixtures/clock.ts'
import { postgresFor } from '../fixtures/postgres.ts'
import { added, apply, timeouts } from '../fixtures/records-under-test.ts'
import { redisFor } from '../fixtures/redis-under-test.ts'
import { snapshot } from '../fixtures/snapshot.ts'
import { life } from '../fixtures/store-under-test.ts'

const clock = makeFakeClock()
const common = { fleet: 'default', life, commandTimeoutMs: 5000, now: clock.now }

t.test('without a URL the store is in this process, on the clock that is handed in', async (t) => {
  const store = await openTrafficStore({ ...common, redisUrl: null })
  t.teardown(() => store.close())
  await store.ping()
  const { nowMs } = await store.heartbeats.beat({ id: 'gw-1', version: 0, tunnels: {}, pins: {} })
  t.equal(nowMs, clock.now())
})

t.test('with a URL it is in Redis, and outlives the one who opened it', async (t) => {
  const { server } = await redisFor(t)
  const first = await openTrafficStore({ ...common, redisUrl: server.url })
  await first.snapshots.publish(snapshot(3, ['up-a']))
  await first.close()
  const second = await openTrafficStore({ ...common, redisUrl: server.url })
  t.teardown(() => second.close())
  t.equal(await second.snapshots.version(), 3)
})

t.test('a pin waits for as many replicas as are asked for', async (t) => {
  const { server } = await redisFor(t)
  const choice = { ...common, redisUrl: server.url, commandTimeoutMs: 500, waitReplicas: 1 }
  const store = await openTrafficStore(choice)
  t.teardown(() => store.close())
  await store.snapshots.publish(snapshot(1, ['up-a']))
  const job = { id: 'j', type: null, institution: null }
  const request = { job, gatewayId: 'gw-1', version: 1, eligible: ['up-a'], refused: [] }
  await t.rejects(store.pins.pin(request), {
    code: 'store_unavailable',
    fields: { detail: /0 of 1 replicas have the pin/ },
  })
})

async function folderFor(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'lanekeeper-data-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

t.test('records without a URL are in the data folder, and outlive the one who opened them', async (t) => {
  const dataDir = await folderFor(t)
  const options = { databaseUrl: null, dataDir, fleet: 'default', timeouts, poolSize: 4 }
  const first = await openRecordStore(options)
  await first.migrate()
  await apply(first, added('up-a'))
  await first.close()
  t.same(await readdir(dataDir), ['postgres'])
  const second = await openRecordStore(options)
  t.teardown(() => second.close())
  t.match(await second.fleet.read(), { version: 1, upstreams: [{ id: 'up-a' }] })
  t.match(await second.ledger.verify(), { ok: true, entries: 1 })
})

t.test('records with a URL are in that database, and the data folder is left alone', async (t) => {
  const dataDir = await folderFor(t)
  const server = await postgresFor(t)
  const databaseUrl = await server.createDatabase()
  const options = { databaseUrl, dataDir, fleet: 'default', timeouts, poolSize: 2 }
  const first = await openRecordStore(options)
  await first.migrate()
  await apply(first, added('up-a'))
  await first.close()
  t.same(await readdir(dataDir), [])
  const second = await openRecordStore(options)
  t.teardown(() => second.close())
  t.match(await second.fleet.read(), { version: 1, upstreams: [{ id: 'up-a' }] })
})

t.test('records open while the server is away, and work once it is there', async (t) => {
  const server = await postgresFor(t)
  const databaseUrl = await server.createDatabase()
  await server.halt()
  const dataDir = await folderFor(t)
  const store = await openRecordStore({ databaseUrl, dataDir, fleet: 'default', timeouts, poolSize: 2 })
  t.teardown(() => store.close())
  const asks: readonly (() => Promise<unknown>)[] = [
    store.ping,
    store.migrate,
    store.fleet.read,
    store.keys.sweep,
  ]
  for (const ask of asks) await t.rejects(ask(), { code: 'database_unavailable' })
  await server.start()
  await store.migrate()
  t.equal(await apply(store, added('up-a')), 1)
})

t.test('a URL of another kind is refused, without its password', async (t) => {
  const databaseUrl = 'mysql://root:hunter2@localhost/x'
  const options = { databaseUrl, dataDir: '/nowhere', fleet: 'default', timeouts, poolSize: 2 }
  const error = await openRecordStore(options).catch((error: unknown) => error)
  t.type(error, TypeError)
  t.notMatch(String(error), /hunter2/)
})
