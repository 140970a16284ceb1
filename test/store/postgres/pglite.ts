import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import type { Db } from '../../../src/store/postgres/db.ts'
import { openPglite } from '../../../src/store/postgres/pglite.ts'
import { closingContract, dbContract } from '../../fixtures/db-contract.ts'
import { pgliteFor, timeouts } from '../../fixtures/db-under-test.ts'
import { pgliteFolder, temporaryFolder } from '../../fixtures/pglite-folder.ts'
import { until } from '../../fixtures/until.ts'

const source = new URL('../../../src/store/postgres/pglite.ts', import.meta.url)

async function open(t: Test, folder: string, changed: Partial<typeof timeouts> = {}): Promise<Db> {
  const db = await openPglite({ folder, timeouts: { ...timeouts, ...changed } })
  t.teardown(() => db.close())
  return db
}

/** A program of its own that has `db`; it prints what it says. */
function startProgram(t: Test, folder: string, body: string) {
  const program = `
    const { openPglite } = await import(${JSON.stringify(source.href)})
    const folder = ${JSON.stringify(folder)}
    const db = await openPglite({ folder, timeouts: ${JSON.stringify(timeouts)} })
    const say = (word) => process.stdout.write(word)
    ${body}`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {},
  })
  t.teardown(() => child.kill('SIGKILL'))
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const exit = once(child, 'exit')
  return { child, exit, said: () => said }
}

t.test('the contract', async (t) => {
  await dbContract(t, await pgliteFor(t))
})

const folder = await pgliteFolder(t)

t.test('the folder is ours from the beginning, and calls wait for a start', async (t) => {
  const db = await open(t, folder, { lockMs: 1 })
  await t.rejects(openPglite({ folder, timeouts }), { message: /is in use by another Lanekeeper; stop that/ })
  t.same(await db.query('select 1 as x'), [{ x: 1 }])
})

t.test('closing', async (t) => {
  await closingContract(t, (t) => open(t, folder))
})

t.test('closed while it starts: calls that wait are told, and the folder is free', async (t) => {
  const db = await open(t, folder)
  const waiting = db.query('select 1')
  waiting.catch(() => null)
  await db.close()
  await t.rejects(waiting, { code: 'database_unavailable' })
  await (await openPglite({ folder, timeouts })).close()
})

t.test('a folder that cannot be used is refused with the reason', async (t) => {
  const file = join(await temporaryFolder(t), 'file')
  await writeFile(file, '')
  await t.rejects(openPglite({ folder: file, timeouts }), { message: /cannot be used: .+ DATA_DIR/ })
})

t.test('what was committed is there after the end of a process by SIGKILL', async (t) => {
  const program = startProgram(
    t,
    folder,
    `await db.transaction(({ exec }) => exec('drop schema public cascade; create schema public'))
     await db.query('create table things (id text)')
     await db.query("insert into things values ('committed')")
     await db.transaction(async ({ query }) => {
       await query("insert into things values ('not committed')")
       say('ready')
       await new Promise(() => setInterval(() => {}, 1000))
     })`,
  )
  await until('it has written', () => program.said() === 'ready', { withinMs: 60_000 })
  await t.rejects(openPglite({ folder, timeouts }), { message: /is in use by another Lanekeeper/ })
  program.child.kill('SIGKILL')
  await program.exit
  const db = await open(t, folder)
  t.same(await db.query('select id from things'), [{ id: 'committed' }])
})

t.test('a program ends by itself, whether it has closed its database or not', async (t) => {
  const bodies = [
    `say(String((await db.query('select 1 as x'))[0].x)); await db.close()`,
    `say(String((await db.query('select 1 as x'))[0].x))`,
    `await db.close(); say('1')`,
  ]
  for (const body of bodies) {
    const program = startProgram(t, folder, body)
    t.same(await program.exit, [0, null], body)
    t.equal(program.said(), '1')
  }
})

