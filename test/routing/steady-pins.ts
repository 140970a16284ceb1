import t from 'tap'
import { AnotherStore, GatewayError } from '../../src/errors.ts'
import { makeKnownPins, type KnownPin } from '../../src/routing/known-pins.ts'
import { makeSteadyPins } from '../../src/routing/steady-pins.ts'
import { openMemoryStore } from '../../src/store/memory/memory.ts'
import type { Pins } from '../../src/store/store.ts'
import type { Pin } from '../../src/types.ts'
import { makeFakeClock } from '../fixtures/clock.ts'
import { recordFacts } from '../fixtures/facts.ts'
import { snapshot } from '../fixtures/snapshot.ts'

const life = { idleMs: 600_000, maxLifeMs: 86_400_000 }
const trustMs = 570_000
const ids = ['up-1', 'up-2', 'up-3']
const requestOf = (id: string) => ({
  job: { id, type: null, institution: null },
  gatewayId: 'gw-1',
  version: 1,
  eligible: ids,
  refused: [],
})

/** A store that can be away, and be another one; every call is written down. */
async function setUp() {
  const clock = makeFakeClock()
  const facts = recordFacts()
  const known = makeKnownPins({ limit: 10_000, gatewayId: 'gw-1' })
  const calls: string[] = []
  const before = new Map<string, () => unknown>()
  let isAway = false
  let stores = 0
  let current = openMemoryStore({ life, now: clock.now })

  async function replace() {
    current = openMemoryStore({ life, now: clock.now })
    await current.snapshots.publish(snapshot(1, ids))
    stores += 1
  }
  await replace()

  async function called(name: string) {
    calls.push(name)
    const run = before.get(name)
    before.delete(name)
    await run?.()
    if (isAway) throw new GatewayError('store_unavailable', { detail: 'away' })
  }
  const pinsOf = (isRight: () => boolean): Pins =>
    new Proxy({} as Pins, {
      get: (_, name: keyof Pins | 'then') => {
        // Promises hand it on, and it is none.
        if (name === 'then') return undefined
        return async (...args: unknown[]) => {
          await called(name)
          if (!isRight()) throw new AnotherStore()
          return (current.pins[name] as (...all: unknown[]) => unknown)(...args)
        }
      },
    })
  const steady = makeSteadyPins({
    store: {
      pins: pinsOf(() => true),
      async identity() {
        await called('identity')
        return `store ${stores}`
      },
      pinsIn: (identity) => pinsOf(() => identity === `store ${stores}`),
    },
    known,
    life,
    events: facts.events,
    now: clock.now,
  })
  const remember = (id: string, more: Partial<Pin> = {}): KnownPin =>
    known.remember(
      {
        ...requestOf(id),
        upstreamId: 'up-3',
        freshBy: null,
        pinnedAtMs: clock.now(),
        expiresAtMs: 0,
        ...more,
      },
      { now: clock.now(), trustedUntilMs: clock.now() + trustMs },
    )
  return {
    clock,
    facts,
    known,
    calls,
    before,
    steady,
    pins: steady.pins,
    remember,
    replace,
    away(is: boolean) {
      isAway = is
    },
    stored: () => current.pins,
  }
}

t.test('a store is asked once who it is, and then only for what is wanted', async (t) => {
  const { pins, calls } = await setUp()
  await pins.pin(requestOf('a'))
  await pins.pin(requestOf('b'))
  await pins.read('a')
  t.same(calls, ['identity', 'pin', 'pin', 'read'])
})

t.test('another store is given back all that is known before anything is decided there', async (t) => {
  const world = await setUp()
  const { pins, known, calls, remember, replace, facts } = world
  await pins.pin(requestOf('a'))
  for (let n = 0; n < 1200; n++) remember(`known-${n}`)
  known.follow(
    {
      ...requestOf('followed'),
      upstreamId: 'up-2',
      freshBy: 'gw-2',
      pinnedAtMs: 1_700_000_000_000,
      expiresAtMs: 0,
    },
    { now: 0 },
  )
  await replace()
  calls.length = 0
  const answer = await pins.pin(requestOf('followed'))
  t.same(calls, ['pin', 'identity', 'restore', 'restore', 'restore', 'pin'])
  t.match(answer, { kind: 'pinned', reused: true, pin: { upstreamId: 'up-2', freshBy: 'gw-2' } })
  t.match(await world.stored().read('known-1199'), { upstreamId: 'up-3', freshBy: null })
  t.match(facts.of('pins_restored'), [{ isAnother: true, written: 1201, stood: 0, conflicts: 0 }])
})

