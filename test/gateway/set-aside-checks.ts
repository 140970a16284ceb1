import t from 'tap'
import { GatewayError } from '../../src/errors.ts'
import { makeConnectFailures } from '../../src/gateway/connect-failures.ts'
import { makeSetAsideChecks } from '../../src/gateway/set-aside-checks.ts'
import { makeFakeClock } from '../fixtures/clock.ts'
import { recordFacts } from '../fixtures/facts.ts'
import { makeUpstream } from '../fixtures/upstream.ts'

function setUp() {
  const clock = makeFakeClock()
  const { events } = recordFacts()
  const failures = makeConnectFailures({ limit: 2, refuseMs: 10_000, events, now: clock.now })
  const gone = new Set<string>()
  const tried: string[] = []
  let fail: (id: string) => unknown = () => null
  const checks = makeSetAsideChecks({
    failures,
    upstream: (id) => (gone.has(id) ? null : makeUpstream({ id })),
    async tryConnect({ id }) {
      tried.push(id)
      const error = fail(id)
      if (error !== null) throw error
    },
  })
  const setAside = (...ids: string[]) => {
    for (const id of ids) for (let times = 0; times < 2; times++) failures.failed(id)
  }
  return { clock, failures, gone, tried, checks, setAside, failing: (how: typeof fail) => void (fail = how) }
}

const refused = () => new GatewayError('upstream_failed', { detail: 'refused', blame: 'connect' })
const noSocket = () => new GatewayError('overloaded', { detail: 'no socket is left' })

t.test('nobody but those that were set aside is bothered', async (t) => {
  const { failures, checks, tried } = setUp()
  failures.failed('up-1')
  await checks.pass()
  t.same(tried, [])
})

t.test('one that takes a connection gets jobs again', async (t) => {
  const { failures, checks, setAside, failing } = setUp()
  setAside('up-1', 'up-2')
  failing((id) => (id === 'up-1' ? refused() : null))
  await checks.pass()
  t.same(failures.refused(), ['up-1'])
})

t.test('one that does not stays set aside for as long as that is so', async (t) => {
  const { failures, checks, setAside, failing, clock } = setUp()
  setAside('up-1')
  failing(refused)
  for (let second = 0; second < 20; second++) {
    clock.advance(1000)
    await checks.pass()
    t.same(failures.refused(), ['up-1'])
  }
})

t.test('our own want of sockets says nothing', async (t) => {
  const { failures, checks, setAside, failing, clock } = setUp()
  setAside('up-1')
  failing(noSocket)
  await checks.pass()
  t.same(failures.refused(), ['up-1'])
  clock.advance(10_000)
  t.same(failures.refused(), [], 'its time was not made longer')
})

t.test('one that has left the fleet is not looked for', async (t) => {
  const { checks, setAside, gone, tried } = setUp()
  setAside('up-1')
  gone.add('up-1')
  await checks.pass()
  t.same(tried, [])
})

t.test('not all of a great fleet at once', async (t) => {
  const { checks, setAside, tried } = setUp()
  setAside(...Array.from({ length: 200 }, (_, index) => `up-${index}`))
  await checks.pass()
  t.equal(tried.length, 50)
})

t.test('after the stop nothing is looked at, and what ends then changes nothing', async (t) => {
  const { checks, setAside, failing, failures, tried } = setUp()
  setAside('up-1')
  failing(() => {
    checks.stop()
    return new Error('aborted')
  })
  await checks.pass()
  t.same(failures.refused(), ['up-1'])
  await checks.pass()
  t.equal(tried.length, 1)
})
