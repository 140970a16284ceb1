// The record store on a real PostgreSQL, by way of a network that breaks and beside clients that are in its way.
// Invariants of design 13: a key never acts twice (8), each change has its row and each row its change (9).

import dns from 'node:dns'
import pg from 'pg'
import t, { type Test } from 'tap'
import type { DbTimeouts } from '../../src/store/postgres/db.ts'
import { openPg } from '../../src/store/postgres/pg.ts'
import { makeRecordStore } from '../../src/store/postgres/records.ts'
import type { RecordStore, StoredAnswer } from '../../src/store/records.ts'
import { startFaultProxy } from '../fixtures/fault-proxy.ts'
import { ask, postgresFor } from '../fixtures/postgres.ts'
import { added, apply, author, changed, timeouts } from '../fixtures/records-under-test.ts'
import { until } from '../fixtures/until.ts'

const server = await postgresFor(t)
const unavailable = { name: 'ControlError', code: 'database_unavailable' }
/** Those of the configuration, but for the statements: these decide how long a test of their end takes. */
const short: DbTimeouts = { connectMs: 1000, statementMs: 1000, lockMs: 250 }
/** A pool's connection, then a statement with its grace, or a transaction (twice a statement) and its last one. */
const limitMs = short.connectMs + 3 * short.statementMs + 500
/** For a machine that does other things too. */
const slackMs = 2000

async function setUp(t: Test, how: { timeouts?: DbTimeouts; poolSize?: number } = {}) {
  const url = await server.createDatabase()
  const proxy = await startFaultProxy({ host: '127.0.0.1', port: server.port })
  t.teardown(proxy.stop)
  const open = (at: string) => {
    const db = openPg({ url: at, timeouts, poolSize: 4, ...how })
    t.teardown(() => db.close())
    return { db, store: makeRecordStore({ db, fleet: 'main' }) }
  }
  const { store: direct } = open(url)
  await direct.migrate()
  const { db, store } = open(url.replace(`:${server.port}/`, `:${proxy.port}/`))
  await store.ping()
  return { url, proxy, db, store, direct }
}

async function elapsedMs(work: Promise<unknown>): Promise<number> {
  const before = performance.now()
  await work.catch(() => null)
  return performance.now() - before
}

/** A client that holds what it has locked, until the test ends or it is told. */
async function holding(t: Test, url: string, sql: string): Promise<{ release(): Promise<void> }> {
  const client = new pg.Client(url)
  await client.connect()
  let isOpen = true
  const release = async () => {
    if (isOpen) await client.end()
    isOpen = false
  }
  t.teardown(release)
  await client.query('begin')
  await client.query(sql)
  return { release }
}

/** What the fleet and its ledger say, side by side. */
async function standing(store: RecordStore) {
  const { version, upstreams } = await store.fleet.read()
  const { items } = await store.ledger.list({ after: null, limit: 100, about: null })
  const check = await store.ledger.verify()
  if (!check.ok || check.version !== version)
    throw new Error(`the ledger does not hold: ${JSON.stringify(check)}`)
  return { version, rows: items.length, ids: upstreams.map(({ id }) => id).sort() }
}

const answerOf = ({ version }: { version: number }): StoredAnswer => ({
  status: 201,
  location: null,
  body: { version },
})

async function claimed(store: RecordStore, key: string) {
  const claim = await store.keys.claim(key, 'f', { retake: true })
  if (claim.kind !== 'claimed') throw new Error(`the key is ${claim.kind}`)
  return claim.claim
}

