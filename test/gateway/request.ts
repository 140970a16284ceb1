import t, { type Test } from 'tap'
import { GatewayError } from '../../src/errors.ts'
import type { StandingTunnel } from '../../src/gateway/open-tunnel.ts'
import type { Relay, RelayEnd } from '../../src/gateway/relay.ts'
import { makeRequestStory } from '../../src/gateway/request.ts'
import { makeTunnelLimits } from '../../src/gateway/tunnel-limits.ts'
import { makeTunnels } from '../../src/gateway/tunnels.ts'
import { makeFakeClock } from '../fixtures/clock.ts'
import { recordFacts } from '../fixtures/facts.ts'
import { makeUpstream } from '../fixtures/upstream.ts'

const never = new AbortController().signal
const job = { id: 'job-1', type: null, institution: null }
const target = { host: 'bank.test', port: 443 }
const upstream = makeUpstream({ id: 'up-1', egressIp: '203.0.113.7' })
const pin = { job } as never
const tunnel: StandingTunnel = { upstream, pin, socket: {} as never }

function setUp(t: Test, { max = 1, perJob = null }: { max?: number; perJob?: number | null } = {}) {
  const clock = makeFakeClock()
  const facts = recordFacts()
  const tunnels = makeTunnels({ idleMs: 1000, maxLifeMs: 10_000, now: clock.now })
  t.teardown(() => tunnels.stop())
  const limits = makeTunnelLimits({ maxTunnels: max, tunnelsPerJob: perJob, tunnelsPerToken: null })
  const state = {
    isThere: true,
    looked: 0,
    opened: 0,
    finding: Promise.resolve(),
    opening: Promise.resolve(),
    letGo: [] as unknown[],
  }
  const story = makeRequestStory({
    gatewayId: 'machine-7-4f2a91c0',
    openTunnel: async (_job, _target, _signal, admit) => {
      state.looked += 1
      await state.finding
      admit?.()
      state.opened += 1
      await state.opening
      return tunnel
    },
    tunnels,
    limits,
    pinning: { letGo: (its: unknown) => state.letGo.push(its) } as never,
    isThere: (id) => state.isThere && id === 'up-1',
    memory: { isShort: false },
    events: facts.events,
    now: clock.now,
  })
  const begin = () => Object.assign(story.begin('connect'), { job, target })
  return { clock, facts, tunnels, limits, state, story, begin }
}

function fakeRelay(): { relay: Relay; end: (how: RelayEnd) => void; closedBy: string[] } {
  let end: (how: RelayEnd) => void = () => {}
  const ended = new Promise<RelayEnd>((resolve) => (end = resolve))
  const closedBy: string[] = []
  const relay: Relay = { ended, bytes: () => 0, close: (why) => closedBy.push(why) }
  return { relay, end: (how) => end(how), closedBy }
}

t.test('each request has an id of its own, which tells the gateway but not its machine', async (t) => {
  const { begin, story } = setUp(t)
  const unread = story.refusedUnread(new GatewayError('bad_request', { detail: 'No head.' }))
  const ids = [begin().requestId, story.newId(), unread, begin().requestId]
  t.equal(new Set(ids).size, ids.length)
  for (const id of ids) t.match(id, /^4f2a91c0-\d+$/)
})

t.test('what is no request is published as one, with nothing read of it', async (t) => {
  const { story, facts } = setUp(t)
  const error = new GatewayError('bad_request', { detail: 'Slow.', reason: 'head_too_slow' })
  const requestId = story.refusedUnread(error)
  const nothing = { job: null, token: null, tokenKey: null, target: null, upstream: null }
  t.strictSame(facts.of('request_refused'), [
    { requestId, code: 'bad_request', status: 408, detail: 'Slow.', ...nothing },
  ])
})

t.test('a gateway that carries all that it may opens nothing', async (t) => {
  const { story, begin, state } = setUp(t, { max: 1 })
  const request = begin()
  t.equal(await story.open(request, never), tunnel)
  await t.rejects(story.open(begin(), never), { code: 'overloaded', status: 503 }, 'before it is carried')
  const { relay, end } = fakeRelay()
  story.carry(request, tunnel, relay)
  await t.rejects(story.open(begin(), never), { code: 'overloaded', status: 503 })
  t.equal(state.opened, 1)
  end({ bytesUp: 0, bytesDown: 0, endedBy: 'client' })
  await relay.ended
  t.equal(await story.open(begin(), never), tunnel)
})

t.test(
  'policy comes before capacity: a full gateway still looks whether the target is allowed',
  async (t) => {
    const { story, begin, state } = setUp(t, { max: 1 })
    await story.open(begin(), never)
    state.finding = Promise.reject(new GatewayError('target_denied', { detail: 'No.' }))
    await t.rejects(story.open(begin(), never), { code: 'target_denied' })
  },
)