t.test(
  'what the first store has told itself is not given back to it: it may have ended meanwhile',
  async (t) => {
    const { known, pins, calls, clock, stored } = await setUp()
    const told = {
      ...requestOf('a'),
      upstreamId: 'up-1',
      freshBy: null,
      pinnedAtMs: clock.now(),
      expiresAtMs: 0,
    }
    known.follow(told, { now: clock.now() })
    await pins.pin(requestOf('b'))
    t.same(calls, ['identity', 'pin'])
    t.equal(await stored().read('a'), null, 'released by another gateway, it stays so')
  },
)

t.test('every verb does so, and believes nothing that it was told before', async (t) => {
  const verbs: { readonly [verb: string]: (pins: Pins) => Promise<unknown> } = {
    pin: (pins) => pins.pin(requestOf('j')),
    move: (pins) => pins.move({ ...requestOf('j'), from: 'up-3', when: 'fresh' }),
    use: (pins) => pins.use('j', 'up-3'),
    touch: (pins) => pins.touch([{ jobId: 'j', upstreamId: 'up-3', used: true }]),
    release: (pins) => pins.release('j'),
    read: (pins) => pins.read('j'),
  }
  for (const [verb, call] of Object.entries(verbs)) {
    const { pins, remember, replace } = await setUp()
    await pins.read('nobody')
    remember('j')
    await replace()
    const answer = await call(pins)
    const expected = {
      pin: { reused: true, pin: { upstreamId: 'up-3' } },
      move: { kind: 'kept', pin: { upstreamId: 'up-3' } },
      touch: [true],
    }[verb] ?? { upstreamId: 'up-3' }
    t.match(answer, expected, verb)
  }
})

t.test('calls that come meanwhile wait for it', async (t) => {
  const { pins, calls, remember, replace } = await setUp()
  await pins.read('nobody')
  remember('j')
  await replace()
  calls.length = 0
  const answers = await Promise.all(['j', 'k', 'l'].map((id) => pins.pin(requestOf(id))))
  t.match(answers[0], { reused: true, pin: { upstreamId: 'up-3' } })
  t.equal(calls.filter((name) => name === 'restore').length, 1, 'it is given back once')
  t.ok(calls.lastIndexOf('restore') < calls.lastIndexOf('pin'))
})

t.test('they do not wait for long', async (t) => {
  const { pins, before, remember, replace, stored } = await setUp()
  await pins.read('nobody')
  remember('j')
  await replace()
  let goOn = () => {}
  before.set('restore', () => new Promise<void>((resolve) => (goOn = resolve)))
  await t.rejects(pins.pin(requestOf('k')), { code: 'store_unavailable', fields: { detail: /given back/ } })
  t.equal(await stored().read('k'), null)
  goOn()
  t.match(await pins.pin(requestOf('j')), { reused: true })
})

t.test('after a mere absence the store is told what it could not be told', async (t) => {
  const { pins, known, calls, clock, remember, away, stored, facts } = await setUp()
  await pins.read('nobody')
  remember('quiet')
  const busy = remember('busy')
  const held = remember('held')
  const justTouched = remember('held-and-touched')
  known.hold(held)
  known.hold(justTouched)
  away(true)
  await t.rejects(pins.read('j'), { code: 'store_unavailable' })
  clock.advance(trustMs)
  justTouched.trustedUntilMs = clock.now() + 1
  known.use(busy, clock.now())
  const hashed = known.addHashed(
    { ...requestOf('hashed'), upstreamId: 'up-2', freshBy: null, pinnedAtMs: clock.now(), expiresAtMs: 0 },
    clock.now(),
  )
  away(false)
  calls.length = 0
  t.match(await pins.pin(requestOf('hashed')), { reused: true, pin: { upstreamId: 'up-2', freshBy: null } })
  t.same(calls, ['identity', 'restore', 'pin'])
  t.match(await stored().read('busy'), { upstreamId: 'up-3' })
  t.match(await stored().read('held'), { upstreamId: 'up-3' })
  t.equal(await stored().read('held-and-touched'), null)
  t.equal(await stored().read('quiet'), null, 'the store is the truth about the others')
  t.notOk(hashed.hashed)
  t.equal(known.hashed.size, 0)
  t.match(facts.of('pins_restored'), [{ isAnother: false, written: 3 }])
})