t.test(
  'a connection that ends exactly at COMMIT: read back, and neither done twice nor left out',
  async (t) => {
    for (const [moment, what, decisions] of [
      ['answer', 'the COMMIT arrives, its answer is lost', 1],
      ['before', 'the COMMIT does not arrive', 2],
    ] as const) {
      await t.test(what, async (t) => {
        const { store, direct, proxy } = await setUp(t)
        const claim = await claimed(store, 'key-1')
        let decided = 0
        proxy.cutAt(['update fleets', 'commit'], moment)
        const { version } = await store.fleet.change({
          author,
          decide: () => {
            decided += 1
            return { steps: [added('up-a')], answer: null }
          },
          keep: { claim, answer: answerOf },
        })
        t.equal(decided, decisions)
        t.equal(proxy.taken(), 2, 'it was cut, and came again')
        t.same(await standing(direct), { version, rows: 1, ids: ['up-a'] })
        const again = await direct.keys.claim('key-1', 'f', { retake: true })
        t.match(again, { kind: 'answered', answer: { status: 201, body: { version } } })

        await t.test('of a change without a step too', async (t) => {
          const other = await claimed(store, 'key-2')
          let looked = 0
          proxy.cutAt(['update idempotency_keys', 'commit'], moment)
          const outcome = await store.fleet.change({
            author,
            decide: () => {
              looked += 1
              return { steps: [], answer: null }
            },
            keep: { claim: other, answer: answerOf },
          })
          t.equal(looked, decisions)
          t.equal(outcome.version, version)
          t.match(await direct.keys.claim('key-2', 'f', { retake: true }), { kind: 'answered' })
        })

        await t.test('of the claim of a key: it is ours, not that of one who died', async (t) => {
          proxy.cutAt(['insert into idempotency_keys', 'commit'], moment)
          const claim = await claimed(store, 'key-3')
          await store.keys.keep(claim, answerOf({ version: 7 }))
          t.match(await direct.keys.claim('key-3', 'f', { retake: false }), { kind: 'answered' })
        })
      })
    }
  },
)

t.test('what another did meanwhile is seen by the second try, not written over', async (t) => {
  const { store, direct, proxy } = await setUp(t)
  const seen: number[] = []
  proxy.cutAt(['update fleets', 'commit'], 'before')
  const change = store.fleet.change({
    author,
    decide({ version, upstreams }) {
      seen.push(version)
      return { steps: upstreams.length > 0 ? [] : [added('up-a')], answer: null }
    },
  })
  // It waits for the fleet's row, and has it when the first try is cut off.
  await until('the first try holds the fleet', () => seen.length > 0)
  const other = direct.fleet.change({
    author,
    decide: ({ upstreams }) => ({ steps: upstreams.length > 0 ? [] : [added('up-b')], answer: null }),
  })
  t.same([(await change).version, (await other).version], [1, 1])
  const { rows, ids } = await standing(direct)
  t.equal(rows, 1)
  t.equal(ids.length, 1, 'whoever came first')
})

t.test(
  'a COMMIT without an answer, and nobody left to ask: that is said, and the key tells later',
  async (t) => {
    for (const [moment, ids] of [
      ['answer', ['up-a']],
      ['before', []],
    ] as const) {
      const { store, direct, proxy } = await setUp(t, { timeouts: short })
      const claim = await claimed(store, 'key-1')
      proxy.cutAt(['update fleets', 'commit'], moment, { andCut: true })
      const change = store.fleet.change({
        author,
        decide: () => ({ steps: [added('up-a')], answer: null }),
        keep: { claim, answer: answerOf },
      })
      await t.rejects(change, { ...unavailable, detail: /may have been made or not/ }, moment)
      t.same((await standing(direct)).ids, ids)
      proxy.heal()
      // As the admin API does after a failure.
      await until('it can be given back', () =>
        store.keys.abandon(claim).then(
          () => true,
          () => false,
        ),
      )
      const again = await store.keys.claim('key-1', 'f', { retake: true })
      t.equal(again.kind, moment === 'answer' ? 'answered' : 'claimed', 'a repetition is answered, or acts')
    }
  },
)

t.test('a write that could not be found again is not made twice', async (t) => {
  const { db, proxy } = await setUp(t)
  await db.query('create table counts (n int)')
  proxy.cutAt(['insert into counts', 'commit'], 'answer')
  const insert = db.query('insert into counts values (1)')
  await t.rejects(insert, { ...unavailable, detail: /may have been made or not/ })
  t.same(await db.query('select n from counts'), [{ n: 1 }])
})

t.test(
  'a network that swallows all: every call ends in time, none is left waiting, and then it works',
  async (t) => {
    const { store, proxy } = await setUp(t, { timeouts: short, poolSize: 2 })
    proxy.blackHole()
    const calls: Promise<unknown>[] = Array.from({ length: 20 }, (_, n) => [
      store.fleet.head(),
      apply(store, added(`up-${n}`)),
    ]).flat()
    for (const call of calls) call.catch(() => null)
    t.ok((await elapsedMs(Promise.allSettled(calls))) < limitMs + slackMs)
    for (const call of calls) await t.rejects(call, unavailable)
    t.ok((await elapsedMs(store.fleet.head())) < limitMs + slackMs, 'also who comes later')
    t.ok(proxy.connections() <= 2, 'no more connections than the pool may have')
    proxy.heal()
    await until('it works', () => store.fleet.head().catch(() => null))
    await Promise.all(Array.from({ length: 10 }, () => store.fleet.head()))
  },
)

