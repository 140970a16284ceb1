// Drains that do not go by themselves, with whole processes on real Redis and PostgreSQL: at their deadline, while Redis
// forgets everything, and while a gateway is cut off from it.
//
// Lower limits alone are asserted. That something is *not* done is shown by a witness: another upstream, which nobody
// uses, is drained meanwhile, so control was at work and could have done it.

import { Redis } from 'ioredis'
import t from 'tap'
import { startCloudFleet, untilKnown } from '../fixtures/cloud-fleet.ts'
import { startRole } from '../fixtures/fleet.ts'
import { holdTunnel } from '../fixtures/held-tunnel.ts'
import { newRecord, openTunnel } from '../fixtures/job-load.ts'
import { startKeptControl } from '../fixtures/kept-control.ts'
import { foldLedger, readLedger, type Move } from '../fixtures/ledger-fold.ts'
import { connectThrough, getThrough } from '../fixtures/raw-client.ts'
import { startEchoTarget } from '../fixtures/tcp-target.ts'
import { startTcpRelay } from '../fixtures/tcp-relay.ts'
import { until } from '../fixtures/until.ts'
import { makeKeys } from '../../src/store/redis/keys.ts'

const upstreamCount = 11
const silentMs = 4000
const patient = { withinMs: 60_000, everyMs: 100 }

type Shut = { readonly pins: number; readonly tunnels: number }

// A minute on a machine of its own, several on a busy one.
t.setTimeout(600_000)
const fleet = await startCloudFleet(t, {
  settings: { drains: { silentMs }, pins: { idleMs: 100_000 } },
})
const relay = await startTcpRelay({ host: '127.0.0.1', port: fleet.redis.port })
t.teardown(relay.stop)
const echo = await startEchoTarget()
t.teardown(echo.stop)
const redis = new Redis(fleet.redis.url)
t.teardown(() => redis.disconnect())

const control = await startKeptControl(t, fleet)
await control.ask('PUT', '/v1/fleet', { wanted: upstreamCount })
const behindRelay = { env: { ...fleet.env, REDIS_URL: `redis://127.0.0.1:${relay.port}` } }
const [near, far] = await Promise.all([startRole(t, fleet, 'gateway'), startRole(t, behindRelay, 'gateway')])
await until('all run', async () => (await idle()).length === upstreamCount, patient)
await untilKnown((await control.ask('GET', '/v1/fleet')).version, [near, far])

/** Running, and used by nobody. */
async function idle(): Promise<string[]> {
  const { items } = await control.ask('GET', '/v1/upstreams?limit=1000&state=running')
  const unused = (items as { id: string; pins: number; tunnels: number }[]).filter(
    ({ pins, tunnels }) => pins + tunnels === 0,
  )
  return unused.map(({ id }) => id)
}

const upstream = (id: string) => control.ask('GET', `/v1/upstreams/${id}`)
const remove = (id: string, query = '') => control.ask('DELETE', `/v1/upstreams/${id}${query}`)
const hasMachine = (id: string) => fleet.engine.instances().some(({ name }) => name === id)

/** Control knows of a tunnel there. */
function untilReported(id: string): Promise<unknown> {
  return until('it is reported', async () => (await upstream(id)).tunnels === 1, patient)
}

function untilDeleted(id: string): Promise<unknown> {
  return until(`${id} is deleted`, async () => (await upstream(id)).state === 'deleted', patient)
}

/** One that nobody uses is drained from begin to end. @returns when it was over, in milliseconds since 1970 */
async function drainWitness(): Promise<number> {
  const [id] = await idle()
  await control.ask('POST', `/v1/upstreams/${id}/drain`, {})
  const drainedAt = await until(
    `${id} is drained`,
    async () => (await upstream(id!)).drain.drainedAt as string | null,
    patient,
  )
  return Date.parse(drainedAt)
}

async function moveOf(id: string, to: Move['to']): Promise<Move> {
  const { moves } = foldLedger(await readLedger(control.process()))
  return moves.find((move) => move.id === id && move.to === to)!
}

function hold(gateway: typeof near, job: string) {
  const to = { target: `127.0.0.1:${echo.port}`, userinfo: `job=${job}:x` }
  return holdTunnel({ gatewayPort: gateway.gatewayPort! }, to)
}

/** A short tunnel. @returns its upstream */
async function visit(gateway: typeof near, job: string): Promise<string> {
  const record = newRecord(job)
  const to = { port: gateway.gatewayPort!, target: fleet.target, userinfo: `job=${job}:x` }
  await (await openTunnel(record, to)).closeAfter(0)
  return record.upstream!
}

async function refusal(gateway: typeof near, job: string): Promise<{ status: number; code: string }> {
  const asked = { target: fleet.target, userinfo: `job=${job}:x` }
  const { status, body, socket } = await connectThrough({ gatewayPort: gateway.gatewayPort!, ...asked })
  socket.destroy()
  return { status, code: JSON.parse(String(body)).code }
}

/** The job says that it is over, whatever is still open. */
async function release(gateway: typeof near, job: string): Promise<void> {
  const asked = { url: '/v1/job', method: 'DELETE', userinfo: `job=${job}:x` }
  const { status, socket } = await getThrough({ gatewayPort: gateway.gatewayPort!, ...asked })
  socket.destroy()
  if (status !== 204) throw new Error(`the release of ${job} was answered ${status}`)
}

