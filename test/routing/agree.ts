import t from 'tap'
import { makeAgree } from '../../src/routing/agree.ts'
import { makeFleetView } from '../../src/routing/fleet-view.ts'
import { openMemoryStore } from '../../src/store/memory/memory.ts'
import type { PinAnswer, PinRequest } from '../../src/store/store.ts'
import { recordFacts } from '../fixtures/facts.ts'
import { makeUpstream } from '../fixtures/upstream.ts'

const job = { id: 'job-1', type: 'payment', institution: null }
const life = { idleMs: 600_000, maxLifeMs: 86_400_000 }

/** Answers in turn what is given, and records what it was asked. */
async function setUp(...answers: PinAnswer[]) {
  const { snapshots } = openMemoryStore({ life, now: Date.now })
  await snapshots.publish({ version: 3, upstreams: [makeUpstream({ id: 'up-1' })], restrictions: [] })
  const fleet = makeFleetView({ snapshots, events: recordFacts().events })
  await fleet.refresh()
  const requests: PinRequest[] = []
  const agree = makeAgree({ gatewayId: 'gw-1', fleet, refused: () => ({ ids: ['full-1'], full: new Set() }) })
  const run = () =>
    agree(job, new Set(['failed-1']), async (request) => {
      requests.push(request)
      return answers[Math.min(requests.length, answers.length) - 1]!
    })
  return { snapshots, fleet, requests, run }
}

const pinned: PinAnswer = {
  kind: 'pinned',
  reused: false,
  pin: { job, upstreamId: 'up-1', freshBy: 'gw-1', pinnedAtMs: 1, expiresAtMs: 2 },
}

t.test('the first call brings the version and who is refused, not the ring', async (t) => {
  const { requests, run } = await setUp(pinned)
  t.equal(await run(), pinned)
  t.strictSame(requests, [
    { job, gatewayId: 'gw-1', version: 3, eligible: null, refused: ['failed-1', 'full-1'] },
  ])
})

t.test('a missing ring is brought by the second call', async (t) => {
  const { requests, run } = await setUp({ kind: 'no-ring' }, pinned)
  t.equal(await run(), pinned)
  t.strictSame(
    requests.map(({ eligible }) => eligible),
    [null, ['up-1']],
  )
})

t.test('a gateway that is behind reads the fleet before it asks again', async (t) => {
  const { snapshots, requests, run } = await setUp({ kind: 'stale', version: 4 }, pinned)
  await snapshots.publish({ version: 4, upstreams: [], restrictions: [] })
  await run()
  t.strictSame(
    requests.map(({ version }) => version),
    [3, 4],
  )
})

t.test('a store that is behind is given what the gateway has', async (t) => {
  const { fleet, run } = await setUp({ kind: 'behind', version: 2 }, pinned)
  let published = 0
  fleet.publishOwn = async () => void (published += 1)
  t.equal(await run(), pinned)
  t.equal(published, 1)
})

t.test('nobody in the ring, too many lanes, and too many pins, are errors that say so', async (t) => {
  await t.rejects((await setUp({ kind: 'none' })).run(), { code: 'no_upstream' })
  await t.rejects((await setUp({ kind: 'too-many-lanes' })).run(), { code: 'rate_limited' })
  const full = { code: 'rate_limited', status: 429, message: /pins\.max/ }
  await t.rejects((await setUp({ kind: 'too-many-pins' })).run(), full)
})

t.test('a fleet that changes with every call ends in an error, not in a loop', async (t) => {
  const { requests, run } = await setUp({ kind: 'stale', version: 9 })
  await t.rejects(run(), { code: 'overloaded' })
  t.ok(requests.length < 20)
})
