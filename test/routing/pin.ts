import t from 'tap'
import { GatewayError } from '../../src/errors.ts'
import { makeFleetView } from '../../src/routing/fleet-view.ts'
import type { Hash } from '../../src/routing/hash.ts'
import { makeKnownPins } from '../../src/routing/known-pins.ts'
import { makePinning } from '../../src/routing/pin.ts'
import { makeTouches } from '../../src/routing/touches.ts'
import { storeLimits, type StoreLimits } from '../../src/store/limits.ts'
import { openMemoryStore } from '../../src/store/memory/memory.ts'
import type { Pins, TrafficStore } from '../../src/store/store.ts'
import type { Job, Upstream } from '../../src/types.ts'
import { makeFakeClock } from '../fixtures/clock.ts'
import { recordFacts } from '../fixtures/facts.ts'
import { makeUpstream } from '../fixtures/upstream.ts'

const life = { idleMs: 600_000, maxLifeMs: 86_400_000 }
const trustMs = 570_000

const job = (id: string, type: string | null = null, institution: string | null = null): Job => ({
  id,
  type,
  institution,
})
const fleetOf = (...ids: string[]) => ids.map((id) => makeUpstream({ id }))

/** A store that several gateways share, with a hand on every call. */
function setUp(limits: StoreLimits = storeLimits) {
  const clock = makeFakeClock()
  const open = () => openMemoryStore({ life, now: clock.now, limits })
  const store = { current: open() as TrafficStore, isDown: false, calls: [] as string[] }
  const gates = new Map<string, Promise<void>>()

  /** What the store is asked passes here; `isDown` and gates are looked at first. */
  function watched<Part extends object>(part: () => Part): Part {
    return new Proxy({} as Part, {
      get:
        (_, name: string) =>
        async (...args: unknown[]) => {
          store.calls.push(name)
          await gates.get(name)
          if (store.isDown) throw new GatewayError('store_unavailable', { detail: 'away' })
          return (part()[name as keyof Part] as (...all: unknown[]) => unknown)(...args)
        },
    })
  }
  const pins = watched<Pins>(() => store.current.pins)
  const snapshots = watched(() => store.current.snapshots)

  return {
    clock,
    store,
    /** Calls of that name wait until the answer is called. */
    hold(name: string): () => void {
      let letGo = () => {}
      gates.set(name, new Promise((resolve) => (letGo = resolve)))
      return () => {
        gates.delete(name)
        letGo()
      }
    },
    /** As a Redis that came back without its data. */
    loseAll() {
      store.current = open()
    },
    publish: (version: number, upstreams: readonly Upstream[]) =>
      store.current.snapshots.publish({ version, upstreams, restrictions: [] }),
    makeGateway(
      id: string,
      {
        flexTypes = [] as string[],
        refused = { ids: [] as string[], full: new Set<string>() },
        hash = (() => null) as Hash,
      } = {},
    ) {
      const facts = recordFacts()
      const known = makeKnownPins({ limit: 1000, gatewayId: id })
      const fleet = makeFleetView({ snapshots, events: facts.events })
      let firstUses = 0
      const pinning = makePinning({
        gatewayId: id,
        pins,
        known,
        fleet,
        life,
        refused: () => refused,
        flexTypes,
        hash: (asked) => hash(asked),
        firstUsed: () => void (firstUses += 1),
        events: facts.events,
        now: clock.now,
      })
      const touches = makeTouches({ pins, known, life, now: clock.now })
      return { ...pinning, known, fleet, facts, touches, refused, firstUses: () => firstUses }
    },
  }
}

/** One gateway that has read a fleet of three. */
async function setUpOne(options: Parameters<ReturnType<typeof setUp>['makeGateway']>[1] = {}) {
  const world = setUp()
  await world.publish(1, fleetOf('up-1', 'up-2', 'up-3'))
  const gateway = world.makeGateway('gw-1', options)
  await gateway.fleet.refresh()
  world.store.calls.length = 0
  return { ...world, gateway }
}

async function setUpTwo(options: Parameters<ReturnType<typeof setUp>['makeGateway']>[1] = {}) {
  const world = await setUpOne(options)
  const other = world.makeGateway('gw-2', options)
  await other.fleet.refresh()
  world.store.calls.length = 0
  return { ...world, other }
}

