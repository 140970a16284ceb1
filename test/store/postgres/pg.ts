// What a server can do to us, and that we notice: away, back, silent, refusing, full, and other clients.

import t from 'tap'
import type { Test } from 'tap'
import type { Db, DbTimeouts } from '../../../src/store/postgres/db.ts'
import type { ControlError } from '../../../src/errors.ts'
import { openPg } from '../../../src/store/postgres/pg.ts'
import type { PgOptions } from '../../../src/store/postgres/pg.ts'
import { closingContract, dbContract } from '../../fixtures/db-contract.ts'
import { pgOn, timeouts } from '../../fixtures/db-under-test.ts'
import { bouncerFor } from '../../fixtures/pgbouncer.ts'
import { ask, password, postgresFor } from '../../fixtures/postgres.ts'
import { until } from '../../fixtures/until.ts'

const server = await postgresFor(t)

/** Those of the configuration are 1 s, 2 s and 1 s. */
const short: DbTimeouts = { connectMs: 1000, statementMs: 500, lockMs: 250 }
const unavailable = { name: 'ControlError', code: 'database_unavailable' }

function open(t: Test, url: string, options: Partial<PgOptions> = {}): Db {
  const db = openPg({ url, timeouts, poolSize: 10, ...options })
  t.teardown(() => db.close())
  return db
}

async function elapsedMs(work: Promise<unknown>): Promise<number> {
  const before = performance.now()
  await work.catch(() => null)
  return performance.now() - before
}

/** Connections to this database, but for the one that asks. */
async function connections(url: string): Promise<number> {
  const [row] = await ask(
    url,
    `select count(*)::int as n from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`,
  )
  return row!['n'] as number
}

t.test('the contract', async (t) => {
  await dbContract(t, pgOn(server))
  await closingContract(t, pgOn(server))
})

t.test('the contract, through PgBouncer in transaction mode', async (t) => {
  const bouncer = await bouncerFor(t, server)
  await dbContract(t, pgOn(bouncer))
  await closingContract(t, pgOn(bouncer))
})

t.test('time limits are set for the transaction alone', async (t) => {
  const db = open(t, await server.createDatabase(), {
    timeouts: { connectMs: 5000, statementMs: 4321, lockMs: 1234 },
  })
  const settings = `select name, setting from pg_settings where name like '%\\_timeout' and source = 'session' order by name`
  t.same(await db.query(settings), [
    { name: 'idle_in_transaction_session_timeout', setting: '10000' },
    { name: 'lock_timeout', setting: '1234' },
    { name: 'statement_timeout', setting: '4321' },
  ])
  const own = await db.transaction(({ query }) => query('show statement_timeout'), {
    statementTimeoutMs: 9000,
  })
  t.same(own, [{ statement_timeout: '9s' }])
  const outside = await db.transaction(async ({ exec, query }) => {
    await exec('commit')
    return query(settings)
  })
  t.same(outside, [])
})

t.test('a transaction of repeatable read sees one moment', async (t) => {
  const db = open(t, await server.createDatabase())
  await db.query('create table things (id int)')
  const counted = (isolation: 'repeatable read' | 'read committed') =>
    db.transaction(
      async ({ query }) => {
        const before = await query('select count(*) as n from things')
        await db.query('insert into things values (1)')
        return [...before, ...(await query('select count(*) as n from things'))]
      },
      { isolation },
    )
  t.same(await counted('repeatable read'), [{ n: 0 }, { n: 0 }])
  t.same(await counted('read committed'), [{ n: 1 }, { n: 2 }])
})

