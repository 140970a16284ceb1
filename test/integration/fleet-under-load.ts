// A whole fleet is exchanged while jobs run over three gateways: 20 upstreams are made, the 20 that were there are drained
// and deleted, sync runs every second, and control is killed five times in the middle of it.
//
// How fast that goes depends on the machine, so no rate and no time is asserted. A killed control's claims last 30 s.

import t from 'tap'
import { startCloudFleet, untilKnown, type CloudFleet } from '../fixtures/cloud-fleet.ts'
import { startRole } from '../fixtures/fleet.ts'
import { startJobLoad, type JobLoad, type JobRecord } from '../fixtures/job-load.ts'
import { startKeptControl, type KeptControl } from '../fixtures/kept-control.ts'
import { foldLedger, readLedger } from '../fixtures/ledger-fold.ts'
import { until } from '../fixtures/until.ts'

const fleetSize = 20
const jobsPerSecond = 300
const openingAtMost = 10
/** A test file has 120 s. A machine that takes so long already gets fewer jobs from then on. */
const easeAfterMs = 60_000
/** Short; a pause of a busy machine must not end a pin. */
const pinIdleMs = 10_000
/** Long enough that each kill finds some under way. */
const operationsTakeMs = 300
const patient = { withinMs: 75_000, everyMs: 100 }

type Listed = { readonly id: string; readonly state: string; readonly egressIp: string | null }

const beganMs = performance.now()
const seconds = () => `${((performance.now() - beganMs) / 1000).toFixed(1)} s`

// A minute on a machine of its own, several on a busy one.
t.setTimeout(600_000)
const fleet = await startCloudFleet(t, { settings: { pins: { idleMs: pinIdleMs } } })
const control = await startKeptControl(t, fleet)

async function listed({ ask }: KeptControl): Promise<readonly Listed[]> {
  return (await ask('GET', '/v1/upstreams?limit=1000')).items
}

async function idsIn(state: string): Promise<string[]> {
  return (await listed(control)).filter((upstream) => upstream.state === state).map(({ id }) => id)
}

function callsOf({ engine }: CloudFleet, call: 'insert' | 'delete'): number {
  return engine.calls.filter((one) => one.call === call).length
}

/** Drained first, then deleted; every second one by two requests. */
async function leave(ids: readonly string[]): Promise<void> {
  for (const [index, id] of ids.entries()) {
    if (index % 2 === 1) await control.ask('POST', `/v1/upstreams/${id}/drain`)
    await control.ask('DELETE', `/v1/upstreams/${id}`)
  }
}

/** Beside the work, once so many more calls of that kind have reached the cloud. */
async function killAfter(
  call: 'insert' | 'delete',
  more: number,
  work: () => Promise<unknown>,
): Promise<void> {
  const before = callsOf(fleet, call)
  const working = work()
  await until(`the cloud is asked to ${call}`, () => callsOf(fleet, call) >= before + more, patient)
  await kill(call === 'insert' ? 'machines are made' : 'machines are deleted')
  await working
}

async function kill(during: string): Promise<void> {
  t.comment(`${seconds()}: control is killed while ${during}`)
  await control.killAndStart()
}

async function order(count: number): Promise<void> {
  for (let ordered = 0; ordered < count; ordered += 1) await control.ask('POST', '/v1/upstreams', {})
}

/** The first kills find machines under way, whose claims last 30 s; the last ones find drains. */
async function exchange(old: readonly string[]): Promise<void> {
  // Jobs need some that run, however long the claims of others last.
  await order(fleetSize / 4)
  await until(
    'the first new ones run',
    async () => (await idsIn('running')).length === fleetSize + fleetSize / 4,
    patient,
  )
  await killAfter('insert', 3, () => order(fleetSize / 4))
  await killAfter('insert', 5, () => control.ask('PUT', '/v1/fleet', { wanted: 2 * fleetSize }))
  await killAfter('delete', 1, () => leave(old.slice(0, 7)))
  await leave(old.slice(7, 14))
  await kill('jobs leave seven upstreams')
  await leave(old.slice(14))
  await kill('jobs leave the last ones')
  t.comment(`${seconds()}: control is left alone`)
  await until(
    'the fleet is exchanged',
    async () => {
      const { wanted, states } = await control.ask('GET', '/v1/fleet')
      const others = states.provisioning + states.draining + states.deleting + states.failed
      return wanted === fleetSize && states.running === fleetSize && others === 0
    },
    patient,
  )
}

function tell(load: JobLoad, loadMs: number): void {
  const requests = load.jobs.reduce((sum, job) => sum + job.requests, 0)
  const late = load.jobs.filter(({ isLate }) => isLate).length
  const perSecond = (count: number) => Math.round((count * 1000) / loadMs)
  t.comment(
    `${load.jobs.length} jobs, ${perSecond(load.jobs.length)} a second (${jobsPerSecond} asked for); ` +
      `${requests} tunnels, ${perSecond(requests)} a second; ${late} jobs too late to count; ${seconds()} in all`,
  )
}

