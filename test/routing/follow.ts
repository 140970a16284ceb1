import t from 'tap'
import { GatewayError } from '../../src/errors.ts'
import { makeFollowing } from '../../src/routing/follow.ts'
import { makeKnownPins } from '../../src/routing/known-pins.ts'
import type { Follower, Notice, Pins } from '../../src/store/store.ts'
import type { Pin } from '../../src/types.ts'
import { makeFakeClock } from '../fixtures/clock.ts'

const life = { idleMs: 600_000, maxLifeMs: 86_400_000 }
/** The store's clock is its own. */
const storeMs = 5_000_000

type Part = Awaited<ReturnType<Pins['scan']>>

const pinOf = (id: string, more: Partial<Pin> = {}): Pin => ({
  job: { id, type: null, institution: null },
  upstreamId: 'up-1',
  freshBy: 'gw-2',
  pinnedAtMs: storeMs,
  expiresAtMs: storeMs + life.idleMs,
  ...more,
})

function setUp({ limit = 100 } = {}) {
  const clock = makeFakeClock()
  const known = makeKnownPins({ limit, gatewayId: 'gw-1' })
  const followers: Follower[] = []
  let scan = async (_after: string | null): Promise<Part> => ({ pins: [], nowMs: storeMs, next: null })
  const following = makeFollowing({
    gatewayId: 'gw-1',
    feed: { follow: (follower) => void followers.push(follower) },
    pins: { scan: (after) => scan(after) },
    known,
    life,
    now: clock.now,
  })
  let asked = 0
  following.start(() => (asked += 1))
  const [feed] = followers
  return {
    clock,
    known,
    following,
    feed: feed!,
    tell: (...notices: Notice[]) => notices.forEach((notice) => feed!.heard(notice)),
    timesAsked: () => asked,
    onScan(answer: typeof scan) {
      scan = answer
    },
    holds: (...pins: Pin[]) => (scan = async () => ({ pins, nowMs: storeMs, next: null })),
    /** A beat whose echo comes at once. */
    beat() {
      feed!.heard({ kind: 'beat', gatewayId: 'gw-1', beats: following.nextBeat() })
      return clock.now()
    },
  }
}

t.test('what is told', async (t) => {
  t.test('the pins of the other gateways are known, and not trusted', async (t) => {
    const { known, tell } = setUp()
    tell({ kind: 'pinned', pin: pinOf('j') })
    t.match(known.get('j'), { upstreamId: 'up-1', standing: 'foreign', trustedUntilMs: -Infinity })
    t.equal(known.dirty.size, 0, 'its own gateway tells the store of its use')
  })

  t.test('what this gateway did itself it knows better', async (t) => {
    const { known, tell } = setUp()
    const own = pinOf('j', { freshBy: 'gw-1', upstreamId: 'up-2' })
    const pin = known.remember(own, { now: 0, trustedUntilMs: 100 })
    tell({ kind: 'pinned', pin: pinOf('j', { freshBy: 'gw-1' }) })
    t.equal(known.get('j'), pin)
    t.equal(pin.upstreamId, 'up-2')
  })

  t.test('and what it was not answered it does not know: a replica may not have it yet', async (t) => {
    const { known, tell } = setUp()
    tell({ kind: 'pinned', pin: pinOf('j', { freshBy: 'gw-1' }) })
    t.equal(known.size, 0)
  })

  t.test('a fresh pin that its maker moves is followed, the same object', async (t) => {
    const { known, tell } = setUp()
    tell({ kind: 'pinned', pin: pinOf('j') })
    const pin = known.get('j')
    tell({ kind: 'pinned', pin: pinOf('j', { upstreamId: 'up-2' }) })
    t.equal(known.get('j'), pin)
    t.equal(pin?.upstreamId, 'up-2')
    t.same(Object.fromEntries(known.byUpstream), { 'up-2': 1 })
  })

  t.test('a used pin does not move, whatever is told late', async (t) => {
    const { known, tell } = setUp()
    tell(
      { kind: 'pinned', pin: pinOf('j') },
      { kind: 'touched', touches: [{ jobId: 'j', upstreamId: 'up-1', used: true }] },
    )
    t.equal(known.get('j')?.standing, 'used')
    tell({ kind: 'pinned', pin: pinOf('j', { upstreamId: 'up-2' }) })
    t.match(known.get('j'), { upstreamId: 'up-1', standing: 'used' })
  })

  t.test('a newer pin of the job takes the place of an older one, not the other way round', async (t) => {
    const { known, tell } = setUp()
    tell({ kind: 'pinned', pin: pinOf('j') })
    const old = known.get('j')!
    tell({ kind: 'pinned', pin: pinOf('j', { upstreamId: 'up-2', pinnedAtMs: storeMs + 1 }) })
    t.ok(old.over)
    tell({ kind: 'pinned', pin: pinOf('j') })
    t.equal(known.get('j')?.upstreamId, 'up-2')
  })

  t.test('a pin that is told of now and then is not forgotten', async (t) => {
    const { known, tell, clock } = setUp()
    const touch = { jobId: 'j', upstreamId: 'up-1', used: true }
    tell({ kind: 'pinned', pin: pinOf('j') }, { kind: 'pinned', pin: pinOf('left') })
    for (let quarter = 0; quarter < 8; quarter++) {
      clock.advance(life.idleMs / 4)
      tell({ kind: 'touched', touches: [touch, { ...touch, upstreamId: 'up-9', jobId: 'left' }] })
      known.forgetIdle(clock.now() - life.idleMs)
    }
    t.ok(known.get('j'))
    t.notOk(known.get('left'), 'one that stands elsewhere was not meant')
  })

  t.test('a release ends what is known, unless the job was pinned anew since', async (t) => {
    const { known, tell } = setUp()
    tell({ kind: 'pinned', pin: pinOf('j', { pinnedAtMs: storeMs + 1 }) })
    tell({ kind: 'released', jobId: 'j', pinnedAtMs: storeMs })
    t.ok(known.get('j'))
    tell({ kind: 'released', jobId: 'j', pinnedAtMs: storeMs + 1 })
    t.notOk(known.get('j'))
  })
})

