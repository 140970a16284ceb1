// What goes behind our back while jobs run: a machine whose proxy dies, and one that somebody deletes in the cloud. Only the
// jobs that were pinned there fail, and they are told why.

import t from 'tap'
import { startCloudFleet, untilKnown } from '../fixtures/cloud-fleet.ts'
import { startRole } from '../fixtures/fleet.ts'
import { newRecord, openTunnel, startJobLoad } from '../fixtures/job-load.ts'
import { startKeptControl } from '../fixtures/kept-control.ts'
import { foldLedger, readLedger } from '../fixtures/ledger-fold.ts'
import type { Lanekeeper } from '../fixtures/processes.ts'
import { connectThrough } from '../fixtures/raw-client.ts'
import { until } from '../fixtures/until.ts'

const wanted = 5
const patient = { withinMs: 60_000, everyMs: 100 }

type Listed = {
  readonly id: string
  readonly state: string
  readonly ejected: boolean
  readonly createdAt: string
}

const graceMs = 5000
// A minute on a machine of its own, several on a busy one.
t.setTimeout(600_000)
const fleet = await startCloudFleet(t, {
  settings: {
    pins: { idleMs: 100_000 },
    probes: { everyMs: 500 },
    sync: { everyMs: 1000, absences: 2, graceMs },
  },
})
const control = await startKeptControl(t, fleet)
await control.ask('PUT', '/v1/fleet', { wanted })
const gateways = await Promise.all([1, 2].map(() => startRole(t, fleet, 'gateway')))
await until('all run', async () => (await running()).length === wanted, patient)
await untilKnown((await control.ask('GET', '/v1/fleet')).version, gateways)

async function running(): Promise<readonly Listed[]> {
  return (await control.ask('GET', '/v1/upstreams?limit=1000&state=running')).items
}

const upstream = (id: string): Promise<Listed> => control.ask('GET', `/v1/upstreams/${id}`)

/** A short tunnel. @returns its upstream */
async function visit(gateway: Lanekeeper, job: string): Promise<string> {
  const record = newRecord(job)
  const to = { port: gateway.gatewayPort!, target: fleet.target, userinfo: `job=${job}:x` }
  await (await openTunnel(record, to)).closeAfter(0)
  return record.upstream!
}

/** @returns `502 pin_lost`, say */
async function answerTo(gateway: Lanekeeper, job: string): Promise<string> {
  const asked = { target: fleet.target, userinfo: `job=${job}:x` }
  const { status, body, socket } = await connectThrough({ gatewayPort: gateway.gatewayPort!, ...asked })
  socket.destroy()
  return status === 200 ? '200' : `${status} ${JSON.parse(String(body)).code}`
}

t.test('a proxy that dies is ejected, a machine that is gone is replaced', async (t) => {
  const [onKilled, onRemoved, elsewhere] = ['a', 'b', 'c'] as const
  const killed = await visit(gateways[0]!, onKilled)
  const removed = await visit(gateways[1]!, onRemoved)
  const other = await visit(gateways[0]!, elsewhere)
  t.equal(new Set([killed, removed, other]).size, 3)
  const load = startJobLoad({
    gatewayPorts: gateways.map(({ gatewayPort }) => gatewayPort!),
    target: fleet.target,
    perSecond: () => 60,
    openingAtMost: 4,
    pauseAtMostMs: 50_000,
  })
  await until('jobs run', () => load.jobs.length > 60, patient)

  await t.test('killed: its jobs get upstream_failed, and no new ones come', async (t) => {
    await fleet.engine.kill(killed)
    for (const gateway of gateways) t.equal(await answerTo(gateway, onKilled), '502 upstream_failed')
    await until('it is ejected', async () => (await upstream(killed)).ejected, patient)
    t.equal((await upstream(killed)).state, 'running', 'its machine is there, so it stays')
    for (const gateway of gateways) t.equal(await answerTo(gateway, onKilled), '502 upstream_failed')
  })

  await t.test('removed: sync takes it out, and the wanted size brings another', async (t) => {
    const bornMs = Date.parse((await upstream(removed)).createdAt)
    await until('nobody takes it for new', () => Date.now() - bornMs > graceMs, patient)
    await fleet.engine.remove(removed)
    const answer = await answerTo(gateways[1]!, onRemoved)
    // Where that took longer than the grace, it may be out already.
    if ((await upstream(removed)).state === 'running') t.equal(answer, '502 upstream_failed')
    await until('it is out', async () => (await upstream(removed)).state === 'deleted', patient)
    await until('another runs', async () => (await running()).length === wanted, patient)
    for (const gateway of gateways)
      await until('it is known', async () => (await answerTo(gateway, onRemoved)) === '502 pin_lost', patient)
    t.equal(fleet.engine.instances().length, wanted)
  })

  await t.test('the killed one is deleted by force: its jobs get pin_lost', async (t) => {
    await control.ask('DELETE', `/v1/upstreams/${killed}?force=true`)
    await until('it is gone', async () => (await upstream(killed)).state === 'deleted', patient)
    for (const gateway of gateways) t.equal(await answerTo(gateway, onKilled), '502 pin_lost')
  })

  await load.stop()
  t.equal(await visit(gateways[1]!, elsewhere), other, 'other jobs go on as before')
  const failed = load.jobs.filter(({ problems, isLate }) => problems.length > 0 && !isLate)
  t.comment(`${load.jobs.length} jobs, ${failed.length} of them failed`)
  const lost = new Set([killed, removed])
  const others = []
  for (const job of failed) {
    // A reset takes what its client has not read yet, and with it who its upstream was; its pin still tells.
    const upstream = job.upstream ?? (await control.ask('GET', `/v1/jobs/${job.id}`)).upstream?.id
    if (!lost.has(upstream)) others.push({ ...job, upstream })
  }
  t.same(others.slice(0, 5), [], 'and only those failed that were pinned there')
  const { problems, moves } = foldLedger(await readLedger(control.process()))
  t.same(problems, [])
  t.match(
    moves.find(({ id, to }) => id === removed && to === 'deleted'),
    { from: 'running', reason: 'sync: its machine is gone' },
  )
  t.match(await control.ask('GET', '/v1/ledger/verify'), { ok: true })
})