t.test('while the target is looked for nothing is taken', async (t) => {
  const { story, begin, state, limits } = setUp(t, { max: 1 })
  let found = () => {}
  state.finding = new Promise((resolve) => (found = resolve))
  const both = [story.open(begin(), never), story.open(begin(), never)]
  t.equal(limits.taken, 0)
  found()
  t.match(await Promise.allSettled(both), [
    { status: 'fulfilled' },
    { status: 'rejected', reason: { code: 'overloaded' } },
  ])
})

t.test('a job that has all its tunnels is told so; others are not', async (t) => {
  const { story, begin } = setUp(t, { max: 10, perJob: 1 })
  await story.open(begin(), never)
  await t.rejects(story.open(begin(), never), { code: 'rate_limited', status: 429, fields: { job: 'job-1' } })
  const other = Object.assign(begin(), { job: { ...job, id: 'job-2' } })
  t.equal(await story.open(other, never), tunnel)
})

t.test('tunnels on their way count as well, until they have failed or stand', async (t) => {
  const { story, begin, state } = setUp(t, { max: 2 })
  let fail: (error: GatewayError) => void = () => {}
  state.opening = new Promise((_, reject) => (fail = reject))
  const both = [story.open(begin(), never), story.open(begin(), never)]
  await t.rejects(story.open(begin(), never), { code: 'overloaded' })
  fail(new GatewayError('target_failed', { detail: 'No.' }))
  t.match(await Promise.allSettled(both), [{ status: 'rejected' }, { status: 'rejected' }])
  state.opening = Promise.resolve()
  t.equal(await story.open(begin(), never), tunnel)
})

t.test('a tunnel from its begin to its end', async (t) => {
  const { story, begin, state, tunnels, facts, clock } = setUp(t)
  const request = Object.assign(begin(), { tokenKey: 'k1' })
  const { requestId } = request
  clock.advance(12)
  const { relay, end, closedBy } = fakeRelay()
  story.carry(request, tunnel, relay)
  t.same(closedBy, [])
  t.match(tunnels.list(), [{ requestId, job, target, upstreamId: 'up-1', openedMs: clock.now() }])
  const named = { requestId, job, token: null, tokenKey: 'k1', target, upstream: 'up-1' }
  t.strictSame(facts.of('tunnel_opened'), [
    { ...named, road: 'connect', egressIp: '203.0.113.7', setupMs: 12 },
  ])
  t.same(state.letGo, [])
  clock.advance(500)
  end({ bytesUp: 3, bytesDown: 4, endedBy: 'upstream' })
  await tunnels.none(never)
  await relay.ended
  t.strictSame(facts.of('tunnel_closed'), [
    { ...named, bytesUp: 3, bytesDown: 4, endedBy: 'upstream', ms: 500 },
  ])
  t.strictSame(state.letGo, [pin], 'its pin is let go, once')
})

t.test('a tunnel whose upstream left the fleet before it was carried is closed, and recorded', async (t) => {
  const { story, begin, state, tunnels, facts } = setUp(t)
  story.lookAgain(tunnel)
  state.isThere = false
  t.throws(() => story.lookAgain(tunnel), { code: 'pin_lost', fields: { upstream: 'up-1', job: 'job-1' } })
  const { relay, closedBy } = fakeRelay()
  story.carry(begin(), tunnel, relay)
  t.same(closedBy, ['drained'])
  t.equal(tunnels.count, 1, 'until it has ended')
  t.equal(facts.of('tunnel_opened').length, 1)
})

t.test('a refusal is published with what was read of the request', async (t) => {
  const { story, facts } = setUp(t)
  const request = story.begin('http')
  const error = new GatewayError('upstream_failed', { detail: 'closed', upstream: 'up-1' })
  t.equal(story.refused(request, error, never), error)
  const { requestId } = request
  const told = { requestId, code: 'upstream_failed', status: 502, detail: 'closed', upstream: 'up-1' }
  t.strictSame(facts.of('request_refused'), [
    { ...told, job: null, token: null, tokenKey: null, target: null },
  ])
  Object.assign(request, { job, token: 'payments', tokenKey: 'k1', target })
  story.refused(request, error, never)
  t.strictSame(facts.of('request_refused')[1], { ...told, job, token: 'payments', tokenKey: 'k1', target })
})

t.test('an error that nobody foresaw is told to operators, not to the client', async (t) => {
  const { story, begin, facts } = setUp(t)
  const error = new TypeError('a mistake')
  const answer = story.refused(begin(), error, never)
  t.match(answer, { code: 'overloaded', status: 503 })
  t.notMatch(answer?.fields.detail, /mistake/)
  t.strictSame(facts.of('pass_failed'), [{ pass: 'request', error }])
  t.equal(facts.of('request_refused').length, 1)
})

t.test('a client that left is told nothing; that it left is published', async (t) => {
  const { story, begin, facts } = setUp(t)
  t.equal(story.refused(begin(), new Error('aborted'), AbortSignal.abort()), null)
  t.match(facts.of('request_refused'), [{ status: 499, job }])
  t.same(facts.of('pass_failed'), [])
})