t.test('a new job', async (t) => {
  t.test('gets the next upstream of its lane', async (t) => {
    const { gateway } = await setUpOne()
    const ids = []
    for (let i = 0; i < 6; i++) ids.push((await gateway.pinJob(job(`job-${i}`))).upstreamId)
    t.equal(new Set(ids.slice(0, 3)).size, 3)
    t.same(ids.slice(3), ids.slice(0, 3))
  })

  t.test('is published with its lane and the version it was decided by', async (t) => {
    const { gateway } = await setUpOne()
    const pin = await gateway.pinJob(job('job-1', 'payment'))
    t.strictSame(gateway.facts.of('pin_made'), [
      { job: pin.job, lane: { type: 'payment', institution: '*' }, upstream: pin.upstreamId, version: 1 },
    ])
  })

  t.test('is published with the version that it was asked by, though ours is newer since', async (t) => {
    const { gateway, store, publish } = await setUpOne()
    const { pins } = store.current
    // The ring is there.
    await gateway.pinJob(job('job-1'))
    const pin: Pins['pin'] = async (request) => {
      const answer = await pins.pin(request)
      await publish(2, fleetOf('up-1'))
      await gateway.fleet.refresh()
      return answer
    }
    store.current = { ...store.current, pins: { ...pins, pin } }
    await gateway.pinJob(job('job-2'))
    t.equal(gateway.fleet.version, 2)
    t.same(
      gateway.facts.of('pin_made').map(({ version }) => version),
      [1, 1],
    )
  })

  t.test('does not get an upstream that is refused now', async (t) => {
    const { gateway } = await setUpOne({ refused: { ids: ['up-1', 'up-3'], full: new Set() } })
    for (let i = 0; i < 3; i++) t.equal((await gateway.pinJob(job(`job-${i}`))).upstreamId, 'up-2')
  })

  t.test('does not get one that drains, is ejected or quarantined', async (t) => {
    const { gateway, publish } = await setUpOne()
    await publish(2, [
      makeUpstream({ id: 'up-1', state: 'draining' }),
      makeUpstream({ id: 'up-2', ejected: true }),
      makeUpstream({ id: 'up-3', quarantined: true }),
      makeUpstream({ id: 'up-4' }),
    ])
    for (let i = 0; i < 4; i++) t.equal((await gateway.pinJob(job(`job-${i}`))).upstreamId, 'up-4')
  })
})

t.test('a job that cannot be pinned is told why', async (t) => {
  t.test('no fleet was published', async (t) => {
    const gateway = setUp().makeGateway('gw-1')
    await t.rejects(gateway.pinJob(job('job-1')), { code: 'no_upstream', message: /published/ })
  })

  t.test('nobody may serve its lane', async (t) => {
    const { gateway, publish } = await setUpOne()
    await publish(2, [makeUpstream({ id: 'up-1', state: 'draining' })])
    await t.rejects(gateway.pinJob(job('job-1', 'payment')), {
      code: 'no_upstream',
      message: /payment:\*.*explain/,
      fields: { lane: 'payment:*' },
    })
  })

  t.test('all are full', async (t) => {
    const { gateway } = await setUpOne({
      refused: { ids: ['up-1', 'up-2', 'up-3'], full: new Set(['up-1', 'up-2', 'up-3']) },
    })
    await t.rejects(gateway.pinJob(job('job-1')), { code: 'overloaded', message: /full/ })
  })

  t.test('all have just failed', async (t) => {
    const { gateway } = await setUpOne({
      refused: { ids: ['up-1', 'up-2', 'up-3'], full: new Set(['up-9']) },
    })
    await t.rejects(gateway.pinJob(job('job-1')), { code: 'no_upstream', message: /answers/ })
  })

  t.test('too many lanes are in use', async (t) => {
    const { makeGateway, publish } = setUp({ ...storeLimits, maxLanes: 1 })
    const gateway = makeGateway('gw-1')
    await publish(1, fleetOf('up-1'))
    await gateway.fleet.refresh()
    await gateway.pinJob(job('job-1', 'payment'))
    await t.rejects(gateway.pinJob(job('job-2', 'statement')), { code: 'rate_limited', status: 429 })
  })

  t.test('the fleet changes without end', async (t) => {
    const { gateway, store } = await setUpOne()
    const { pins, snapshots } = store.current
    store.current = {
      ...store.current,
      pins: { ...pins, pin: async () => ({ kind: 'stale', version: 99 }) },
      snapshots,
    }
    await t.rejects(gateway.pinJob(job('job-1')), { code: 'overloaded', fields: { job: 'job-1' } })
  })
})

