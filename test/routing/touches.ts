import t from 'tap'
import { GatewayError } from '../../src/errors.ts'
import { makeKnownPins } from '../../src/routing/known-pins.ts'
import { makeTouches } from '../../src/routing/touches.ts'
import type { Touch } from '../../src/store/store.ts'
import { makeFakeClock } from '../fixtures/clock.ts'

const life = { idleMs: 600_000, maxLifeMs: 86_400_000 }
const trustMs = 570_000

type Answer = (touches: readonly Touch[]) => Promise<boolean[]>
const allStand: Answer = async (touches) => touches.map(() => true)

function setUp() {
  const clock = makeFakeClock()
  const known = makeKnownPins({ limit: 10_000, gatewayId: 'gw-1' })
  const calls: (readonly Touch[])[] = []
  const store = { answer: allStand }
  const touch: Answer = (touches) => {
    calls.push(touches)
    return store.answer(touches)
  }
  const touches = makeTouches({ pins: { touch } as never, known, life, now: clock.now })
  const remember = (id: string, freshBy: string | null = null) =>
    known.remember(
      {
        job: { id, type: null, institution: null },
        upstreamId: 'up-1',
        freshBy,
        pinnedAtMs: 0,
        expiresAtMs: 0,
      },
      { now: clock.now(), trustedUntilMs: clock.now() + trustMs },
    )
  return { clock, known, calls, store, touches, remember }
}

t.test('used pins are touched once, in one call; nothing used, nothing sent', async (t) => {
  const { known, calls, touches, remember, clock } = setUp()
  const [a, b] = [remember('a'), remember('b', 'gw-1')]
  remember('unused')
  for (const pin of [a, b, a]) known.use(pin, clock.now())
  await touches.flush()
  t.strictSame(calls, [
    [
      { jobId: 'a', upstreamId: 'up-1', used: true },
      { jobId: 'b', upstreamId: 'up-1', used: false },
    ],
  ])
  await touches.flush()
  t.equal(calls.length, 1)
})

t.test('many go in calls of 500', async (t) => {
  const { known, calls, touches, remember, clock } = setUp()
  for (let i = 0; i < 1201; i++) known.use(remember(`job-${i}`), clock.now())
  await touches.flush()
  t.same(
    calls.map(({ length }) => length),
    [500, 500, 201],
  )
})

t.test('an acknowledged touch is trusted from when it was sent, not from when it was answered', async (t) => {
  const { known, store, touches, remember, clock } = setUp()
  const pin = remember('a')
  clock.advance(100_000)
  const sentMs = clock.now()
  known.use(pin, sentMs)
  store.answer = async (sent) => {
    clock.advance(5000)
    return allStand(sent)
  }
  await touches.flush()
  t.equal(pin.trustedUntilMs, sentMs + trustMs)
})

t.test('a pin that no longer stands is forgotten', async (t) => {
  const { known, store, touches, remember, clock } = setUp()
  const [a, b] = [remember('a'), remember('b')]
  known.use(a, clock.now())
  known.use(b, clock.now())
  store.answer = async () => [false, true]
  await touches.flush()
  t.ok(a.over)
  t.notOk(b.over)
})

t.test('a touch that crossed a move says nothing about the pin', async (t) => {
  for (const meanwhile of ['moved', 'moving'] as const) {
    const { known, store, touches, remember, clock } = setUp()
    const pin = remember('a', 'gw-1')
    known.use(pin, clock.now())
    store.answer = async () => {
      if (meanwhile === 'moving') pin.moving = Promise.resolve()
      else pin.upstreamId = 'up-2'
      return [false]
    }
    await touches.flush()
    t.notOk(pin.over, meanwhile)
  }
})