/** From here on its gateway has nothing to tell the store of it. */
async function untilTouched(job: string): Promise<void> {
  let last = ''
  let sinceMs = 0
  await until(
    `the last use of ${job} is written down`,
    async () => {
      const { expiresAt } = await control.ask('GET', `/v1/jobs/${job}`)
      if (expiresAt !== last) sinceMs = performance.now()
      last = expiresAt
      return performance.now() - sinceMs > 3000
    },
    patient,
  )
}

for (const [name, ask, endsAs] of [
  ['a deletion', (id: string) => remove(id, '?deadlineMs=1500'), 'deleted'],
  [
    'a drain',
    (id: string) => control.ask('POST', `/v1/upstreams/${id}/drain`, { deadlineMs: 1500 }),
    'draining',
  ],
] as const) {
  t.test(`at the deadline of ${name} what is left is closed, counted and written down`, async (t) => {
    const job = `late-${endsAs}`
    const tunnel = await hold(near, job)
    const id = tunnel.upstream
    await untilReported(id)
    await ask(id)
    t.equal(await tunnel.ended, 'reset', 'the client cannot take it for an orderly end')
    t.same(await refusal(near, job), { status: 502, code: 'pin_lost' })
    t.same(await refusal(far, job), { status: 502, code: 'pin_lost' })
    await until(`it is ${endsAs}`, async () => (await upstream(id)).state === endsAs, patient)
    const { drain } = await upstream(id)
    t.match(drain.shut as Shut, { pins: 1, tunnels: 1 })
    t.ok(drain.shut.at >= drain.deadline, 'not before its deadline')
    const { items } = await control.ask('GET', `/v1/ledger?about=${id}&limit=1000`)
    const steps = (items as { steps: { to?: { drain?: { shut: Shut | null } } }[] }[]).flatMap(
      ({ steps }) => steps,
    )
    t.match(steps.map((step) => step.to?.drain?.shut).find(Boolean), { pins: 1, tunnels: 1 })
    t.equal(hasMachine(id), endsAs === 'draining', 'its machine goes only where that was asked for')
  })
}

t.test('FLUSHALL during a drain deletes nothing that is in use', async (t) => {
  const tunnel = await hold(near, 'holder')
  const known = await visit(near, 'known')
  t.not(tunnel.upstream, known)
  await release(near, 'holder')
  await remove(tunnel.upstream)
  await remove(known)
  await untilTouched('known')
  await redis.flushall()
  const flushedMs = Date.now()

  const drainedMs = await drainWitness()
  t.ok(
    drainedMs - flushedMs >= silentMs,
    `nothing is confirmed for ${silentMs} ms: ${drainedMs - flushedMs} ms`,
  )
  await drainWitness()
  for (const [id, what] of [
    [tunnel.upstream, 'a tunnel whose job is over'],
    [known, 'a pin that a gateway alone remembers'],
  ] as const) {
    t.equal((await upstream(id)).state, 'draining', `${what} holds its upstream`)
    t.ok(hasMachine(id))
  }
  await tunnel.carries()
  t.equal(await visit(near, 'known'), known, 'the job goes on as before')

  tunnel.close()
  await release(near, 'known')
  await untilDeleted(tunnel.upstream)
  await untilDeleted(known)
  t.notOk(hasMachine(tunnel.upstream) || hasMachine(known), 'and when they end, both are deleted')
})

t.test('a gateway that is cut off from Redis holds a drain', async (t) => {
  const [long, short] = [await hold(far, 'long'), await hold(far, 'short')]
  t.not(long.upstream, short.upstream)
  await release(far, 'short')
  await untilReported(long.upstream)
  await untilReported(short.upstream)
  relay.cut()
  const reports = await redis.hvals(makeKeys('main').gateways)
  const last = reports
    .map((text) => JSON.parse(text) as { at: number; tunnels: { [id: string]: number } })
    .find(({ tunnels }) => tunnels[long.upstream] === 1)!
  await remove(long.upstream)
  await remove(short.upstream, '?deadlineMs=8000')

  const drainedMs = await drainWitness()
  t.ok(drainedMs - last.at >= silentMs, `acknowledged ${drainedMs - last.at} ms after its last report`)
  await long.carries()
  t.equal(await visit(far, 'long'), long.upstream, 'a job that it knows goes on')
  t.same(await refusal(far, 'new'), { status: 503, code: 'store_unavailable' }, 'a new one does not begin')

  await t.test('its last reported tunnels hold until the deadline', async (t) => {
    await untilDeleted(short.upstream)
    const { drain } = await upstream(short.upstream)
    t.match(drain.shut as Shut, { pins: 0, tunnels: 1 })
    const { atMs } = await moveOf(short.upstream, 'deleting')
    t.ok(atMs >= Date.parse(drain.deadline), 'not before')
    t.ok(await short.ended, 'then it is closed')
    t.equal((await upstream(long.upstream)).state, 'draining', 'the other one has time')
  })

  await t.test('mended, it goes on at once', async (t) => {
    relay.mend()
    await untilKnown((await control.ask('GET', '/v1/fleet')).version, [far])
    await drainWitness()
    t.equal((await upstream(long.upstream)).state, 'draining', 'its tunnel holds the drain')
    await long.carries()
    long.close()
    await release(far, 'long')
    await untilDeleted(long.upstream)
    const { drain } = await upstream(long.upstream)
    t.equal(drain.shut, null, 'nothing had to be closed')
  })
})

t.test('the ledger tells it all', async (t) => {
  t.match(await control.ask('GET', '/v1/ledger/verify'), { ok: true })
  t.same(foldLedger(await readLedger(control.process())).problems, [])
})
