import t, { type Test } from 'tap'
import { GatewayError, type ErrorCode } from '../../src/errors.ts'
import { makeTargetWaits } from '../../src/gateway/target-waits.ts'
import { makeFakeClock } from '../fixtures/clock.ts'

/** A quarter of them may wait for one target: two. */
const maxTunnels = 8
const dead = { upstreamId: 'up-1', target: 'dead.bank:443' }

function setUp() {
  const clock = makeFakeClock()
  const waits = makeTargetWaits({ maxTunnels, now: clock.now })

  function ask(asked: { readonly upstreamId: string; readonly target: string } = dead) {
    const work = Promise.withResolvers<string>()
    work.promise.catch(() => {})
    const client = new AbortController()
    let asks = 0
    const outcome = waits
      .during({ ...asked, signal: client.signal }, () => {
        asks += 1
        return work.promise
      })
      .catch((error: unknown) => (error instanceof GatewayError ? error.code : 'left'))
    const fail = (code: ErrorCode, blame?: 'connect') =>
      work.reject(new GatewayError(code, { detail: 'as told', ...(blame && { blame }) }))
    return {
      outcome,
      isAsked: () => asks > 0,
      answer: () => work.resolve('tunnel'),
      refuse: () => fail('target_failed'),
      beSilent: () => fail('upstream_timeout'),
      break: () => fail('upstream_failed', 'connect'),
      leave() {
        client.abort(new Error('the client has left'))
        work.reject(client.signal.reason)
      },
    }
  }
  return { clock, waits, ask }
}

async function silentFor(t: Test) {
  const world = setUp()
  for (const one of [world.ask(), world.ask()]) {
    one.beSilent()
    t.equal(await one.outcome, 'upstream_timeout')
  }
  return world
}

t.test('a target gets a part of an upstream; who comes then waits for one of those before', async (t) => {
  const { ask, waits } = setUp()
  const [first, second, third, fourth] = [ask(), ask(), ask(), ask()]
  t.same(
    [first, second, third, fourth].map((one) => one.isAsked()),
    [true, true, false, false],
  )
  t.test('other targets and other upstreams have their own', async (t) => {
    for (const other of [ask({ ...dead, target: 'bank-b:443' }), ask({ ...dead, upstreamId: 'up-2' })]) {
      t.ok(other.isAsked())
      other.answer()
      t.equal(await other.outcome, 'tunnel')
    }
  })
  first.answer()
  t.equal(await first.outcome, 'tunnel')
  t.same(
    [third, fourth].map((one) => one.isAsked()),
    [true, false],
    'one for one',
  )
  second.refuse()
  t.equal(await second.outcome, 'target_failed')
  t.ok(fourth.isAsked(), 'a refusal is an answer')
  for (const one of [third, fourth]) one.answer()
  await Promise.all([third.outcome, fourth.outcome])
  t.equal(waits.counted, 0, 'nothing is kept')
})

t.test('once it was silent nobody waits for it', async (t) => {
  const { ask } = setUp()
  const [first, second, waiting] = [ask(), ask(), ask()]
  first.beSilent()
  t.equal(await waiting.outcome, 'overloaded')
  t.notOk(waiting.isAsked())
  t.equal(await ask().outcome, 'overloaded')
  second.answer()
  t.equal(await second.outcome, 'tunnel')
  t.ok(ask().isAsked(), 'until it answers')
})

t.test('the upstream goes on dialling a silent target, and that counts', async (t) => {
  t.test('but one at a time is tried', async (t) => {
    const { ask } = await silentFor(t)
    const trial = ask()
    t.ok(trial.isAsked())
    const other = ask()
    t.equal(await other.outcome, 'overloaded')
    trial.answer()
    t.equal(await trial.outcome, 'tunnel')
    t.same(
      [ask(), ask(), ask()].map((one) => one.isAsked()),
      [true, true, false],
      'as before, once it answers',
    )
  })
  t.test('for as long as Linux dials', async (t) => {
    const { ask, clock } = await silentFor(t)
    const trial = ask()
    clock.advance(129_000)
    t.equal(await ask().outcome, 'overloaded')
    clock.advance(1000)
    t.ok(ask().isAsked())
    trial.answer()
  })
  t.test('also when its client does not wait for that', async (t) => {
    const { ask } = setUp()
    for (const one of [ask(), ask()]) {
      one.leave()
      t.equal(await one.outcome, 'left')
    }
    const [trial, waiting] = [ask(), ask()]
    t.same(
      [trial, waiting].map((one) => one.isAsked()),
      [true, false],
      'nobody knows that it is silent',
    )
    trial.answer()
    await trial.outcome
    t.ok(waiting.isAsked())
  })
})

t.test('an upstream that fails says nothing of the target', async (t) => {
  const { ask, waits } = setUp()
  for (let times = 0; times < 5; times++) {
    const one = ask()
    one.break()
    t.equal(await one.outcome, 'upstream_failed')
  }
  t.equal(waits.counted, 0)
})

t.test('who leaves the line is not asked for, and those behind come sooner', async (t) => {
  const { ask } = setUp()
  const [first, , third, fourth] = [ask(), ask(), ask(), ask()]
  third.leave()
  t.equal(await third.outcome, 'left')
  first.answer()
  await first.outcome
  t.same(
    [third, fourth].map((one) => one.isAsked()),
    [false, true],
  )
})

t.test('the line is no longer than the tunnels of an upstream', async (t) => {
  const { ask } = setUp()
  const asked = Array.from({ length: 2 + maxTunnels }, () => ask())
  t.equal(await ask().outcome, 'overloaded')
  for (const one of asked) one.answer()
  for (const one of asked) t.equal(await one.outcome, 'tunnel')
})

t.test('what nobody asks for any more is forgotten', async (t) => {
  const { ask, waits, clock } = setUp()
  for (let n = 0; n < 5; n++) {
    const one = ask({ ...dead, target: `bank-${n}:443` })
    one.beSilent()
    await one.outcome
  }
  t.equal(waits.counted, 5)
  clock.advance(130_000)
  const one = ask()
  one.beSilent()
  await one.outcome
  t.equal(waits.counted, 1)
})