t.test('races with other clients', async (t) => {
  const url = await server.createDatabase()
  const db = open(t, url)
  await db.query('create table counts (id int primary key, n int8)')
  await db.query('insert into counts values (1, 0), (2, 0)')
  const n = async () => (await db.query<{ n: number }>('select sum(n)::int8 as n from counts'))[0]!.n
  const raise = 'update counts set n = n + 1 where id = $1'

  await t.test('a serialization failure: it runs again', async (t) => {
    let runs = 0
    await db.transaction(
      async ({ query }) => {
        runs += 1
        await query('select * from counts')
        if (runs === 1) await db.query(raise, [1])
        await query(raise, [1])
      },
      { isolation: 'repeatable read' },
    )
    t.equal(runs, 2)
    t.equal(await n(), 2)
  })

  await t.test('a deadlock: one of the two runs again', async (t) => {
    let runs = 0
    let holding = 0
    const bothHaveOne = Promise.withResolvers<void>()
    const both = (first: number, second: number) =>
      db.transaction(async ({ query }) => {
        runs += 1
        await query(raise, [first])
        holding += 1
        if (holding === 2) bothHaveOne.resolve()
        await bothHaveOne.promise
        await query(raise, [second])
      })
    await Promise.all([both(1, 2), both(2, 1)])
    t.equal(runs, 3)
    t.equal(await n(), 6)
  })

  await t.test('a lock that is never free: three times more, then the end', async (t) => {
    const impatient = open(t, url, { timeouts: { ...timeouts, lockMs: 100 } })
    let runs = 0
    await db.transaction(async ({ query }) => {
      await query(raise, [1])
      const other = impatient.transaction(async ({ query }) => {
        runs += 1
        await query(raise, [1])
      })
      await t.rejects(other, { code: 'database_busy', detail: /other transactions are in the way/ })
    })
    t.equal(runs, 4)
  })
})

t.test('a server that is away at first, goes, and comes back', async (t) => {
  const own = await postgresFor(t)
  const url = await own.createDatabase()
  await own.halt()
  const errors: ControlError[] = []
  const db = open(t, url, { onError: (error) => errors.push(error) })
  await t.rejects(db.query('select 1'), { ...unavailable, detail: /nothing listens there/ })
  await own.start()
  t.same(await db.query('select 1 as x'), [{ x: 1 }])

  const underWay = db.query('select pg_sleep(10)')
  underWay.catch(() => null)
  await until(
    'it sleeps',
    async () => (await ask(url, `select 1 from pg_stat_activity where query ~ '^select pg_sleep'`))[0],
  )
  await own.halt()
  await t.rejects(underWay, unavailable)
  await t.rejects(db.query('select 1'), unavailable)
  await own.start()
  t.same(await db.query('select 1 as x'), [{ x: 1 }])

  errors.length = 0
  await own.halt()
  await until('the end of the idle connection is told', () => errors.length > 0)
  t.match(errors[0], unavailable)
  await own.start()
  t.same(await db.query('select 1 as x'), [{ x: 1 }])
})

t.test('a server that is silent: every call ends in time, and it works again after', async (t) => {
  const own = await postgresFor(t)
  const db = open(t, await own.createDatabase(), { timeouts: short, poolSize: 2 })
  const limitMs = short.connectMs + short.statementMs + 1000
  await until('it is connected', () => db.query('select 1').catch(() => null))
  own.freeze()
  t.ok((await elapsedMs(db.query('select 1'))) < limitMs, 'on a connection that was there')
  await t.rejects(db.query('select 1'), { ...unavailable, detail: /does not answer in time/ }, 'on a new one')
  const many = Array.from({ length: 10 }, () => db.query('select 1'))
  t.ok((await elapsedMs(Promise.allSettled(many))) < limitMs, 'more than the pool has')
  own.thaw()
  t.same(await until('it works', () => db.query('select 1 as x').catch(() => null)), [{ x: 1 }])
  const underWay = db.transaction(async ({ query }) => {
    own.freeze()
    await query('select 1')
  })
  t.ok((await elapsedMs(underWay)) < limitMs, 'within a transaction')
  own.thaw()
  t.same(await until('it works', () => db.query('select 1 as x').catch(() => null)), [{ x: 1 }])
  own.freeze()
  t.ok((await elapsedMs(db.close())) < limitMs, 'close too')
  const sockets = () => process.getActiveResourcesInfo().filter((what) => what === 'TCPSocketWrap').length
  await until('nothing of it keeps us alive', () => sockets() === 0)
  own.thaw()
})

t.test('a connection that an operator ends', async (t) => {
  const url = await server.createDatabase()
  const db = open(t, url)
  await db.query('create table things (id text)')
  const endOthers = () =>
    ask(
      url,
      'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
    )

  await t.test('within a transaction: it has not happened', async (t) => {
    const underWay = db.transaction(async ({ query }) => {
      await query(`insert into things values ('a')`)
      await endOthers()
      await query(`insert into things values ('b')`)
    })
    await t.rejects(underWay, unavailable)
    t.same(await db.query('select id from things'), [])
  })

  await t.test('while its work does something else: the same, and our process lives', async (t) => {
    const underWay = db.transaction(async ({ query }) => {
      await query(`insert into things values ('a')`)
      await endOthers()
      await until('it is gone', async () => (await connections(url)) === 0)
      return 'done'
    })
    await t.rejects(underWay, unavailable)
    t.same(await db.query('select id from things'), [])
  })

  await t.test('in the middle of its commit: nobody can know, and that is said', async (t) => {
    await db.transaction(({ exec }) =>
      exec(`create function wait() returns trigger language plpgsql as 'begin perform pg_sleep(10); return null; end';
            create constraint trigger wait after insert on things deferrable initially deferred
              for each row execute function wait()`),
    )
    const underWay = db.query(`insert into things values ('a')`)
    underWay.catch(() => null)
    await until(
      'it commits',
      async () => (await ask(url, `select 1 from pg_stat_activity where query = 'commit'`))[0],
    )
    await endOthers()
    await t.rejects(underWay, { ...unavailable, detail: /may have been made or not/ })
  })
})

