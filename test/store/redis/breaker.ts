import t from 'tap'
import { makeBreaker, type BreakerCall } from '../../../src/store/redis/breaker.ts'
import { makeFakeClock } from '../../fixtures/clock.ts'

function setUp() {
  const clock = makeFakeClock()
  const breaker = makeBreaker(clock.now)
  const call = (end: keyof BreakerCall) => {
    const entered = breaker.enter()
    entered?.[end]()
    return entered !== null
  }
  const open = () => {
    for (let n = 0; n < 3; n++) call('timedOut')
  }
  return { ...breaker, clock, call, open }
}

t.test('two timeouts, an answer, two timeouts: it stays closed', async (t) => {
  const { call } = setUp()
  for (const end of ['timedOut', 'timedOut', 'answered', 'timedOut', 'timedOut'] as const) t.ok(call(end))
  t.ok(call('answered'))
})

t.test('calls that were lost with their connection count neither way', async (t) => {
  const { call } = setUp()
  for (const end of ['timedOut', 'lost', 'timedOut', 'lost'] as const) t.ok(call(end))
  t.ok(call('timedOut'))
  t.notOk(call('answered'))
})

t.test('after three timeouts in a row calls fail at once for 250 ms', async (t) => {
  const { call, open, clock } = setUp()
  open()
  t.notOk(call('answered'))
  clock.advance(249)
  t.notOk(call('answered'))
  clock.advance(1)
  t.ok(call('answered'))
  t.ok(call('answered'), 'and an answer closes it')
})

t.test('one call is let through to look, whoever asks meanwhile', async (t) => {
  const { enter, open, clock } = setUp()
  open()
  clock.advance(250)
  const look = enter()
  t.ok(look)
  t.equal(enter(), null)
  clock.advance(10_000)
  t.equal(enter(), null)
  look?.answered()
  t.ok(enter())
})

t.test('each look without an answer doubles the pause, to 2 s at most', async (t) => {
  const { call, open, clock } = setUp()
  open()
  let ms = 250
  for (const next of [500, 1000, 2000, 2000]) {
    clock.advance(ms - 1)
    t.notOk(call('timedOut'), `${ms} ms are not over`)
    clock.advance(1)
    t.ok(call('timedOut'), `after ${ms} ms`)
    ms = next
  }
  clock.advance(2000)
  t.ok(call('answered'))
  open()
  clock.advance(250)
  t.ok(call('answered'), 'the next pause is short again')
})

t.test(
  'calls that were under way when it opened do not make the pause longer; an answer to one ends it',
  async (t) => {
    const { enter, open, clock } = setUp()
    const underWay = [enter(), enter(), enter()]
    open()
    underWay[0]?.timedOut()
    underWay[1]?.timedOut()
    clock.advance(249)
    t.equal(enter(), null)
    underWay[2]?.answered()
    t.ok(enter())
  },
)

t.test('a look that was lost with its connection lets the next call look', async (t) => {
  const { enter, open, clock } = setUp()
  open()
  clock.advance(250)
  enter()?.lost()
  t.ok(enter())
  t.equal(enter(), null)
})

t.test('with a new connection a call may look at once', async (t) => {
  const { call, lookAgain, open } = setUp()
  lookAgain()
  open()
  t.notOk(call('answered'))
  lookAgain()
  t.ok(call('timedOut'))
  t.notOk(call('answered'))
})