t.test('what could not be sent is sent the next time, and no pin is forgotten for it', async (t) => {
  const { known, calls, store, touches, remember, clock } = setUp()
  const [a, b] = [remember('a'), remember('b')]
  known.use(a, clock.now())
  known.use(b, clock.now())
  store.answer = async () => {
    known.forget(b)
    throw new GatewayError('store_unavailable', { detail: 'away' })
  }
  await t.rejects(touches.flush(), { code: 'store_unavailable' })
  t.strictSame([...known.dirty], [a], 'but one that was forgotten meanwhile is not')
  store.answer = allStand
  await touches.flush()
  t.same(
    calls[1]!.map(({ jobId }) => jobId),
    ['a'],
  )
})

t.test('a use while a touch is on its way is sent as well', async (t) => {
  const { known, calls, store, touches, remember, clock } = setUp()
  const pin = remember('a')
  known.use(pin, clock.now())
  store.answer = async (sent) => {
    known.use(pin, clock.now())
    return allStand(sent)
  }
  await touches.flush()
  await touches.flush()
  t.equal(calls.length, 2)
})

t.test('a pin held by a tunnel is touched each quarter of its idle time, used or not', async (t) => {
  const { known, calls, touches, remember, clock } = setUp()
  const pin = remember('a')
  known.hold(pin)
  await touches.flush()
  clock.advance(149_999)
  await touches.flush()
  t.equal(calls.length, 0)
  clock.advance(1)
  await touches.flush()
  t.equal(calls.length, 1)
  await touches.flush()
  t.equal(calls.length, 1)
  clock.advance(150_000)
  await touches.flush()
  t.equal(calls.length, 2)
  known.letGo(pin, clock.now())
  await touches.flush()
  t.equal(calls.length, 3, 'and once more when the tunnel has ended')
  clock.advance(300_000)
  await touches.flush()
  t.equal(calls.length, 3)
})

t.test('a held pin that is over is not touched', async (t) => {
  const { known, calls, touches, remember, clock } = setUp()
  const pin = remember('a')
  known.hold(pin)
  known.forget(pin)
  clock.advance(300_000)
  await touches.flush()
  t.equal(calls.length, 0)
})

t.test('pins unused for their idle time are forgotten, held ones are not', async (t) => {
  const { known, touches, remember, clock } = setUp()
  const [idle, held] = [remember('idle'), remember('held')]
  known.hold(held)
  clock.advance(600_001)
  await touches.flush()
  t.ok(idle.over)
  t.notOk(held.over)
})

t.test('the others are told of a pin in use four times per idle time, not with each touch', async (t) => {
  const { known, calls, touches, remember, clock } = setUp()
  const pin = remember('a')
  for (let minute = 0; minute < 20; minute++) {
    clock.advance(60_000)
    known.use(pin, clock.now())
    await touches.flush()
  }
  t.equal(calls.length, 20)
  t.equal(calls.flat().filter(({ tell }) => tell).length, Math.floor(20 / 3))
})

t.test('what was not sent is told again', async (t) => {
  const { known, calls, store, touches, remember, clock } = setUp()
  const pin = remember('a')
  clock.advance(200_000)
  known.use(pin, clock.now())
  store.answer = () => Promise.reject(new GatewayError('store_unavailable', { detail: 'away' }))
  await t.rejects(touches.flush())
  store.answer = allStand
  await touches.flush()
  await touches.flush()
  t.same(
    calls.map((call) => call.map(({ tell }) => tell)),
    [[true], [true]],
  )
})

t.test('first uses go ahead of the others, once', async (t) => {
  const { known, calls, touches, remember, clock } = setUp()
  known.use(remember('used-before'), clock.now())
  known.useFirst(remember('first', 'gw-1'), clock.now())
  await touches.flushFirst()
  t.same(calls, [[{ jobId: 'first', upstreamId: 'up-1', used: true }]])
  await touches.flushFirst()
  t.equal(calls.length, 1, 'there is nothing to send')
  await touches.flush()
  t.match(calls[1], [{ jobId: 'used-before' }])
  t.equal(calls.length, 2)
})