t.test('a pin is trusted only while the others are heard, since a release may be missed', async (t) => {
  const { known, feed, clock } = setUp()
  const pin = known.remember(pinOf('j', { freshBy: null }), {
    now: clock.now(),
    trustedUntilMs: clock.now() + 60_000,
  })
  t.ok(known.isTrusted(pin, clock.now()))
  feed.lost()
  t.notOk(known.isTrusted(pin, clock.now()))
  pin.trustedUntilMs = clock.now() + 60_000
  t.notOk(known.isTrusted(pin, clock.now()), 'a touch that is acknowledged meanwhile does not make up for it')
  feed.subscribed()
  t.notOk(known.isTrusted(pin, clock.now()), 'it may have ended before')
  pin.trustedUntilMs = clock.now() + 60_000
  t.ok(known.isTrusted(pin, clock.now()))
})

t.test('what was there before the subscription', async (t) => {
  t.test('is read once, part by part, when there is a subscription', async (t) => {
    const { known, following, feed, timesAsked, onScan } = setUp()
    const parts: (string | null)[] = []
    onScan(async (after) => {
      parts.push(after)
      return { pins: [pinOf(`j-${parts.length}`)], nowMs: storeMs, next: after === null ? 'more' : null }
    })
    await following.catchUp()
    t.same(parts, [], 'not before')
    feed.subscribed()
    t.equal(timesAsked(), 1)
    await following.catchUp()
    await following.catchUp()
    t.same(parts, [null, 'more'])
    t.same(
      [...known.all()].map(({ job }) => job.id),
      ['j-1', 'j-2'],
    )
    t.ok(following.wasComplete)
  })

  t.test('what has expired is left out, the rest was used when its end says so', async (t) => {
    const { clock, known, following, feed, holds } = setUp()
    holds(
      pinOf('over', { expiresAtMs: storeMs }),
      pinOf('old', { expiresAtMs: storeMs + 1000 }),
      pinOf('new', { expiresAtMs: storeMs + life.idleMs }),
    )
    feed.subscribed()
    await following.catchUp()
    const ago = (id: string) => clock.now() - (known.get(id)?.lastUseMs ?? NaN)
    t.same([ago('over'), ago('old'), ago('new')], [NaN, life.idleMs - 1000, 0])
  })

  t.test('a release that is told meanwhile is not undone by a part that was read before it', async (t) => {
    const { known, following, feed, tell, onScan } = setUp()
    onScan(async () => {
      tell({ kind: 'released', jobId: 'gone', pinnedAtMs: storeMs })
      return { pins: [pinOf('gone'), pinOf('there')], nowMs: storeMs, next: null }
    })
    feed.subscribed()
    await following.catchUp()
    t.same(
      [...known.all()].map(({ job }) => job.id),
      ['there'],
    )
  })

  t.test('while the store is away it is still to be read', async (t) => {
    const { known, following, feed, onScan, holds } = setUp()
    onScan(async () => {
      throw new GatewayError('store_unavailable', { detail: 'away' })
    })
    feed.subscribed()
    await following.catchUp()
    t.notOk(following.wasComplete)
    holds(pinOf('j'))
    await following.catchUp()
    t.ok(following.wasComplete)
    t.equal(known.size, 1)
  })

  t.test('a mistake is not taken for an absence', async (t) => {
    const { following, feed, onScan } = setUp()
    onScan(() => Promise.reject(new Error('a mistake')))
    feed.subscribed()
    await t.rejects(following.catchUp(), { message: 'a mistake' })
  })

  t.test('a subscription that is lost while it is read is begun anew', async (t) => {
    const { known, following, feed, onScan } = setUp()
    let scans = 0
    onScan(async (after) => {
      scans += 1
      if (scans === 1) {
        feed.lost()
        feed.subscribed()
      }
      return { pins: [pinOf(`j-${scans}`)], nowMs: storeMs, next: scans === 1 ? `${after}+` : null }
    })
    feed.subscribed()
    await following.catchUp()
    t.equal(known.size, 0, 'what it said may be too old')
    await following.catchUp()
    t.same(
      [...known.all()].map(({ job }) => job.id),
      ['j-2'],
    )
  })
})

