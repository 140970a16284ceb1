import t from 'tap'
import { makeReportCollector } from '../../src/control/collect-reports.ts'
import { ControlError } from '../../src/errors.ts'
import { controlWorlds } from '../fixtures/control-under-test.ts'

const { openWorld } = await controlWorlds(t)
const job = { id: 'job-1', type: 'payment', institution: null }
const id = (last: number) => `00000000-0000-4000-8000-00000000000${last}`

t.test('what waits is written down in the order in which it came, and waits no longer', async (t) => {
  const { store, clock, records } = await openWorld(t)
  const collect = makeReportCollector({ waiting: store.reports, records: records.store.reports })
  await collect()
  for (const [number, outcome] of ['ok', 'blocked'].entries()) {
    await store.reports.add({ id: id(number), job, upstream: 'up-1', outcome })
    clock.advance(1000)
  }
  await collect()
  t.same(await store.reports.waiting(10), [])
  const written = await records.store.reports.list('job-1', 10)
  t.match(written, [
    { outcome: 'blocked', upstream: 'up-1', type: 'payment', institution: null, actor: 'job' },
    { outcome: 'ok' },
  ])
  t.equal(written[0]!.atMs - written[1]!.atMs, 1000, 'with the time of their coming')
})

t.test('what could not be written waits on; what was not removed is not written twice', async (t) => {
  const { store, records } = await openWorld(t)
  await store.reports.add({ id: id(1), job, upstream: null, outcome: 'ok' })
  const down = async () => {
    throw new ControlError('database_unavailable', 'away')
  }
  const { reports } = records.store
  await t.rejects(makeReportCollector({ waiting: store.reports, records: { ...reports, add: down } })())
  t.equal((await store.reports.waiting(10)).length, 1)
  const crash = async () => {
    throw new Error('crash')
  }
  await t.rejects(makeReportCollector({ waiting: { ...store.reports, remove: crash }, records: reports })())
  await makeReportCollector({ waiting: store.reports, records: reports })()
  t.same(await store.reports.waiting(10), [])
  t.equal((await reports.list('job-1', 10)).length, 1)
})