t.test('a job keeps its upstream', async (t) => {
  t.test('over many requests, for one call of the store', async (t) => {
    const { gateway, store } = await setUpOne()
    const first = await gateway.pinJob(job('job-1'))
    store.calls.length = 0
    for (let i = 0; i < 5; i++) t.equal(await gateway.pinJob(job('job-1')), first)
    t.same(store.calls, [])
  })

  t.test('when its trust has ended the store is asked, and says the same', async (t) => {
    const { gateway, store, clock } = await setUpOne()
    const pin = await gateway.pinJob(job('job-1'))
    const { upstreamId } = pin
    clock.advance(trustMs - 1)
    store.calls.length = 0
    await gateway.pinJob(job('job-1'))
    t.same(store.calls, [])
    clock.advance(1)
    t.match(await gateway.pinJob(job('job-1')), { upstreamId })
    t.same(store.calls, ['pin'])
    t.equal(gateway.facts.of('pin_made').length, 1)
  })

  t.test('at every gateway', async (t) => {
    const { gateway, other } = await setUpTwo()
    for (let i = 0; i < 5; i++) {
      const here = await gateway.pinJob(job(`job-${i}`))
      const there = await other.pinJob(job(`job-${i}`))
      t.equal(there.upstreamId, here.upstreamId)
      t.same([here.standing, there.standing], ['own', 'foreign'])
    }
    t.same(other.facts.of('pin_made'), [])
  })

  t.test('also while its upstream drains, is ejected or quarantined', async (t) => {
    for (const changed of [{ state: 'draining' }, { ejected: true }, { quarantined: true }] as const) {
      const { gateway, publish, clock } = await setUpOne()
      const { upstreamId } = await gateway.pinJob(job('job-1'))
      await publish(2, [makeUpstream({ id: upstreamId, ...changed }), makeUpstream({ id: 'up-9' })])
      t.equal((await gateway.pinJob(job('job-1'))).upstreamId, upstreamId, 'remembered')
      clock.advance(trustMs)
      t.equal((await gateway.pinJob(job('job-1'))).upstreamId, upstreamId, 'asked')
    }
  })

  t.test('until its pin expires; then the same id is a new job', async (t) => {
    const { gateway, clock } = await setUpOne()
    await gateway.pinJob(job('job-1'))
    clock.advance(life.idleMs)
    await gateway.pinJob(job('job-1'))
    t.equal(gateway.facts.of('pin_made').length, 2)
  })
})

t.test('requests that come together', async (t) => {
  t.test('share one call, and one pin', async (t) => {
    const { gateway, store } = await setUpOne()
    await gateway.pinJob(job('first of its lane'))
    store.calls.length = 0
    const pins = await Promise.all(Array.from({ length: 20 }, () => gateway.pinJob(job('job-1'))))
    t.equal(new Set(pins).size, 1)
    t.same(store.calls, ['pin'])
  })

  t.test('share a failure, which the next one does not', async (t) => {
    const { gateway, store } = await setUpOne()
    store.isDown = true
    const both = await Promise.allSettled([gateway.pinJob(job('job-1')), gateway.pinJob(job('job-1'))])
    t.same(
      both.map(({ status }) => status),
      ['rejected', 'rejected'],
    )
    t.same(store.calls, ['pin'])
    store.isDown = false
    t.ok(await gateway.pinJob(job('job-1')))
  })

  t.test('of one id but two lanes: one is pinned, the other is told', async (t) => {
    const { gateway } = await setUpOne()
    const both = await Promise.allSettled([
      gateway.pinJob(job('job-1', 'payment')),
      gateway.pinJob(job('job-1', 'statement')),
    ])
    t.match(both, [{ status: 'fulfilled' }, { status: 'rejected', reason: { code: 'bad_request' } }])
  })
})

t.test('the type and institution of a job', async (t) => {
  const pinned = job('job-1', 'payment', null)
  const rows: { name: string; asked: Job; fine: boolean }[] = [
    { name: 'repeated', asked: job('job-1', 'payment', null), fine: true },
    { name: 'left out', asked: job('job-1'), fine: true },
    { name: 'another type', asked: job('job-1', 'statement'), fine: false },
    { name: 'an institution where none was given', asked: job('job-1', 'payment', 'bank-a'), fine: false },
  ]
  for (const { name, asked, fine } of rows) {
    for (const where of ['remembered', 'in the store'] as const) {
      t.test(`${name}, of a job ${where}`, async (t) => {
        const { gateway, other, store, clock } = await setUpTwo()
        const pin = await gateway.pinJob(pinned)
        const before = await store.current.pins.read('job-1')
        gateway.known.dirty.clear()
        clock.advance(1000)
        const asking = (where === 'remembered' ? gateway : other).pinJob(asked)
        if (fine) return t.match(await asking, { job: pinned, upstreamId: pin.upstreamId })
        await t.rejects(asking, { code: 'bad_request', status: 400, message: /payment.*(statement|bank-a)/ })
        t.strictSame(await store.current.pins.read('job-1'), before, 'not extended')
        t.same([...gateway.known.dirty], [], 'not to be extended')
      })
    }
  }
})