t.test('while it works', async (t) => {
  const db = await open(t, folder, { lockMs: 50 })
  await db.transaction(({ exec }) => exec('drop schema public cascade; create schema public'))
  await db.query('create table things (id text)')

  await t.test('this thread goes on', async (t) => {
    let turns = 0
    const timer = setInterval(() => (turns += 1), 10)
    await db.query('select count(*) from generate_series(1, 1000000)')
    clearInterval(timer)
    t.ok(turns >= 3, `${turns} turns`)
  })

  await t.test('who waits too long for another transaction is told, and that one goes on', async (t) => {
    const inside = await db.transaction(async ({ query }) => {
      await query(`insert into things values ('a')`)
      await t.rejects(db.query('select 1'), { code: 'database_unavailable', detail: /others/ })
      return query('delete from things returning id')
    })
    t.same(inside, [{ id: 'a' }])
  })

  await t.test('a statement that was given up holds up others until it is done, not longer', async (t) => {
    const longOne = db.transaction(
      async ({ query }) => {
        await query(`insert into things values ('a')`)
        await query('select pg_sleep(1)')
      },
      { statementTimeoutMs: 500 },
    )
    await t.rejects(longOne, { code: 'database_unavailable', detail: /did not answer within 500 ms/ })
    await t.rejects(db.query('select 1'), { code: 'database_unavailable', detail: /others/ })
    const rows = await until('it is done', () => db.query('select id from things').catch(() => null))
    t.same(rows, [], 'and it changed nothing')
  })
})

t.test('its log is cut off now and then, as a server would do', async (t) => {
  const db = await open(t, folder)
  const begin = () => db.query('select redo_lsn as at from pg_control_checkpoint()')
  const before = await begin()
  await db.query('create table others (id text)')
  for (let n = 0; n < 2000; n += 1) await db.transaction(async () => null)
  t.notSame(await begin(), before)
})

t.test('a database that stops while it works: all calls are told why, also those that wait', async (t) => {
  const folder = await pgliteFolder(t)
  const db = await open(t, folder)
  await db.query('create table things (id text)')
  // A new file of its log is due, and cannot be made.
  const log = join(folder, 'postgres/pg_wal')
  await rename(log, `${log}-away`)
  await db.query('select pg_switch_wal()').catch(() => null)
  const insert = (id: number) => db.query('insert into things values ($1)', [id])
  for (const call of await Promise.allSettled([1, 2, 3].map(insert)))
    t.match(call, { status: 'rejected', reason: { code: 'database_unavailable' } })
  await t.rejects(db.query('select 1'), {
    code: 'database_unavailable',
    detail: /has failed \(could not create file "pg_wal.*\); start Lanekeeper again/,
  })
  await db.close()
  await rename(`${log}-away`, log)
  const next = await open(t, folder)
  t.same(await next.query('select 1 as x'), [{ x: 1 }], 'the next start finds all in order')
})

t.test('a database that cannot be read: every call says why', async (t) => {
  const refuses = async (detail: RegExp) => {
    const db = await open(t, folder)
    for (const call of ['first', 'second'])
      await t.rejects(db.query('select 1'), { code: 'database_unavailable', detail }, `${call}: ${detail}`)
    await db.close()
  }
  await writeFile(join(folder, 'postgres/PG_VERSION'), '17\n')
  await refuses(/initialized by PostgreSQL version 17, which is not compatible/)
  await writeFile(join(folder, 'postgres/PG_VERSION'), '18\n')
  await writeFile(join(folder, 'postgres/global/pg_control'), 'no control')
  await refuses(/could not read file "global\/pg_control"/)
  await rm(join(folder, 'postgres'), { recursive: true })
  await writeFile(join(folder, 'postgres'), '')
  await refuses(/the embedded database has failed \(.*ErrnoError/)
})

t.test('killed while it makes its database: the next one makes it again, and calls have time', async (t) => {
  const folder = await temporaryFolder(t)
  const program = startProgram(t, folder, `await db.query('select 1')`)
  await until('it has begun', () => existsSync(join(folder, 'postgres.new')), { withinMs: 60_000 })
  program.child.kill('SIGKILL')
  await program.exit
  t.notOk(existsSync(join(folder, 'postgres')), 'nothing half-made is in its place')
  const db = await open(t, folder, { statementMs: 1000 })
  t.same(await db.query('select 1 as x'), [{ x: 1 }])
  t.notOk(existsSync(join(folder, 'postgres.new')))
})