/** By upstream: when its last client let it go, and its last job said that it was over. */
function lastUses(jobs: readonly JobRecord[]): ReadonlyMap<string, number> {
  const last = new Map<string, number>()
  for (const { upstream, lastClosedMs, releasedMs } of jobs)
    if (upstream !== null)
      last.set(upstream, Math.max(last.get(upstream) ?? 0, lastClosedMs, releasedMs ?? Infinity))
  return last
}

t.test('20 upstreams are made and 20 deleted under load, while control is killed five times', async (t) => {
  await control.ask('PUT', '/v1/fleet', { wanted: fleetSize })
  const gateways = await Promise.all([1, 2, 3].map(() => startRole(t, fleet, 'gateway')))
  await until('the first ones run', async () => (await idsIn('running')).length === fleetSize, patient)
  await untilKnown((await control.ask('GET', '/v1/fleet')).version, gateways)
  const old = await idsIn('running')
  fleet.engine.operationsTake(operationsTakeMs)

  const loadedMs = performance.now()
  const load = startJobLoad({
    gatewayPorts: gateways.map(({ gatewayPort }) => gatewayPort!),
    target: fleet.target,
    perSecond: () => (performance.now() - beganMs < easeAfterMs ? jobsPerSecond : jobsPerSecond / 10),
    openingAtMost,
    pauseAtMostMs: pinIdleMs / 2,
  })
  t.comment(`${seconds()}: the load begins`)
  await until('jobs run', () => load.jobs.length >= jobsPerSecond, patient)
  try {
    await exchange(old)
  } finally {
    await load.stop()
    tell(load, performance.now() - loadedMs)
  }

  const now = await listed(control)
  const rows = await readLedger(control.process())
  const { upstreams, moves, problems } = foldLedger(rows)
  const { jobs } = load

  await t.test('no request failed, and no job changed its address', async (t) => {
    const failed = jobs.filter((job) => job.problems.length > 0 && !job.isLate)
    t.same(failed.slice(0, 5), [], `${failed.length} of ${jobs.length} jobs failed`)
    const astray = jobs.filter(({ upstream, egressIp }) => {
      return upstream !== null && upstreams.get(upstream)?.egressIp !== egressIp
    })
    t.same(astray.slice(0, 5), [], 'each went out by the address of the upstream that it was told')
  })

  await t.test('the fleet, the records and the cloud are as was asked', async (t) => {
    t.equal(now.length, fleetSize)
    t.ok(now.every(({ id, state }) => state === 'running' && !old.includes(id)))
    const machines = fleet.engine.instances()
    t.same(
      machines.map(({ name }) => name).sort(),
      now.map(({ id }) => id),
      'the cloud has just these machines',
    )
    t.ok(machines.every(({ status }) => status === 'RUNNING'))
    const inserts = fleet.engine.calls.filter(({ call }) => call === 'insert')
    t.equal(new Set(inserts.map(({ requestId }) => requestId)).size, 2 * fleetSize, 'one order for each')
    const numbers = [...upstreams.values()].map(({ incarnation }) => incarnation)
    t.equal(new Set(numbers).size, 2 * fleetSize, 'and one machine')
    t.equal(fleet.deletionsMs.size, fleetSize, 'only those were deleted that should be')
  })

  await t.test('no machine was deleted before its last tunnel and its last pin had gone', async (t) => {
    const uses = lastUses(jobs.filter(({ problems }) => problems.length === 0))
    t.ok(
      old.every((id) => uses.has(id)),
      'each had jobs',
    )
    for (const id of old) {
      const deletedMs = fleet.deletionsMs.get(String(upstreams.get(id)?.incarnation)) ?? NaN
      const unusedMs = Math.round(deletedMs - (uses.get(id) ?? NaN))
      t.ok(unusedMs > 0, `deleted ${unusedMs} ms after its last use`)
    }
  })

  await t.test('the ledger tells it without a gap', async (t) => {
    t.match(await control.ask('GET', '/v1/ledger/verify'), { ok: true, version: rows.length })
    t.same(problems, [], 'each step begins where the one before ended, and is one that the table allows')
    t.same(
      new Map([...upstreams].map(([id, { state }]) => [id, state])),
      new Map([...old.map((id) => [id, 'deleted']), ...now.map(({ id, state }) => [id, state])] as [
        string,
        string,
      ][]),
      'it comes to what is in the records',
    )
    t.same(
      moves.filter(({ from, to }) => from === 'draining' && to === 'running'),
      [],
      'no drain was undone',
    )
    t.same(
      rows.filter(({ reason }) => reason?.startsWith('sync:')),
      [],
      'sync found nothing to correct',
    )
  })

  await t.test('and sync agrees', async (t) => {
    const asked = await control.ask('POST', '/v1/sync')
    const report = await until(
      'the pass is done',
      async () => {
        const report = await control.ask('GET', '/v1/sync')
        return report.pass === asked.pass && report
      },
      patient,
    )
    t.match(report, { outcome: 'done', listed: fleetSize, corrected: [], left: [] })
  })
})
