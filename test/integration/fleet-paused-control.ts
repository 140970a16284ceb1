// Two controls, one of which stands still for a minute (SIGSTOP) in the middle of making machines, of deleting one and of a
// sync, long after its claims have ended. The other one goes on, and exchanges upstreams under jobs meanwhile; the first
// wakes up with old answers of the cloud in its hands, and may do nothing with them.

import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { adminSend } from '../fixtures/admin-client.ts'
import { onCloudCall, startCloudFleet, untilKnown, zones } from '../fixtures/cloud-fleet.ts'
import { runHere } from '../fixtures/command-line.ts'
import { startRole } from '../fixtures/fleet.ts'
import { startJobLoad } from '../fixtures/job-load.ts'
import { foldLedger, readLedger } from '../fixtures/ledger-fold.ts'
import { ask as askDatabase } from '../fixtures/postgres.ts'
import type { Lanekeeper } from '../fixtures/processes.ts'
import { until } from '../fixtures/until.ts'
import { fleetLabel } from '../../src/provider/gce-instance.ts'

const pausedMs = 60_000
const patient = { withinMs: 60_000, everyMs: 100 }

type Row = { readonly id: string; readonly state: string }

// One sync at its start, and then only when it is asked for.
// A minute on a machine of its own, several on a busy one.
t.setTimeout(600_000)
const fleet = await startCloudFleet(t, {
  settings: { sync: { everyMs: 86_400_000 }, pins: { idleMs: 20_000 } },
})
const { engine } = fleet
const first = await startRole(t, fleet, 'control')

async function ask(control: Lanekeeper, method: string, path: string, body?: unknown) {
  const answer = await adminSend(control, method, path, body === undefined ? {} : { body })
  if (answer.status < 300) return answer.body
  throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
}

/** Undefined: there is no such upstream. */
const stateOf = async (control: Lanekeeper, id: string) =>
  (await adminSend(control, 'GET', `/v1/upstreams/${id}`)).body.state as string | undefined

function untilState(control: Lanekeeper, id: string, state: string): Promise<unknown> {
  return until(`${id} is ${state}`, async () => (await stateOf(control, id)) === state, patient)
}

async function running(control: Lanekeeper): Promise<string[]> {
  const { items } = await ask(control, 'GET', '/v1/upstreams?state=running&limit=1000')
  return (items as Row[]).map(({ id }) => id)
}

/** A pass that begins from now on. */
async function syncOnce(control: Lanekeeper): Promise<void> {
  const { pass } = await ask(control, 'POST', '/v1/sync')
  await until('the sync is done', async () => (await ask(control, 'GET', '/v1/sync')).pass === pass, patient)
}

/** All columns, claims too. */
function rowsBut(id: string): Promise<Record<string, unknown>[]> {
  return askDatabase(fleet.env.DATABASE_URL!, `select * from upstreams where id <> '${id}' order by id`)
}

const callsOf = (call: string) => engine.calls.filter((one) => one.call === call)

/** Stops with the cloud's answer under way to it. */
function pauseAtNextList(control: Lanekeeper): Promise<number> {
  return new Promise((resolve) => {
    let isOver = false
    onCloudCall(t, engine, (method, path) => {
      if (isOver || method !== 'GET' || !/\/instances\?/.test(path)) return
      isOver = true
      control.child.kill('SIGSTOP')
      resolve(performance.now())
    })
  })
}

await ask(first, 'PUT', '/v1/fleet', { wanted: 5 })
const [gateway] = await Promise.all([
  startRole(t, fleet, 'gateway'),
  until('all run', async () => (await running(first)).length === 5, patient),
])
const [leaving = '', moving = '', replaced = '', spared = ''] = await running(first)
await ask(first, 'PUT', '/v1/fleet', { wanted: null })
await syncOnce(first)

engine.holdOperations()
engine.hangAfter('insert', 1)
const inserted = callsOf('insert').length
const ordered: string[] = []
for (let count = 0; count < 3; count += 1) ordered.push((await ask(first, 'POST', '/v1/upstreams', {})).id)
await ask(first, 'DELETE', `/v1/upstreams/${leaving}`)
await until(
  'the cloud is asked for all of it',
  () => callsOf('insert').length >= inserted + 3 && callsOf('delete').length > 0,
  patient,
)
await engine.add({ name: 'stranger', zone: zones[0]!, labels: { [fleetLabel]: 'main' } })
await engine.changeAddress(moving)
const pausing = pauseAtNextList(first)
ask(first, 'POST', '/v1/sync').catch(() => {})
const pausedAtMs = await pausing
engine.releaseOperations()
const second = await startRole(t, fleet, 'control')