t.test('versions', async (t) => {
  t.test('a gateway that is behind reads the fleet before it pins', async (t) => {
    const { gateway, publish } = await setUpOne()
    await publish(2, fleetOf('up-7'))
    t.equal((await gateway.pinJob(job('job-1'))).upstreamId, 'up-7')
    t.equal(gateway.facts.of('pin_made')[0]?.version, 2)
  })

  t.test('a store that lost the fleet gets it back', async (t) => {
    const { gateway, loseAll, store } = await setUpOne()
    loseAll()
    await gateway.pinJob(job('job-1'))
    t.equal(await store.current.snapshots.version(), 1)
  })
})

t.test('without the store', async (t) => {
  t.test('an unknown job is told so', async (t) => {
    const { gateway, store } = await setUpOne()
    store.isDown = true
    await t.rejects(gateway.pinJob(job('job-1')), { code: 'store_unavailable', status: 503 })
  })

  t.test('a known job goes on for as long as its pin would stand', async (t) => {
    const { gateway, store, clock } = await setUpOne()
    const pin = await gateway.pinJob(job('job-1'))
    store.isDown = true
    clock.advance(life.idleMs - 1)
    t.equal(await gateway.pinJob(job('job-1')), pin)
    clock.advance(life.idleMs - 1)
    t.equal(await gateway.pinJob(job('job-1')), pin, 'and each use extends it')
    clock.advance(life.idleMs)
    await t.rejects(gateway.pinJob(job('job-1')), { code: 'store_unavailable' })
  })

  t.test('a known job with a tunnel goes on', async (t) => {
    const { gateway, store, clock } = await setUpOne()
    const pin = await gateway.pinJob(job('job-1'))
    gateway.hold(pin)
    store.isDown = true
    clock.advance(life.idleMs * 3)
    t.equal(await gateway.pinJob(job('job-1')), pin)
  })

  t.test('a known job with another type is told of that', async (t) => {
    const { gateway, store, clock } = await setUpOne()
    await gateway.pinJob(job('job-1', 'payment'))
    store.isDown = true
    clock.advance(trustMs)
    await t.rejects(gateway.pinJob(job('job-1', 'statement')), { code: 'bad_request' })
  })

  t.test('a pin that was forgotten while the store was asked does not come back', async (t) => {
    const { gateway, store, clock, hold } = await setUpOne()
    const pin = await gateway.pinJob(job('job-1'))
    clock.advance(trustMs)
    const go = hold('pin')
    const asking = gateway.pinJob(job('job-1'))
    gateway.known.forget(pin)
    store.isDown = true
    go()
    await t.rejects(asking, { code: 'store_unavailable' })
  })
})