t.test('a network that is slow: it works, as long as no limit is passed', async (t) => {
  const { store, proxy, direct } = await setUp(t, { timeouts: short })
  proxy.delay(50, 'down')
  await apply(store, added('up-a'))
  t.same((await standing(direct)).ids, ['up-a'])
  proxy.delay(600, 'down')
  const ms = await elapsedMs(
    t.rejects(apply(store, added('up-b')), { ...unavailable, detail: /was not done within 2000 ms/ }),
  )
  t.ok(ms < limitMs + slackMs, `no statement was too slow, all together were: ${ms} ms`)
  t.resolves(store.fleet.read(), 'who only reads may take longer')
  proxy.heal()
  await apply(direct, added('up-c'))
  t.same((await standing(direct)).ids, ['up-a', 'up-c'], 'and it holds nothing any more')
})

t.test('a row that somebody has locked for long', async (t) => {
  const { store, url, proxy } = await setUp(t, { timeouts: short })
  await apply(store, added('up-a', { state: 'provisioning' }), added('up-b', { state: 'provisioning' }))
  const lock = await holding(t, url, `select 1 from upstreams where id = 'up-a' for update`)

  await t.test('is not claimed; the others are', async (t) => {
    const { claimed } = await store.claims.take(['up-a', 'up-b'], { holder: 'control-1', forMs: 60_000 })
    t.same(
      claimed.map(({ record }) => record.id),
      ['up-b'],
    )
  })

  await t.test('is not changed: that ends in time, and says that others are in the way', async (t) => {
    const busy = { code: 'database_busy', detail: /other transactions are in the way/ }
    const ms = await elapsedMs(t.rejects(apply(store, changed('up-a', { quarantined: true })), busy))
    t.ok(ms < limitMs + slackMs, `${ms} ms`)
    await apply(store, changed('up-b', { quarantined: true }))
    await t.resolves(store.fleet.read(), 'who only reads sees nothing of it')
  })

  await lock.release()
  const fleetLock = await holding(t, url, 'select 1 from fleets for update')
  await t.test('the fleet itself: the same for each change', async (t) => {
    const ms = await elapsedMs(t.rejects(apply(store, added('up-c')), { code: 'database_busy' }))
    t.ok(ms < limitMs + slackMs, `${ms} ms`)
    await t.resolves(store.fleet.head())
  })
  await fleetLock.release()
  await apply(store, changed('up-a', { quarantined: true }))
  t.match(await standing(store), { rows: 3, ids: ['up-a', 'up-b'] })
  t.ok(proxy.connections() <= 4)
})

t.test('lost races: the whole transaction runs again, and is made once', async (t) => {
  const { store, direct, url } = await setUp(t)
  // A sequence is not rolled back: two of three tries fail, at the ledger's row, behind all that was changed.
  for (const code of ['40001', '40P01']) {
    await ask(
      url,
      `create sequence tries_${code};
       create function fail_${code}() returns trigger language plpgsql as $$ begin
         if nextval('tries_${code}') % 3 <> 0 then raise exception 'on purpose' using errcode = '${code}'; end if;
         return new; end $$;
       create trigger fail_${code} before insert on ledger for each row execute function fail_${code}()`,
    )
    const before = await standing(direct)
    const claim = await claimed(store, `key-${code}`)
    await store.fleet.change({
      author,
      decide: () => ({ steps: [added(`up-${code}`)], answer: null }),
      keep: { claim, answer: answerOf },
    })
    await ask(url, `drop trigger fail_${code} on ledger`)
    const { version, rows, ids } = await standing(direct)
    t.same([version, rows], [before.version + 1, before.rows + 1], code)
    t.ok(ids.includes(`up-${code}`))
    t.match(await store.keys.claim(`key-${code}`, 'f', { retake: true }), { kind: 'answered' })
  }
})