t.test('the other one corrects the records, and exchanges upstreams under jobs', async (t) => {
  await untilState(second, 'stranger', 'running')
  await untilState(second, `${moving}.2`, 'running')
  t.equal(await stateOf(second, moving), 'deleted')
  for (const id of ordered)
    t.equal(await stateOf(second, id), 'provisioning', 'what is claimed is left alone')

  await untilKnown((await ask(second, 'GET', '/v1/fleet')).version, [gateway])
  const load = startJobLoad({
    gatewayPorts: [gateway.gatewayPort!],
    target: fleet.target,
    perSecond: () => 50,
    openingAtMost: 4,
    pauseAtMostMs: 10_000,
  })
  await until('jobs run', () => load.jobs.length > 50, patient)
  const lanekeeper = (...words: string[]) =>
    runHere(words, { ADMIN_URL: `http://127.0.0.1:${second.adminPort}` })
  t.match(await lanekeeper('upstreams', 'recycle', replaced, '--wait'), { code: 0 })
  t.equal(await stateOf(second, replaced), 'deleted')
  t.match(await lanekeeper('upstreams', 'drain', spared), { code: 0 })
  t.match(await lanekeeper('upstreams', 'cancel', spared), { code: 0 })
  t.equal(await stateOf(second, spared), 'running')
  const jobsBefore = load.jobs.length
  await until(
    'it has new jobs again',
    () => load.jobs.slice(jobsBefore).some(({ upstream }) => upstream === spared),
    patient,
  )
  await load.stop()
  t.comment(`${load.jobs.length} jobs`)
  t.same(
    load.jobs.filter(({ problems, isLate }) => problems.length > 0 && !isLate).slice(0, 5),
    [],
    'no job failed, and none changed its address',
  )
})

t.test('once the claims have ended it finishes the steps of the first', async (t) => {
  for (const id of ordered) await untilState(second, id, 'running')
  await untilState(second, leaving, 'deleted')
  t.pass()
})

t.test('the first wakes up after a minute, and writes nothing of its old steps', async (t) => {
  await delay(pausedAtMs + pausedMs - performance.now())
  const rowsBefore = await rowsBut('')
  const ledgerBefore = await readLedger(second)
  const callsBefore = engine.calls.length
  t.comment(`woken after ${Math.round((performance.now() - pausedAtMs) / 1000)} s`)
  first.child.kill('SIGCONT')

  // A whole life and a sync after it: by then all that it held is over.
  const witness = (await ask(first, 'POST', '/v1/upstreams', {})).id as string
  await untilState(first, witness, 'running')
  await syncOnce(first)
  t.same(await rowsBut(witness), rowsBefore, 'each row stands as it stood')
  const ledger = await readLedger(first)
  t.same(ledger.slice(0, ledgerBefore.length), ledgerBefore)
  const idsIn = (steps: readonly object[]) =>
    steps.map((step) => ('upstream' in step ? (step.upstream as Row).id : (step as Row).id))
  t.same(
    [...new Set(ledger.slice(ledgerBefore.length).flatMap(({ steps }) => idsIn(steps)))],
    [witness],
    'and what was written since is of the witness alone',
  )
  const changes = engine.calls.slice(callsBefore).filter(({ call }) => call === 'insert' || call === 'delete')
  t.equal(changes.filter(({ call }) => call === 'delete').length, 0, 'nothing is deleted again')
  const requests = new Set(callsOf('insert').map(({ requestId }) => requestId))
  t.equal(requests.size, 5 + 3 + 1 + 1, 'nothing is ordered again under another request')
})

t.test('nothing happened twice, and all ended as it was asked', async (t) => {
  const { upstreams, problems } = foldLedger(await readLedger(second))
  t.match(await ask(second, 'GET', '/v1/ledger/verify'), { ok: true })
  t.same(problems, [])
  const states = [...upstreams.values()].map(({ state }) => state)
  t.same([...new Set(states)].sort(), ['deleted', 'running'])
  const standing = [...upstreams].filter(([, { state }]) => state === 'running')
  t.same(
    standing.map(([, { incarnation }]) => incarnation).sort(),
    engine
      .instances()
      .map(({ id }) => id)
      .sort(),
    'each upstream has its machine, and each machine its upstream',
  )
  t.same(
    [...fleet.deletionsMs.keys()].sort(),
    [leaving, replaced].map((id) => upstreams.get(id)?.incarnation).sort(),
  )
})
