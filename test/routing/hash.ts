import t from 'tap'
import { makeFleetView } from '../../src/routing/fleet-view.ts'
import { makeHash, type StoreDown } from '../../src/routing/hash.ts'
import { makeKnownPins } from '../../src/routing/known-pins.ts'
import { openMemoryStore } from '../../src/store/memory/memory.ts'
import type { Job, Restriction, Upstream } from '../../src/types.ts'
import { makeFakeClock } from '../fixtures/clock.ts'
import { recordFacts } from '../fixtures/facts.ts'
import { makeUpstream } from '../fixtures/upstream.ts'

const life = { idleMs: 600_000, maxLifeMs: 86_400_000 }
const storeMs = 5_000_000
const job = (id: string, type: string | null = null): Job => ({ id, type, institution: null })
const ids = Array.from({ length: 9 }, (_, n) => `up-${n + 1}`)

type Options = {
  readonly modes?: { readonly [type: string]: StoreDown }
  readonly whole?: boolean
  readonly upstreams?: readonly Upstream[]
  readonly restrictions?: readonly Restriction[]
}

async function setUp({ modes = { '': 'hash' }, whole = true, upstreams, restrictions = [] }: Options = {}) {
  const clock = makeFakeClock()
  const facts = recordFacts()
  const { snapshots } = openMemoryStore({ life, now: clock.now })
  const fleet = makeFleetView({ snapshots, events: facts.events })
  await snapshots.publish({
    version: 7,
    upstreams: upstreams ?? ids.map((id) => makeUpstream({ id })),
    restrictions,
  })
  await fleet.refresh()
  const answeredMs = clock.now()
  const known = makeKnownPins({ limit: 1000, gatewayId: 'gw-1' })
  const hash = makeHash({
    known,
    fleet,
    life,
    modeOf: (type) => modes[type ?? ''] ?? 'reject',
    store: () => ({ answeredMs, nowMs: storeMs }),
    wasWhole: (ms) => whole && ms === answeredMs,
    events: facts.events,
    now: clock.now,
  })
  return { clock, facts, known, hash }
}

t.test('gateways that never met give a job the same upstream, and jobs spread', async (t) => {
  const [here, there] = [await setUp(), await setUp()]
  const chosen = Array.from({ length: 900 }, (_, n) => here.hash(job(`j-${n}`))?.upstreamId)
  t.same(
    Array.from({ length: 900 }, (_, n) => there.hash(job(`j-${n}`))?.upstreamId),
    chosen,
  )
  const counts = ids.map((id) => chosen.filter((one) => one === id).length)
  t.ok(Math.min(...counts) > 50 && Math.max(...counts) < 200, counts.join(' '))
})

t.test('an upstream that leaves moves only its own jobs', async (t) => {
  const whole = await setUp()
  const less = await setUp({ upstreams: ids.slice(1).map((id) => makeUpstream({ id })) })
  for (let n = 0; n < 100; n++) {
    const before = whole.hash(job(`j-${n}`))?.upstreamId
    if (before !== 'up-1') t.equal(less.hash(job(`j-${n}`))?.upstreamId, before)
  }
})

t.test('rules and states hold as ever', async (t) => {
  const { hash } = await setUp({
    modes: { '': 'hash', payment: 'hash' },
    upstreams: [
      makeUpstream({ id: 'up-1', state: 'draining' }),
      makeUpstream({ id: 'up-2', ejected: true }),
      makeUpstream({ id: 'up-3', quarantined: true }),
      makeUpstream({ id: 'up-4' }),
      makeUpstream({ id: 'up-5', labels: { pool: 'payments' } }),
    ],
    restrictions: [
      {
        id: 'payments',
        kind: 'exclusive',
        type: 'payment',
        institution: '*',
        upstreams: { labels: { pool: 'payments' } },
        overflow: false,
      },
    ],
  })
  for (let n = 0; n < 20; n++) {
    t.equal(hash(job(`j-${n}`))?.upstreamId, 'up-4')
    t.equal(hash(job(`p-${n}`, 'payment'))?.upstreamId, 'up-5')
  }
})

t.test('the pin is remembered as made without the store, told of, and cannot move', async (t) => {
  const { hash, known, facts, clock } = await setUp()
  const pin = hash(job('j'))!
  t.equal(known.get('j'), pin)
  t.match(pin, {
    standing: 'used',
    hashed: true,
    pinnedAtMs: storeMs,
    trustedUntilMs: -Infinity,
    lastUseMs: clock.now(),
  })
  t.same([...known.hashed], [pin])
  t.strictSame(facts.of('pin_hashed'), [
    {
      job: job('j'),
      lane: { type: '*', institution: '*' },
      upstream: pin.upstreamId,
      version: 7,
    },
  ])
})

t.test('nobody eligible is said, not worked around', async (t) => {
  const { hash } = await setUp({ upstreams: [makeUpstream({ id: 'up-1', ejected: true })] })
  t.throws(() => hash(job('j')), { code: 'no_upstream' })
})

t.test('when it may not be', async (t) => {
  t.equal((await setUp({ modes: {} })).hash(job('j')), null, 'the default is to refuse')
  const { hash } = await setUp({ modes: { statement: 'hash' } })
  t.equal(hash(job('j')), null)
  t.equal(hash(job('j', 'payment')), null, 'by job type')
  t.ok(hash(job('j', 'statement')))
  const partly = await setUp({ whole: false })
  t.equal(partly.hash(job('j')), null, 'not all pins were known')
  t.equal(partly.known.size, 0)
})

t.test('for two minutes from the last answer, no longer', async (t) => {
  const { hash, clock } = await setUp()
  clock.advance(120_000)
  t.ok(hash(job('j-1')))
  clock.advance(1)
  t.equal(hash(job('j-2')), null)
})