t.test('whether all pins were known when the store answered last', async (t) => {
  async function followed(options = {}) {
    const world = setUp(options)
    world.feed.subscribed()
    await world.following.catchUp()
    return world
  }

  t.test('yes, once all were read and a beat has come back', async (t) => {
    const { following, beat, clock, feed } = setUp()
    t.notOk(following.wasWhole(beat()), 'nothing is subscribed')
    feed.subscribed()
    t.notOk(following.wasWhole(beat()), 'nothing was read')
    await following.catchUp()
    t.notOk(following.wasWhole(clock.now()), 'no beat since')
    t.ok(following.wasWhole(beat()))
  })

  t.test('a beat of another gateway proves nothing', async (t) => {
    const { following, tell, clock } = await followed()
    const beats = following.nextBeat()
    tell({ kind: 'beat', gatewayId: 'gw-2', beats })
    t.notOk(following.wasWhole(clock.now()))
  })

  t.test('still yes where feed and store went away together', async (t) => {
    const { following, beat, clock, feed } = await followed()
    const answeredMs = beat()
    clock.advance(100)
    feed.lost()
    clock.advance(60_000)
    t.ok(following.wasWhole(answeredMs))
  })

  t.test('no where the feed was lost before, or fell silent', async (t) => {
    const { following, beat, clock, feed } = await followed()
    beat()
    for (let second = 0; second < 3; second++) {
      clock.advance(1000)
      following.nextBeat()
    }
    t.notOk(following.wasWhole(clock.now()), 'beats are answered, and do not come back')
    feed.lost()
    feed.subscribed()
    t.notOk(following.wasWhole(beat()), 'what was missed is not read yet')
    await following.catchUp()
    t.ok(following.wasWhole(beat()))
  })

  t.test('no where there was no room for all of them, until those are over', async (t) => {
    const { following, beat, clock, tell } = await followed({ limit: 2 })
    tell(...['a', 'b', 'c'].map((id) => ({ kind: 'pinned' as const, pin: pinOf(id) })))
    t.notOk(following.wasWhole(beat()))
    clock.advance(life.idleMs + 1)
    t.ok(following.wasWhole(beat()))
  })

  t.test('echoes that never come do not gather', async (t) => {
    const { following, clock, tell } = await followed()
    const first = following.nextBeat()
    for (let n = 0; n < 20; n++) following.nextBeat()
    tell({ kind: 'beat', gatewayId: 'gw-1', beats: first })
    t.notOk(following.wasWhole(clock.now()))
  })
})
