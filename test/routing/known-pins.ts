import t from 'tap'
import { makeKnownPins, toRemembered } from '../../src/routing/known-pins.ts'
import type { Pin } from '../../src/types.ts'

const pinOf = (id: string, changed: Partial<Pin> = {}): Pin => ({
  job: { id, type: null, institution: null },
  upstreamId: 'up-1',
  freshBy: 'gw-1',
  pinnedAtMs: 1000,
  expiresAtMs: 601_000,
  ...changed,
})

function setUp(limit = 100) {
  const known = makeKnownPins({ limit, gatewayId: 'gw-1' })
  const remember = (id: string, changed: Partial<Pin> = {}, now = 0) =>
    known.remember(pinOf(id, changed), { now, trustedUntilMs: now + 1000 })
  return { known, remember }
}

t.test('a remembered pin is found by its job, and counted at its upstream', async (t) => {
  const { known, remember } = setUp()
  const pin = remember('job-1')
  remember('job-2', { upstreamId: 'up-2' })
  remember('job-3')
  t.equal(known.get('job-1'), pin)
  t.equal(known.get('job-9'), undefined)
  t.equal(known.size, 3)
  t.same(Object.fromEntries(known.byUpstream), { 'up-1': 2, 'up-2': 1 })
})

t.test('whose pin it is', async (t) => {
  const { remember } = setUp()
  t.equal(remember('job-1', { freshBy: 'gw-1' }).standing, 'own')
  t.equal(remember('job-2', { freshBy: 'gw-2' }).standing, 'foreign')
  t.equal(remember('job-3', { freshBy: null }).standing, 'used')
})

t.test('remembered again, the same pin is the same object, with the newer times', async (t) => {
  const { known, remember } = setUp()
  const first = remember('job-1', {}, 0)
  const again = remember('job-1', { expiresAtMs: 700_000 }, 500)
  t.equal(again, first)
  t.match(first, { expiresAtMs: 700_000, trustedUntilMs: 1500, lastUseMs: 500 })
  t.equal(known.byUpstream.get('up-1'), 1)
})

t.test('what was acknowledged later is not taken back by an older answer', async (t) => {
  const { remember } = setUp()
  const pin = remember('job-1', {}, 5000)
  remember('job-1', {}, 1000)
  t.equal(pin.trustedUntilMs, 6000)
})

t.test('that a tunnel of ours has opened is known better here than in the store', async (t) => {
  const { remember } = setUp()
  const pin = remember('job-1')
  pin.standing = 'used'
  remember('job-1', { freshBy: 'gw-1' })
  t.equal(pin.standing, 'used')
})

t.test("a foreign pin's first tunnel, opened elsewhere, is learnt from the store", async (t) => {
  const { remember } = setUp()
  const pin = remember('job-1', { freshBy: 'gw-2' })
  remember('job-1', { freshBy: null })
  t.equal(pin.standing, 'used')
})

t.test('another pin of the same job ends the old one', async (t) => {
  for (const changed of [{ upstreamId: 'up-2' }, { pinnedAtMs: 2000 }]) {
    const { known, remember } = setUp()
    const old = remember('job-1')
    const next = remember('job-1', changed)
    t.not(next, old)
    t.ok(old.over)
    t.notOk(next.over)
    t.equal(known.size, 1)
    t.same([...known.byUpstream], [[next.upstreamId, 1]])
  }
})

t.test('a use goes into the next touches, once', async (t) => {
  const { known, remember } = setUp()
  const pin = remember('job-1')
  t.same([...known.dirty], [])
  known.use(pin, 10)
  known.use(pin, 20)
  t.strictSame([...known.dirty], [pin])
  t.equal(pin.lastUseMs, 20)
})

t.test('a pin that is over is used by nobody', async (t) => {
  const { known, remember } = setUp()
  const pin = remember('job-1')
  known.forget(pin)
  known.use(pin, 10)
  t.equal(known.size, 0)
  t.same([...known.dirty], [])
})

t.test('a move changes its upstream and the counts', async (t) => {
  const { known, remember } = setUp()
  const pin = remember('job-1')
  known.moved(pin, pinOf('job-1', { upstreamId: 'up-2', freshBy: null, pinnedAtMs: 5, expiresAtMs: 6 }))
  t.match(pin, { upstreamId: 'up-2', standing: 'used', pinnedAtMs: 5, expiresAtMs: 6 })
  t.same([...known.byUpstream], [['up-2', 1]])
})

t.test('a move of a pin that is over changes no count', async (t) => {
  const { known, remember } = setUp()
  const pin = remember('job-1')
  known.forget(pin)
  known.moved(pin, pinOf('job-1', { upstreamId: 'up-2' }))
  t.same([...known.byUpstream], [])
})