t.test('without the store, of jobs that this gateway did not serve', async (t) => {
  const told = (id: string, freshBy: string | null) => ({
    job: job(id),
    upstreamId: 'up-2',
    freshBy,
    pinnedAtMs: 1,
    expiresAtMs: 0,
  })

  t.test('one that is in use elsewhere goes where it is pinned', async (t) => {
    const { gateway, store, clock } = await setUpOne()
    gateway.known.follow(told('job-1', null), { now: clock.now() })
    store.isDown = true
    const pin = await gateway.pinJob(job('job-1'))
    t.equal(pin.upstreamId, 'up-2')
    t.ok(await gateway.settle(pin, 'up-2'))
  })

  t.test('one that is fresh elsewhere might still move: it is refused', async (t) => {
    const { gateway, store, clock } = await setUpOne()
    gateway.known.follow(told('job-1', 'gw-2'), { now: clock.now() })
    store.isDown = true
    const pin = await gateway.pinJob(job('job-1'))
    await t.rejects(gateway.settle(pin, 'up-2'), { code: 'store_unavailable' })
  })

  t.test('while the store is there, it is asked', async (t) => {
    const { gateway, store, clock } = await setUpOne()
    gateway.known.follow(told('job-1', null), { now: clock.now() })
    await gateway.pinJob(job('job-1'))
    t.same(store.calls, ['pin', 'pin'], 'and again with a ring')
  })

  t.test('one that nobody has used for its idle time is over', async (t) => {
    const { gateway, store, clock } = await setUpOne()
    gateway.known.follow(told('job-1', null), { now: clock.now() })
    store.isDown = true
    clock.advance(life.idleMs)
    await t.rejects(gateway.pinJob(job('job-1')), { code: 'store_unavailable' })
  })

  t.test('one that nobody knows gets what `hash` says, if anything, and keeps it', async (t) => {
    const hash: { job: Hash } = { job: () => null }
    const { gateway, store, clock } = await setUpOne({ hash: (asked) => hash.job(asked) })
    store.isDown = true
    await t.rejects(gateway.pinJob(job('job-1')), { code: 'store_unavailable' })
    hash.job = ({ id }) => gateway.known.addHashed(told(id, null), clock.now())
    const pin = await gateway.pinJob(job('job-1'))
    t.ok(await gateway.settle(pin, 'up-2'))
    hash.job = () => t.fail('it is known by now') as never
    t.equal(await gateway.pinJob(job('job-1')), pin)
    store.isDown = false
    hash.job = () => t.fail('the store is there') as never
    t.not((await gateway.pinJob(job('job-2'))).hashed, true)
  })
})

t.test('the first use of a pin of ours is told of at once, once', async (t) => {
  const { gateway } = await setUpOne()
  const pin = await gateway.pinJob(job('job-1'))
  t.equal(gateway.firstUses(), 0)
  await gateway.settle(pin, pin.upstreamId)
  await gateway.settle(pin, pin.upstreamId)
  t.equal(gateway.firstUses(), 1)
  t.same([...gateway.known.firstUsed], [pin])
})

t.test('the upstream of a job is gone', async (t) => {
  for (const where of ['remembered', 'in the store'] as const) {
    t.test(`a strict job ${where} is told, with its name and what to do`, async (t) => {
      const { gateway, other, publish } = await setUpTwo()
      const pin = await gateway.pinJob(job('job-1'))
      const gone = pin.upstreamId
      t.ok(await gateway.settle(pin, gone))
      await gateway.touches.flush()
      await publish(2, fleetOf('up-9'))
      const asked = where === 'remembered' ? gateway : other
      await asked.fleet.refresh()
      await t.rejects(asked.pinJob(job('job-1')), {
        code: 'pin_lost',
        status: 502,
        fields: { upstream: gone, job: 'job-1' },
        message: /DELETE \/v1\/job/,
      })
      t.match(asked.facts.of('pin_lost'), [{ upstream: gone }])
      await asked.release('job-1', 'job')
      t.equal((await asked.pinJob(job('job-1'))).upstreamId, 'up-9', 'released, it is a new job')
    })
  }

  t.test('a job whose type is flex gets another upstream, and it is counted', async (t) => {
    const { gateway, publish } = await setUpOne({ flexTypes: ['statement'] })
    const pin = await gateway.pinJob(job('job-1', 'statement'))
    const gone = pin.upstreamId
    await gateway.settle(pin, gone)
    await gateway.touches.flush()
    await publish(2, fleetOf('up-9'))
    await gateway.fleet.refresh()
    t.equal((await gateway.pinJob(job('job-1'))).upstreamId, 'up-9')
    t.match(gateway.facts.of('pin_moved'), [{ from: gone, to: 'up-9', reason: 'flex' }])
    t.same(gateway.facts.of('pin_lost'), [])
  })

  t.test('a flex job that was released meanwhile is a new job', async (t) => {
    const { gateway, other, publish } = await setUpTwo({ flexTypes: ['statement'] })
    const pin = await gateway.pinJob(job('job-1', 'statement'))
    await gateway.settle(pin, pin.upstreamId)
    await other.release('job-1', 'operator')
    await publish(2, fleetOf('up-9'))
    await gateway.fleet.refresh()
    const next = await gateway.pinJob(job('job-1', 'statement'))
    t.match(next, { upstreamId: 'up-9', over: false })
  })

  t.test('a fresh job gets another upstream from the gateway that pinned it', async (t) => {
    const { gateway, publish } = await setUpOne()
    const gone = (await gateway.pinJob(job('job-1'))).upstreamId
    await publish(2, fleetOf('up-9'))
    await gateway.fleet.refresh()
    t.equal((await gateway.pinJob(job('job-1'))).upstreamId, 'up-9')
    t.match(gateway.facts.of('pin_moved'), [{ from: gone, to: 'up-9', reason: 'fresh' }])
  })

  t.test('and from no other gateway', async (t) => {
    const { gateway, other, publish } = await setUpTwo()
    await gateway.pinJob(job('job-1'))
    await other.pinJob(job('job-1'))
    await publish(2, fleetOf('up-9'))
    await other.fleet.refresh()
    await t.rejects(other.pinJob(job('job-1')), { code: 'pin_lost' })
  })

  t.test('an upstream of a version that this gateway has not read yet is not gone', async (t) => {
    const { gateway, other, publish } = await setUpTwo()
    await publish(2, fleetOf('up-9'))
    await other.fleet.refresh()
    const pin = await other.pinJob(job('job-1'))
    t.equal((await gateway.pinJob(job('job-1'))).upstreamId, pin.upstreamId)
    t.equal(gateway.upstreamOf(pin).id, 'up-9')
  })

  t.test('a request that looked for it while another moved the job keeps the new upstream', async (t) => {
    const { gateway, publish, hold } = await setUpOne()
    const pin = await gateway.pinJob(job('job-1'))
    await publish(2, fleetOf('up-8', 'up-9'))
    await gateway.fleet.refresh()
    const letFirstRead = hold('read')
    const letMove = hold('move')
    const first = gateway.pinJob(job('job-1'))
    letFirstRead()
    await new Promise(setImmediate)
    const letSecondRead = hold('read')
    const second = gateway.pinJob(job('job-1'))
    letMove()
    const moved = (await first).upstreamId
    t.ok(await gateway.settle(pin, moved))
    letSecondRead()
    t.equal((await second).upstreamId, moved)
    t.same(gateway.facts.of('pin_lost'), [])
    t.equal(gateway.facts.of('pin_moved').length, 1)
  })

  t.test('asking for the upstream of a pin that has left the fleet says so', async (t) => {
    const { gateway, publish } = await setUpOne()
    const pin = await gateway.pinJob(job('job-1'))
    await publish(2, fleetOf('up-9'))
    await gateway.fleet.refresh()
    t.throws(() => gateway.upstreamOf(pin), { code: 'pin_lost', fields: { upstream: pin.upstreamId } })
  })
})

