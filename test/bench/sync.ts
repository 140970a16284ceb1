import t from 'tap'
import { makeSyncCase } from '../../bench/cases/sync.ts'
import { runCase } from '../../bench/fixtures/run-case.ts'
import { startCloudFleet } from '../../bench/fixtures/cloud-fleet.ts'
import { makeFleetWork } from '../../bench/fixtures/fleet-work.ts'
import { startLockWatch } from '../../bench/fixtures/lock-watch.ts'
import { makeScope } from '../../bench/fixtures/scope.ts'
import { ask } from '../fixtures/postgres.ts'

const small = { upstreams: 30, tombstones: 20, cloudAnswersAfterMs: 100, corrections: 4, shortPasses: 2 }
const never = new AbortController().signal

t.test('the case tells of every work in every round, and what holds', async (t) => {
  const bench = makeSyncCase({ ...small, mostCpuMs: 3000, mostLockedMs: 50 })
  const { figures } = await runCase(bench, { rounds: 2, seconds: 0, warmUpSeconds: 0 }, never)
  const valuesOf = (name: string) => figures.find((figure) => figure.name === name)?.values ?? []
  t.ok(figures.every(({ values }) => values.length === 2))
  t.same(
    figures.filter(({ atMost }) => atMost !== undefined).map(({ name, atMost }) => [name, atMost]),
    [
      ['sync, nothing to correct: CPU', 3000],
      ['sync, nothing to correct: rows locked at most', 50],
    ],
  )
  t.same(valuesOf('sync, nothing to correct: rows locked at most'), [0, 0])
  const seed = Math.max(...valuesOf("seed 000's way, nothing to correct: rows locked at most"))
  t.ok(seed >= small.cloudAnswersAfterMs, `what locks while the cloud answers does so for ${seed} ms`)
})

t.test('a pass that does something else than its name says fails', async (t) => {
  const scope = makeScope(never)
  t.teardown(() => scope.end())
  const fleet = await startCloudFleet(scope, small)
  const [rest] = makeFleetWork(fleet, small)
  await rest!.once()
  await fleet.addMachines(1)
  await t.rejects(rest!.once(), { message: /31 listed, 30 recorded, 1 corrected/ })
})

t.test('the watch sees who locks a row, and for how long', async (t) => {
  const scope = makeScope(never)
  t.teardown(() => scope.end())
  const fleet = await startCloudFleet(scope, { ...small, tombstones: 0 })
  const watch = await startLockWatch(scope, fleet)
  const { upstreams } = await fleet.records.fleet.read()
  const ids = upstreams.map(({ id }) => id)
  const cases = [
    { name: 'none', sql: 'select pg_sleep(0.2)', isSeen: false },
    {
      name: 'the fleet',
      sql: 'select pg_sleep(0.2) from (select 1 from fleets for update) as f',
      isSeen: true,
    },
    {
      name: 'an upstream',
      sql: `select pg_sleep(0.2) from (select 1 from upstreams where id = '${ids[7]}' for update) as u`,
      isSeen: true,
    },
  ]
  for (const { name, sql, isSeen } of cases) {
    const { watched } = await watch.during(ids, () => ask(fleet.url, sql))
    t.ok(watched.looks > 2, `${name}: ${watched.looks} looks`)
    t.equal(watched.longestMs >= 150, isSeen, `${name}: ${watched.longestMs} ms`)
  }
})