t.test('an absence in which nothing happened is not told of', async (t) => {
  const { pins, away, facts, remember } = await setUp()
  await pins.read('nobody')
  remember('quiet')
  away(true)
  await t.rejects(pins.read('j'))
  away(false)
  await pins.read('j')
  t.same(facts.of('pins_restored'), [])
})

t.test('where another pin stands, that one stands, and it is told', async (t) => {
  const { pins, known, remember, replace, stored, facts, clock } = await setUp()
  await pins.read('nobody')
  const old = remember('j')
  await replace()
  clock.advance(1)
  await stored().pin(requestOf('j'))
  t.match(await pins.pin(requestOf('j')), { reused: true, pin: { upstreamId: 'up-1' } })
  t.ok(old.over)
  t.equal(known.get('j')?.upstreamId, 'up-1')
  t.match(facts.of('pin_conflict'), [{ job: { id: 'j' }, kept: 'up-1', dropped: 'up-3' }])
  t.match(facts.of('pins_restored'), [{ conflicts: 1 }])
})

t.test('an older pin that came back with a failover gives way', async (t) => {
  const { pins, remember, replace, stored, clock, facts } = await setUp()
  await pins.read('nobody')
  await replace()
  await stored().pin(requestOf('j'))
  clock.advance(1000)
  remember('j')
  t.match(await pins.pin(requestOf('j')), { reused: true, pin: { upstreamId: 'up-3' } })
  t.match(facts.of('pins_restored'), [{ replaced: 1, conflicts: 0 }])
})

t.test('what has come to its longest life is forgotten, not written back', async (t) => {
  const { pins, known, remember, replace, clock } = await setUp()
  await pins.read('nobody')
  remember('old')
  await replace()
  clock.advance(life.maxLifeMs)
  await pins.read('old')
  t.equal(known.get('old'), undefined)
})

t.test('a store that goes away meanwhile is given everything when it is back', async (t) => {
  const { pins, before, remember, replace, away, stored } = await setUp()
  await pins.read('nobody')
  for (let n = 0; n < 600; n++) remember(`j-${n}`)
  await replace()
  before.set('restore', () => void before.set('restore', () => away(true)))
  await t.rejects(pins.pin(requestOf('new')), { code: 'store_unavailable' })
  t.equal(await stored().read('j-599'), null)
  away(false)
  await pins.pin(requestOf('new'))
  t.match(await stored().read('j-599'), { upstreamId: 'up-3' })
})

t.test('a store that changes again meanwhile is given everything too', async (t) => {
  const { pins, before, remember, replace } = await setUp()
  await pins.read('nobody')
  remember('j')
  await replace()
  before.set('restore', replace)
  t.match(await pins.pin(requestOf('j')), { reused: true, pin: { upstreamId: 'up-3' } })
})

t.test('one that changes with each call is refused, not asked for ever', async (t) => {
  const { pins, before, remember, replace, calls } = await setUp()
  await pins.read('j')
  remember('j')
  await replace()
  const again = async (): Promise<void> => {
    await replace()
    before.set('restore', again)
  }
  before.set('restore', again)
  await t.rejects(pins.pin(requestOf('j')), {
    code: 'store_unavailable',
    fields: { detail: /changes faster/ },
  })
  t.ok(calls.length < 20)
})

t.test('the heartbeat finds out even if nobody asks for a pin', async (t) => {
  const { steady, calls, remember, replace, stored } = await setUp()
  await steady.check()
  calls.length = 0
  await steady.check()
  t.same(calls, ['identity'])
  remember('j')
  await replace()
  await steady.check()
  t.match(await stored().read('j'), { upstreamId: 'up-3' })
})

t.test('what decides nothing is asked of any store', async (t) => {
  const { pins, replace, calls } = await setUp()
  await pins.counts()
  await replace()
  await pins.counts()
  await pins.scan(null)
  await pins.sweep(1)
  await pins.lanes()
  t.notMatch(calls.join(), 'identity')
})