t.test('a fresh pin whose dial failed', async (t) => {
  t.test('moves on, never back to one that failed it, until none is left', async (t) => {
    const { gateway } = await setUpOne()
    const pin = await gateway.pinJob(job('job-1'))
    const tried = [pin.upstreamId]
    while (await gateway.moveOn(pin, pin.upstreamId)) tried.push(pin.upstreamId)
    t.same([...tried].sort(), ['up-1', 'up-2', 'up-3'])
    t.equal(await gateway.pinJob(job('job-1')), pin, 'it stays where it is, and knows who failed it')
    t.equal(gateway.facts.of('pin_moved').length, 2)
    t.match(gateway.facts.of('pin_moved')[0], { from: tried[0], to: tried[1], reason: 'fresh' })
  })

  t.test('moves once for all requests whose dials failed together', async (t) => {
    const { gateway, store } = await setUpOne()
    const pin = await gateway.pinJob(job('job-1'))
    const failed = pin.upstreamId
    store.calls.length = 0
    t.same(await Promise.all([1, 2, 3].map(() => gateway.moveOn(pin, failed))), [true, true, true])
    t.same(store.calls, ['move'])
  })

  t.test('has moved already: nothing is left to do', async (t) => {
    const { gateway, store } = await setUpOne()
    const pin = await gateway.pinJob(job('job-1'))
    const failed = pin.upstreamId
    await gateway.moveOn(pin, failed)
    store.calls.length = 0
    t.ok(await gateway.moveOn(pin, failed))
    t.same(store.calls, [])
  })

  t.test('does not move for another gateway than its own', async (t) => {
    const { gateway, other } = await setUpTwo()
    await gateway.pinJob(job('job-1'))
    const foreign = await other.pinJob(job('job-1'))
    t.notOk(await other.moveOn(foreign, foreign.upstreamId))
  })

  t.test('does not move once another gateway has opened a tunnel', async (t) => {
    const { gateway, other } = await setUpTwo()
    const own = await gateway.pinJob(job('job-1'))
    const foreign = await other.pinJob(job('job-1'))
    t.ok(await other.settle(foreign, foreign.upstreamId))
    t.notOk(await gateway.moveOn(own, own.upstreamId))
    t.equal(own.standing, 'used')
    t.equal(own.upstreamId, foreign.upstreamId)
  })

  t.test('was released meanwhile: the job is pinned anew', async (t) => {
    const { gateway, other } = await setUpTwo()
    const pin = await gateway.pinJob(job('job-1'))
    await other.release('job-1', 'job')
    t.ok(await gateway.moveOn(pin, pin.upstreamId))
    t.ok(pin.over)
    t.not(await gateway.pinJob(job('job-1')), pin)
  })

  t.test('is asked for anew when nobody knows whether it moved', async (t) => {
    const { gateway, store } = await setUpOne()
    const pin = await gateway.pinJob(job('job-1'))
    store.isDown = true
    await t.rejects(gateway.moveOn(pin, pin.upstreamId), { code: 'store_unavailable' })
    t.ok(pin.over)
    store.isDown = false
    store.calls.length = 0
    await gateway.pinJob(job('job-1'))
    t.same(store.calls, ['pin'])
  })
})

