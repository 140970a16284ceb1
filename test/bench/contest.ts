import t from 'tap'
import { contest, contestFigures, type Contender, type Measured } from '../../bench/fixtures/contest.ts'
import type { Load } from '../../bench/fixtures/load.ts'
import { makeScope } from '../../bench/fixtures/scope.ts'

const done: Load = { operations: 10, seconds: 2, p50Us: 5, p99Us: 9, errors: 0, firstError: null }
const pace = { rounds: 2, seconds: 0, warmUpSeconds: 0 }

function options(more = {}) {
  return { ...pace, scope: makeScope(new AbortController().signal), ...more }
}

function contender(name: string, load: Contender['load']): Contender {
  return { name, processes: { own: process.pid }, load }
}

t.test('contenders take turns, and who was second comes first in the next round', async (t) => {
  const order: string[] = []
  const of = (name: string) => ({
    ...contender(name, async () => (order.push(name), done)),
    prepare: async () => void order.push(`prepare ${name}`),
  })
  const rounds = await contest([of('a'), of('b')], options())
  t.same(
    order,
    ['a', 'b', 'b', 'a'].flatMap((name) => [`prepare ${name}`, name]),
  )
  t.same([rounds.get('a')!.length, rounds.get('b')!.length], [2, 2])
  t.type(rounds.get('a')![0]!.cpuUs.own, 'number')
})

t.test('a warm-up counts nowhere', async (t) => {
  const asked: number[] = []
  const load = async (seconds: number) => {
    asked.push(seconds)
    return done
  }
  const rounds = await contest([contender('a', load)], options({ seconds: 2, warmUpSeconds: 1 }))
  t.same(asked, [1, 2, 2])
  t.equal(rounds.get('a')!.length, 2)
})

t.test('one failed operation fails the case, by the name of the contender', async (t) => {
  const failed = { ...done, errors: 1, firstError: 'answered 503' }
  await t.rejects(contest([contender('gateway', async () => failed)], options()), {
    message: /gateway: 1 failed beside 10 that did not; answered 503/,
  })
})

t.test('nothing done fails the case too', async (t) => {
  await t.rejects(contest([contender('gateway', async () => ({ ...done, operations: 0 }))], options()), {
    message: /gateway: nothing was done/,
  })
})

t.test('an interrupted contest takes no further turn', async (t) => {
  const stop = new AbortController()
  let loads = 0
  const load = async () => {
    loads += 1
    stop.abort(new Error('interrupted'))
    return done
  }
  await t.rejects(contest([contender('a', load)], { ...pace, scope: makeScope(stop.signal) }), {
    message: 'interrupted',
  })
  t.equal(loads, 1)
})

t.test('figures are rates, latencies, CPU of each process, and rates by the floor', async (t) => {
  const round = (operations: number, gateway: number | null): Measured => ({
    ...done,
    operations,
    seconds: gateway === null ? 4 : 2,
    cpuUs: gateway === null ? {} : { gateway },
  })
  const rounds = new Map([
    ['gateway', [round(10, 500), round(20, 800)]],
    ['no gateway', [round(40, null), round(40, null)]],
  ])
  const naming = { operation: 'tunnel', operations: 'tunnels', latency: 'set-up' }
  const figures = contestFigures(rounds, naming, 'no gateway')
  t.same(figures, [
    { name: 'gateway: tunnels', unit: '/s', better: 'more', values: [5, 10] },
    { name: 'gateway: set-up p50', unit: 'us', better: 'less', values: [5, 5] },
    { name: 'gateway: set-up p99', unit: 'us', better: 'less', values: [9, 9] },
    { name: 'gateway: CPU of gateway per tunnel', unit: 'us', better: 'less', values: [50, 40] },
    { name: 'no gateway: tunnels', unit: '/s', better: 'more', values: [10, 10] },
    { name: 'no gateway: set-up p50', unit: 'us', better: 'less', values: [5, 5] },
    { name: 'no gateway: set-up p99', unit: 'us', better: 'less', values: [9, 9] },
    { name: 'gateway / no gateway: tunnels', unit: 'x', better: 'more', values: [0.5, 1] },
  ])
})

t.test('an operation of the load may be many of what is told', async (t) => {
  const rounds = new Map([['gateway', [{ ...done, cpuUs: { gateway: 8000 } }]]])
  const figures = contestFigures(rounds, { operation: 'MB up', operations: 'MB up', each: 8 })
  t.same(
    figures.map(({ name, values }) => [name, ...values]),
    [
      ['gateway: MB up', 40],
      ['gateway: CPU of gateway per MB up', 100],
    ],
  )
})
