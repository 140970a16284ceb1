// The embedded default: what was decided stays over a restart, and a data folder is one process's own.

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { adminSend } from '../fixtures/admin-client.ts'
import { requestThrough } from '../fixtures/fleet.ts'
import { startLanekeeper, type Lanekeeper } from '../fixtures/processes.ts'
import { startTarget } from '../fixtures/target.ts'
import { until } from '../fixtures/until.ts'

const cli = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const loopback = { ALLOW_PRIVATE_TARGETS: 'true', TARGET_PORTS: '*', LOG_LEVEL: 'silent' }

type Row = {
  readonly id: string
  readonly state: string
  readonly host: string
  readonly port: number
  readonly quarantined: boolean
  readonly createdAt: string
}

/** What is decided of each: how often it was probed since is another matter. */
const upstreams = async (lanekeeper: Lanekeeper): Promise<Row[]> => {
  const { items } = (await adminSend(lanekeeper, 'GET', '/v1/upstreams')).body as { items: Row[] }
  return items.map(({ id, state, host, port, quarantined, createdAt }) => {
    return { id, state, host, port, quarantined, createdAt }
  })
}
const restrictions = async (lanekeeper: Lanekeeper) =>
  (await adminSend(lanekeeper, 'GET', '/v1/restrictions')).body.items as unknown[]

t.test('upstreams and restrictions outlive the process, however it ends', async (t) => {
  const dataDir = t.testdir()
  const target = await startTarget()
  t.teardown(target.close)
  const start = async () => {
    const lanekeeper = await startLanekeeper({ ...loopback, DATA_DIR: dataDir })
    t.teardown(() => lanekeeper.stop())
    return lanekeeper
  }
  const before = await start()
  const [local = { id: '' }] = await upstreams(before)
  const rule = { id: 'no-payments', kind: 'deny', type: 'payment', upstreams: { ids: [local.id] } }
  t.equal((await adminSend(before, 'POST', '/v1/restrictions', { body: rule })).status, 201)
  t.equal(
    (await adminSend(before, 'POST', '/v1/upstreams', { body: { address: '127.0.0.1:1' } })).status,
    201,
    'nobody listens there, so it never gets jobs',
  )
  t.equal((await adminSend(before, 'POST', `/v1/upstreams/${local.id}/quarantine`)).status, 200)
  const [wasUpstreams, wasRestrictions] = [await upstreams(before), await restrictions(before)]
  t.equal(wasUpstreams.length, 4)

  await t.test('a second start on the same folder is refused, and told why', async (t) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [cli, 'start'], {
      encoding: 'utf8',
      env: { ...process.env, ...loopback, DATA_DIR: dataDir, GATEWAY_PORT: '0', ADMIN_PORT: '0' },
    })
    t.equal(status, 1)
    t.match(stderr, /data folder .* is in use by another Lanekeeper; stop that one, or set DATA_DIR/)
    t.notMatch(stdout, /listening/)
    t.equal((await adminSend(before, 'GET', '/v1/upstreams')).status, 200, 'and the first goes on')
  })

  let running = before
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    await t.test(`after ${signal}`, async (t) => {
      await running.stop(signal)
      running = await start()
      t.strictSame(await upstreams(running), wasUpstreams)
      t.strictSame(await restrictions(running), wasRestrictions)
      t.match((await adminSend(running, 'GET', '/v1/ledger/verify')).body, { ok: true })
      const used = new Set<string | null>()
      for (const job of ['a', 'b', 'c', 'd', 'e']) {
        const userinfo = `job=${signal}-${job},type=statement:x`
        const { status, upstream } = await requestThrough(running, { target }, userinfo)
        t.equal(status, 200)
        used.add(upstream)
      }
      t.same(
        [...used].sort(),
        wasUpstreams
          .filter(({ id, quarantined }) => id.startsWith('local') && !quarantined)
          .map(({ id }) => id),
      )
    })
  }
})

t.test('with fewer upstreams wanted, those that are too many are drained and deleted', async (t) => {
  const dataDir = t.testdir()
  const ids: string[][] = []
  for (const count of ['3', '2', '3']) {
    const lanekeeper = await startLanekeeper({ ...loopback, DATA_DIR: dataDir, LOCAL_UPSTREAMS: count })
    t.teardown(() => lanekeeper.stop())
    await until(`there are ${count}`, async () => (await upstreams(lanekeeper)).length === Number(count))
    ids.push((await upstreams(lanekeeper)).map(({ id }) => id))
    await lanekeeper.stop()
  }
  const [three = [], two = [], again = []] = ids
  t.same(two, three.slice(0, 2))
  t.same(again.slice(0, 2), two)
  t.equal(again.length, 3)
  t.not(again[2], three[2], 'an id is never used again')
})

t.test('one that asks for a database of its own does not care for the folder', async (t) => {
  const dataDir = t.testdir()
  const first = await startLanekeeper({ ...loopback, DATA_DIR: dataDir })
  t.teardown(() => first.stop())
  const { status, stderr } = spawnSync(process.execPath, [cli, 'migrate'], {
    encoding: 'utf8',
    env: { ...process.env, DATA_DIR: dataDir, DATABASE_URL: 'postgres://127.0.0.1:1/none' },
  })
  t.equal(status, 1)
  t.match(stderr, /PostgreSQL/)
})