t.test('forgetting', async (t) => {
  const { known, remember } = setUp()
  const pin = remember('job-1')
  known.use(pin, 1)
  known.forget(pin)
  t.ok(pin.over)
  t.equal(known.get('job-1'), undefined)
  t.same([...known.dirty, ...known.byUpstream], [])
  const next = remember('job-1')
  known.forget(pin)
  t.equal(known.get('job-1'), next, 'forgotten twice does not take the next pin of the job')
})

t.test('tunnels hold a pin', async (t) => {
  const { known, remember } = setUp()
  const pin = remember('job-1')
  known.hold(pin)
  known.hold(pin)
  t.equal(pin.tunnels, 2)
  known.letGo(pin, 10)
  t.ok(known.held.has(pin))
  known.letGo(pin, 20)
  t.notOk(known.held.has(pin))
  t.equal(pin.tunnels, 0)
  t.equal(pin.lastUseMs, 20, 'the end of a tunnel is a use')
  t.ok(known.dirty.has(pin))
})

t.test('the end of a tunnel does not bring back a pin that is over', async (t) => {
  const { known, remember } = setUp()
  const pin = remember('job-1')
  known.hold(pin)
  known.forget(pin)
  known.letGo(pin, 10)
  t.equal(known.size, 0)
  t.same([...known.dirty, ...known.held], [])
})

t.test('when it is full, the pin unused for longest leaves', async (t) => {
  const { known, remember } = setUp(2)
  const first = remember('job-1')
  remember('job-2')
  known.use(first, 10)
  known.dirty.clear()
  remember('job-3')
  t.ok(known.get('job-1') && known.get('job-3'))
  t.notOk(known.get('job-2'))
})

t.test('a pin that is held, or has a touch to send, does not leave', async (t) => {
  const { known, remember } = setUp(2)
  known.hold(remember('held'))
  known.use(remember('touched'), 1)
  remember('job-3')
  t.ok(known.get('held') && known.get('touched') && known.get('job-3'), 'rather more than the limit')
  remember('job-4')
  t.notOk(known.get('job-3'))
  t.equal(known.size, 3)
})

t.test('idle ones are forgotten; held ones and those with a touch to send are not', async (t) => {
  const { known, remember } = setUp()
  remember('idle', {}, 100)
  known.hold(remember('held', {}, 100))
  known.use(remember('touched', {}, 100), 150)
  remember('young', {}, 200)
  known.forgetIdle(200)
  t.same(
    ['idle', 'held', 'touched', 'young'].map((id) => known.get(id) !== undefined),
    [false, true, true, true],
  )
})

t.test('one that the store does not know of yet stays, also where there is no room', async (t) => {
  const { known, remember } = setUp(2)
  const hashed = known.addHashed(pinOf('hashed', { freshBy: null }), 0)
  remember('a')
  remember('b', {}, 10)
  t.ok(known.get('hashed'))
  t.notOk(known.get('a'))
  t.equal(known.crowdedMs, 10)
  known.forgetIdle(1000)
  t.ok(known.get('hashed'))
  known.confirmed(hashed)
  known.forgetIdle(1000)
  t.notOk(known.get('hashed'))
})

t.test('what the store is given back: as it was made, fresh only while no tunnel has opened', async (t) => {
  const { known, remember } = setUp()
  const own = remember('own')
  const rest = { upstreamId: 'up-1', pinnedAtMs: 1000, hashed: false }
  t.match(toRemembered(own), { ...rest, job: { id: 'own' }, freshBy: 'gw-1' })
  known.useFirst(own, 0)
  t.match(toRemembered(own), { freshBy: null })
  known.follow(pinOf('theirs', { freshBy: 'gw-2' }), { now: 0 })
  t.match(toRemembered(known.get('theirs')!), { ...rest, freshBy: 'gw-2' })
  known.followTouch({ jobId: 'theirs', upstreamId: 'up-1', used: true }, 0)
  t.match(toRemembered(known.get('theirs')!), { freshBy: null })
  const hashed = known.addHashed(pinOf('hashed', { freshBy: null }), 0)
  t.match(toRemembered(hashed), { hashed: true, freshBy: 'gw-1' }, 'with its maker, though it is used')
  known.confirmed(hashed)
  t.match(toRemembered(hashed), { hashed: false, freshBy: null })
})

t.test(
  'one made without the store gives way to no notice: the store decides when it is given back',
  async (t) => {
    const { known } = setUp()
    const hashed = known.addHashed(pinOf('j', { freshBy: null }), 0)
    const other = pinOf('j', { upstreamId: 'up-2', freshBy: 'gw-2', pinnedAtMs: hashed.pinnedAtMs + 1 })
    known.follow(other, { now: 0 })
    t.equal(known.get('j'), hashed)
    known.confirmed(hashed)
    known.follow(other, { now: 0 })
    t.equal(known.get('j')?.upstreamId, 'up-2')
  },
)
