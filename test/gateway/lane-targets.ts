import t from 'tap'
import { GatewayError } from '../../src/errors.ts'
import { makeLaneTargets } from '../../src/gateway/lane-targets.ts'
import { makeKnownPins } from '../../src/routing/known-pins.ts'
import type { Job, Restriction, Snapshot, Target } from '../../src/types.ts'
import { makeFakeClock } from '../fixtures/clock.ts'
import { recordFacts } from '../fixtures/facts.ts'
import { snapshot } from '../fixtures/snapshot.ts'

const bank: Target = { host: 'bank.example', port: 443 }
const elsewhere: Target = { host: 'elsewhere.example', port: 443 }
const silent: Job = { id: 'job-1', type: null, institution: null }
const payment: Job = { id: 'job-1', type: 'payment', institution: null }
const trustMs = 570_000

const only = (type: string, more: Partial<Restriction> = {}): Restriction => ({
  id: `only-${type}`,
  kind: 'targets',
  type,
  institution: '*',
  upstreams: { ids: [] },
  overflow: false,
  targets: ['bank.example'],
  ...more,
})

function makeParts(...restrictions: Restriction[]) {
  const clock = makeFakeClock()
  const facts = recordFacts()
  const known = makeKnownPins({ limit: 10, gatewayId: 'gw-1' })
  let current: Snapshot = snapshot(1, ['a'], restrictions)
  const laneTargets = makeLaneTargets({
    fleet: { current: () => current },
    known,
    events: facts.events,
    now: clock.now,
  })
  return {
    ...laneTargets,
    clock,
    known,
    reports: () => facts.of('target_reported'),
    remember: (job: Job) => {
      const pin = { job, upstreamId: 'a', freshBy: null, pinnedAtMs: 1, expiresAtMs: 2 }
      return known.remember(pin, { now: clock.now(), trustedUntilMs: clock.now() + trustMs })
    },
    publish: (...restrictions: Restriction[]) => {
      current = snapshot(current.version + 1, ['a'], restrictions)
    },
  }
}

const denied = (restriction: string) => ({
  code: 'target_denied',
  fields: { detail: new RegExp(restriction) },
})

t.test('a job is held to the targets of its lane', async (t) => {
  const { check } = makeParts(only('payment'))
  check(payment, bank)
  check(silent, elsewhere)
  t.throws(() => check(payment, elsewhere), denied('lane payment:\\* .* only-payment'))
})

t.test('a pinned job that leaves out its type is held as its pin says', async (t) => {
  const { check, known, remember, clock } = makeParts(only('payment'))
  const pin = remember(payment)
  check(silent, bank)
  t.throws(() => check(silent, elsewhere), denied('only-payment'))

  await t.test('a job that says another type is what it says: pinning refuses it', async (t) => {
    check({ ...silent, type: 'statement' }, elsewhere)
    t.throws(
      () => check({ ...silent, type: 'payment', institution: 'x' }, elsewhere),
      denied('lane payment:x'),
    )
  })

  await t.test('a pin that may have ended decides nothing yet', async (t) => {
    clock.advance(trustMs - 1)
    t.throws(() => check(silent, elsewhere), denied('only-payment'))
    known.loseSight()
    check(silent, elsewhere)
    known.regainSight()
    remember(payment)
    clock.advance(trustMs - 1)
    t.throws(() => check(silent, elsewhere), denied('only-payment'))
    clock.advance(1)
    check(silent, elsewhere)
  })

  await t.test('nor one that has ended', async () => {
    remember(payment)
    known.forget(pin)
    check(silent, elsewhere)
  })
})

t.test('once it is pinned, a job is held as its pin says', async (t) => {
  const { afterPinning } = makeParts(only('payment'))
  afterPinning(bank)(payment)
  afterPinning(elsewhere)(silent)
  t.throws(() => afterPinning(elsewhere)(payment), denied('only-payment'))
})

t.test('a rule that comes between the two checks holds at the second', async (t) => {
  const { check, afterPinning, publish } = makeParts()
  const checkPinned = afterPinning(elsewhere)
  check(payment, elsewhere)
  checkPinned(payment)
  publish(only('payment'))
  t.throws(() => checkPinned(payment), denied('only-payment'))
  publish()
  checkPinned(payment)
})

t.test(
  'what a rule would refuse that only reports is told once for a request, with the job as pinned',
  async (t) => {
    const { check, afterPinning, reports } = makeParts(only('payment', { report: true, id: 'soon' }))
    check(payment, elsewhere)
    t.same(reports(), [], 'not before it is known in which lane the job is')
    const checkPinned = afterPinning(elsewhere)
    for (let round = 0; round < 3; round++) checkPinned(payment)
    const told = { job: payment, target: elsewhere, restriction: 'soon' }
    t.same(reports(), [told])
    afterPinning(elsewhere)(payment)
    t.same(reports(), [told, told], 'the next request tells it again')
    afterPinning(bank)(payment)
    afterPinning(elsewhere)(silent)
    t.equal(reports().length, 2)
  },
)

t.test('before the first snapshot nobody knows the rules', async (t) => {
  const known = makeKnownPins({ limit: 10, gatewayId: 'gw-1' })
  const fleet = {
    current: (): Snapshot => {
      throw new GatewayError('no_upstream', { detail: 'No fleet has been published yet.' })
    },
  }
  const { check } = makeLaneTargets({ fleet, known, events: recordFacts().events, now: () => 0 })
  t.throws(() => check(payment, bank), { code: 'no_upstream' })
})