t.test('a tunnel stands, and nobody was told yet', async (t) => {
  t.test('a pin of ours is used from then on, without a call, and moves no more', async (t) => {
    const { gateway, store } = await setUpOne()
    const pin = await gateway.pinJob(job('job-1'))
    store.calls.length = 0
    t.ok(await gateway.settle(pin, pin.upstreamId))
    t.same(store.calls, [])
    t.notOk(await gateway.moveOn(pin, pin.upstreamId))
    t.same(store.calls, [])
  })

  t.test('the store learns of it with the next touches, also when others went meanwhile', async (t) => {
    const { gateway, store } = await setUpOne()
    const pin = await gateway.pinJob(job('job-1'))
    await gateway.touches.flush()
    t.equal((await store.current.pins.read('job-1'))?.freshBy, 'gw-1')
    await gateway.settle(pin, pin.upstreamId)
    gateway.hold(pin)
    await gateway.touches.flush()
    t.equal((await store.current.pins.read('job-1'))?.freshBy, null)
  })

  t.test('a pin of another gateway, still fresh there, is confirmed by the store', async (t) => {
    const { gateway, other, store } = await setUpTwo()
    await gateway.pinJob(job('job-1'))
    const foreign = await other.pinJob(job('job-1'))
    store.calls.length = 0
    t.ok(await other.settle(foreign, foreign.upstreamId))
    t.same(store.calls, ['use'])
    t.equal(foreign.standing, 'used')
    store.calls.length = 0
    t.ok(await other.settle(foreign, foreign.upstreamId))
    t.same(store.calls, [], 'once')
  })

  t.test('one that its gateway has moved meanwhile must be dialled anew', async (t) => {
    const { gateway, other } = await setUpTwo()
    const own = await gateway.pinJob(job('job-1'))
    const foreign = await other.pinJob(job('job-1'))
    const dialled = foreign.upstreamId
    t.ok(await gateway.moveOn(own, dialled))
    t.notOk(await other.settle(foreign, dialled))
    t.equal(foreign.upstreamId, own.upstreamId)
    t.ok(await other.settle(foreign, foreign.upstreamId))
  })

  t.test('one that was released meanwhile must be pinned anew', async (t) => {
    const { gateway, other } = await setUpTwo()
    await gateway.pinJob(job('job-1'))
    const foreign = await other.pinJob(job('job-1'))
    await gateway.release('job-1', 'job')
    t.notOk(await other.settle(foreign, foreign.upstreamId))
    const anew = await other.pinJob(job('job-1'))
    t.ok(foreign.over)
    t.equal(anew.standing, 'own')
  })

  t.test(
    'of a pin that nobody has used and whose upstream left while it was dialled: it moves',
    async (t) => {
      const { gateway, publish } = await setUpOne()
      const pin = await gateway.pinJob(job('job-1'))
      const gone = pin.upstreamId
      await publish(2, fleetOf('up-9'))
      await gateway.fleet.refresh()
      t.notOk(await gateway.settle(pin, gone))
      t.equal((await gateway.pinJob(job('job-1'))).upstreamId, 'up-9')
      t.match(gateway.facts.of('pin_moved'), [{ from: gone, to: 'up-9', reason: 'fresh' }])
    },
  )

  t.test('of a used pin whose upstream left while it was dialled: it is lost', async (t) => {
    const { gateway, publish } = await setUpOne()
    const pin = await gateway.pinJob(job('job-1'))
    t.ok(await gateway.settle(pin, pin.upstreamId))
    await publish(2, fleetOf('up-9'))
    await gateway.fleet.refresh()
    t.notOk(await gateway.settle(pin, pin.upstreamId))
    await t.rejects(gateway.pinJob(job('job-1')), { code: 'pin_lost' })
  })

  t.test('of a pin whose upstream left while it was confirmed: it is lost', async (t) => {
    const { gateway, other, publish, hold } = await setUpTwo()
    await gateway.pinJob(job('job-1'))
    const foreign = await other.pinJob(job('job-1'))
    const letUse = hold('use')
    const settling = other.settle(foreign, foreign.upstreamId)
    await publish(2, fleetOf('up-9'))
    await other.fleet.refresh()
    letUse()
    t.notOk(await settling)
  })

  t.test('one that cannot be confirmed opens no tunnel', async (t) => {
    const { gateway, other, store } = await setUpTwo()
    await gateway.pinJob(job('job-1'))
    const foreign = await other.pinJob(job('job-1'))
    store.isDown = true
    await t.rejects(other.settle(foreign, foreign.upstreamId), { code: 'store_unavailable' })
  })

  t.test('a move under way is waited for', async (t) => {
    const { gateway, hold } = await setUpOne()
    const pin = await gateway.pinJob(job('job-1'))
    const dialled = pin.upstreamId
    const letMove = hold('move')
    const moving = gateway.moveOn(pin, dialled)
    const settling = gateway.settle(pin, dialled)
    letMove()
    t.ok(await moving)
    t.notOk(await settling, 'the job is elsewhere now')
    t.equal(pin.standing, 'own')
  })

  t.test('a move under way that fails ends the pin', async (t) => {
    const { gateway, hold, store } = await setUpOne()
    const pin = await gateway.pinJob(job('job-1'))
    const letMove = hold('move')
    const moving = gateway.moveOn(pin, pin.upstreamId)
    const settling = gateway.settle(pin, pin.upstreamId)
    store.isDown = true
    letMove()
    await t.rejects(moving, { code: 'store_unavailable' })
    t.notOk(await settling)
  })

  t.test('a move by its gateway and a use by another: one of them wins, and both know', async (t) => {
    for (const first of ['move', 'use'] as const) {
      const { gateway, other, hold } = await setUpTwo()
      const own = await gateway.pinJob(job('job-1'))
      const foreign = await other.pinJob(job('job-1'))
      const dialled = own.upstreamId
      const letSecond = hold(first === 'move' ? 'use' : 'move')
      const both = [gateway.moveOn(own, dialled), other.settle(foreign, dialled)]
      await both[first === 'move' ? 0 : 1]
      letSecond()
      const [moved, settled] = await Promise.all(both)
      t.same(
        { moved, settled },
        first === 'move' ? { moved: true, settled: false } : { moved: false, settled: true },
      )
      t.equal(own.upstreamId, foreign.upstreamId)
    }
  })
})