t.test('no room for the ledger’s row: the change it would tell of is not made', async (t) => {
  const { store, direct, url } = await setUp(t)
  await ask(
    url,
    `create function no_room() returns trigger language plpgsql as
       $$ begin raise exception 'could not extend file' using errcode = '53100'; end $$;
     create trigger no_room before insert on ledger for each row execute function no_room()`,
  )
  await t.rejects(apply(store, added('up-a')), { ...unavailable, detail: /its disk is full/ })
  t.same(await standing(direct), { version: 0, rows: 0, ids: [] })
  await ask(url, 'drop trigger no_room on ledger')
  await apply(store, added('up-a'))
  t.same(await standing(direct), { version: 1, rows: 1, ids: ['up-a'] })
})

t.test(
  'a server that is stopped in the middle of a change: it has not happened, and then it can',
  async (t) => {
    const { store, direct, url } = await setUp(t)
    const lock = await holding(t, url, 'lock table ledger in share mode')
    const change = store.fleet.change({
      author,
      decide: () => ({ steps: [added('up-a')], answer: null }),
    })
    change.catch(() => null)
    await until(
      'it waits for the ledger',
      async () => (await ask(url, `select 1 from pg_stat_activity where wait_event_type = 'Lock'`))[0],
    )
    await ask(url, `select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock'`)
    await t.rejects(change, { ...unavailable, detail: /shutting down/ })
    await lock.release()
    t.same(await standing(direct), { version: 0, rows: 0, ids: [] })
    await apply(store, added('up-a'))
    t.same(await standing(direct), { version: 1, rows: 1, ids: ['up-a'] })
  },
)

t.test('a standby decides nothing, not even a read, until it is a primary', async (t) => {
  const own = await postgresFor(t)
  const url = await own.createDatabase()
  const primary = openPg({ url, timeouts, poolSize: 2 })
  t.teardown(() => primary.close())
  await makeRecordStore({ db: primary, fleet: 'main' }).migrate()
  const standby = await own.startStandby()
  const db = openPg({ url: url.replace(`:${own.port}/`, `:${standby.port}/`), timeouts, poolSize: 2 })
  t.teardown(() => db.close())
  const store = makeRecordStore({ db, fleet: 'main' })
  const refusal = { ...unavailable, detail: /it is a standby.*DATABASE_URL must lead to the primary/ }
  await t.rejects(store.fleet.read(), refusal)
  await t.rejects(apply(store, added('up-a')), refusal)
  await standby.promote()
  await apply(store, added('up-a'))
  t.same(await standing(store), { version: 1, rows: 1, ids: ['up-a'] })
})

t.test('a name that stops to resolve, and leads elsewhere later', async (t) => {
  const { url, proxy } = await setUp(t)
  const there = { host: '127.0.0.2', port: proxy.port }
  const other = await startFaultProxy({ host: '127.0.0.1', port: server.port }, there)
  t.teardown(other.stop)
  const leads = resolving(t, 'db.lanekeeper.test')
  leads.to('127.0.0.1')
  const byName = url.replace(`127.0.0.1:${server.port}/`, `db.lanekeeper.test:${proxy.port}/`)
  const db = openPg({ url: byName, timeouts, poolSize: 2 })
  t.teardown(() => db.close())
  const store = makeRecordStore({ db, fleet: 'main' })
  await store.fleet.head()
  leads.to(null)
  await t.resolves(store.fleet.head(), 'who is connected goes on')
  proxy.reset()
  await until('nobody is', () => proxy.connections() === 0)
  await t.rejects(store.fleet.head(), { ...unavailable, detail: /its name does not resolve/ })
  leads.to('127.0.0.2')
  await t.resolves(store.fleet.head(), 'asked anew for each connection')
  t.equal(other.connections(), 1)
})

/** One name, resolved as the test says; all others as ever. */
function resolving(t: Test, name: string): { to(address: string | null): void } {
  const real = dns.lookup
  let address: string | null = null
  const lookup = (host: string, options: object, done: (...answer: unknown[]) => void) => {
    if (host !== name) return (real as (...args: unknown[]) => void)(host, options, done)
    if (address === null) return done(Object.assign(new Error('no such name'), { code: 'ENOTFOUND' }))
    const isAll = 'all' in options && options.all === true
    return isAll ? done(null, [{ address, family: 4 }]) : done(null, address, 4)
  }
  dns.lookup = lookup as unknown as typeof dns.lookup
  t.teardown(() => {
    dns.lookup = real
  })
  return { to: (other) => (address = other) }
}