t.test('who is refused: told what to look at, and nothing secret', async (t) => {
  const url = await server.createDatabase()
  await ask(url, `create role one_only login password '${password}' connection limit 1`)
  const one = open(t, url.replace('//postgres:', '//one_only:'))
  const refused: readonly (readonly [string, string, RegExp])[] = [
    ['a wrong password', url.replace(password, 'wrong-hunter2'), /refuses our user name or password/],
    ['an unknown user', url.replace('//postgres:', '//nobody:'), /refuses our user name or password/],
    ['no password', url.replace(`:${password}`, ''), /does not answer in time|refuses our user/],
    ['no such database', `${url}_not`, /has no such database/],
    ['a name that does not resolve', url.replace('127.0.0.1', 'nowhere.invalid'), /name/],
    ['one connection too many', url.replace('//postgres:', '//one_only:'), /has no connection left for us/],
    ['TLS with a server that has none', `${url}?sslmode=require`, /.*/],
  ]
  await one.query('select 1')
  for (const [name, wrongUrl, detail] of refused) {
    const db = open(t, wrongUrl)
    const error = await db.query('select 1').catch((error: unknown) => error)
    t.match(error, { ...unavailable, detail }, name)
    const { stack, cause } = error as Error
    t.notMatch(
      JSON.stringify([error, String(error), stack, String(cause), (cause as Error).stack]),
      'hunter2',
    )
  }
})

t.test('what is not a URL of PostgreSQL is refused without being shown', async (t) => {
  const urls = ['', 'hunter2', 'http://u:hunter2@127.0.0.1/db', 'postgres://u:hunter2@127.0.0.1:99999/db']
  const missing = `postgres://u:hunter2@127.0.0.1/db?sslmode=verify-full&sslrootcert=/nowhere/hunter2`
  for (const url of [...urls, missing]) {
    try {
      open(t, url)
      t.fail(`${url} is refused`)
    } catch (error) {
      t.type(error, TypeError)
      t.notMatch(JSON.stringify([error, (error as Error).stack, (error as Error).cause]), 'hunter2')
    }
  }
})

t.test('a server that is read-only: reads work, writes say so', async (t) => {
  const url = await server.createDatabase()
  await ask(url, 'create table things (id text)')
  const name = new URL(url).pathname.slice(1)
  await ask(server.url, `alter database ${name} set default_transaction_read_only = on`)
  const db = open(t, url)
  t.same(await db.query('select id from things'), [])
  await t.rejects(db.query(`insert into things values ('a')`), { ...unavailable, detail: /it is read-only/ })
})

t.test('a pool of which all are in use: who waits too long is told, and then it goes on', async (t) => {
  const db = open(t, await server.createDatabase(), {
    timeouts: { ...timeouts, connectMs: 2000 },
    poolSize: 1,
  })
  await db.query('select 1')
  await db.transaction(async ({ query }) => {
    await t.rejects(db.query('select 1'), unavailable)
    await query('select 1')
  })
  t.same(await db.query('select 1 as x'), [{ x: 1 }])
})

t.test('connections: none before the first call, never more than allowed, none after close', async (t) => {
  const url = await server.createDatabase()
  const db = open(t, url, { poolSize: 3 })
  t.equal(await connections(url), 0)
  await Promise.all(Array.from({ length: 20 }, () => db.query('select pg_sleep(0.01)')))
  t.equal(await connections(url), 3)
  await t.rejects(db.query('select pg_sleep(10)'.replace('10', '0.0/0')), { code: '22012' })
  t.equal(await connections(url), 3, 'an SQL error costs no connection')
  await db.close()
  await until('they are gone', async () => (await connections(url)) === 0)
})