t.test('a release', async (t) => {
  t.test('ends the pin here and in the store', async (t) => {
    const { gateway, store } = await setUpOne()
    const pin = await gateway.pinJob(job('job-1'))
    t.ok(await gateway.release('job-1', 'operator'))
    t.ok(pin.over)
    t.equal(await store.current.pins.read('job-1'), null)
    t.strictSame(gateway.facts.of('pin_released'), [
      { jobId: 'job-1', upstream: pin.upstreamId, by: 'operator' },
    ])
    t.not(await gateway.pinJob(job('job-1')), pin)
  })

  t.test('of a job without a pin says so', async (t) => {
    const { gateway } = await setUpOne()
    t.notOk(await gateway.release('job-1', 'job'))
    t.same(gateway.facts.of('pin_released'), [])
  })

  t.test('that the store did not take leaves the pin as it was', async (t) => {
    const { gateway, store } = await setUpOne()
    const pin = await gateway.pinJob(job('job-1'))
    store.isDown = true
    await t.rejects(gateway.release('job-1', 'job'), { code: 'store_unavailable' })
    t.notOk(pin.over)
  })
})

t.test('reading a job extends nothing', async (t) => {
  const { gateway, clock } = await setUpOne()
  await gateway.pinJob(job('job-1'))
  const before = await gateway.read('job-1')
  clock.advance(1000)
  t.strictSame(await gateway.read('job-1'), before)
  t.equal(await gateway.read('job-9'), null)
})
