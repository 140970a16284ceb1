import t from 'tap'
import type { ProbeResult } from '../../src/control/probe.ts'
import { makeProbeRounds } from '../../src/control/probe-rounds.ts'
import { makeFakeClock } from '../fixtures/clock.ts'
import { recordFacts } from '../fixtures/facts.ts'
import { upstream } from '../fixtures/snapshot.ts'

const everyMs = 10_000
const good: ProbeResult = { ok: true, ms: 1, egressIp: null }
const bad: ProbeResult = { ok: false, ms: 1, problem: 'connection refused' }

const fleet = (n: number) => Array.from({ length: n }, (_, index) => upstream(`up-${index + 1}`))

type Begun = {
  readonly id: string
  readonly atMs: number
  readonly signal: AbortSignal
  readonly end: (result: ProbeResult | Error) => Promise<void>
}

function setUp({ concurrency = 50, pace = { everyMs } } = {}) {
  const clock = makeFakeClock(0)
  const facts = recordFacts()
  const begun: Begun[] = []
  const rounds = makeProbeRounds({
    get everyMs() {
      return pace.everyMs
    },
    concurrency,
    events: facts.events,
    now: clock.now,
    probe: ({ id }, signal) => {
      const { promise, resolve, reject } = Promise.withResolvers<ProbeResult>()
      signal.addEventListener('abort', () => reject(signal.reason))
      const end = async (result: ProbeResult | Error) => {
        if (result instanceof Error) reject(result)
        else resolve(result)
        // What follows from it is done by then.
        await new Promise(setImmediate)
      }
      begun.push({ id, atMs: clock.now(), signal, end })
      return promise
    },
  })
  const ids = () => begun.map(({ id }) => id)
  const last = () => begun.at(-1)!
  /** Ends all that are under way. */
  const endAll = async (result: ProbeResult) => {
    for (const one of begun) await one.end(result)
  }
  return { clock, facts, rounds, begun, ids, last, endAll }
}

t.test('turns', async (t) => {
  t.test('are spread over the interval, and come back at the same place of each', async (t) => {
    const { clock, rounds, begun, endAll } = setUp()
    for (let second = 0; second <= 25; second++) {
      rounds.begin(fleet(5))
      await endAll(good)
      clock.advance(1000)
    }
    const turns = Map.groupBy(begun, ({ id }) => id)
    for (const [index, { id }] of fleet(5).entries()) {
      const first = 2000 * index
      const expected = [first, first + everyMs, first + 2 * everyMs].filter((atMs) => atMs <= 25_000)
      t.strictSame(
        turns.get(id)?.map(({ atMs }) => atMs),
        expected,
        id,
      )
    }
  })

  t.test('come within the interval where that is shorter now, spread as before', async (t) => {
    const pace = { everyMs: 3_600_000 }
    const { clock, rounds, begun, endAll } = setUp({ pace })
    const turn = async () => {
      rounds.begin(fleet(4))
      await endAll(good)
    }
    await turn()
    pace.everyMs = everyMs
    for (let second = 0; second < 10; second++) {
      clock.advance(1000)
      await turn()
    }
    t.strictSame(new Set(begun.map(({ id }) => id)).size, 4)
    t.ok(begun.length <= 6, `${begun.length} probes`)
  })

  t.test('of one that is new come at once', async (t) => {
    const { rounds, ids } = setUp()
    rounds.begin(fleet(1))
    rounds.begin(fleet(2))
    t.strictSame(ids(), ['up-1', 'up-2'])
  })

  t.test('missed while the process stood still are not made up for, and keep their places', async (t) => {
    const { clock, rounds, begun, endAll } = setUp()
    rounds.begin(fleet(2))
    await endAll(good)
    clock.advance(63_000)
    rounds.begin(fleet(2))
    await endAll(good)
    t.equal(begun.length, 3, 'once each')
    clock.advance(1999)
    rounds.begin(fleet(2))
    t.equal(begun.length, 3)
    clock.advance(1)
    rounds.begin(fleet(2))
    t.match(begun.at(-1), { id: 'up-2', atMs: 65_000 })
    await endAll(good)
    clock.advance(5000)
    rounds.begin(fleet(2))
    t.match(begun.at(-1), { id: 'up-1', atMs: 70_000 })
  })

  t.test('pass by one whose probe is still under way', async (t) => {
    const { clock, rounds, begun, last } = setUp()
    rounds.begin(fleet(1))
    clock.advance(everyMs)
    rounds.begin(fleet(1))
    t.equal(begun.length, 1)
    await last().end(good)
    rounds.begin(fleet(1))
    t.equal(begun.length, 2)
  })
})

t.test('no more than so many are probed at once; the next begins as soon as one ends', async (t) => {
  const { clock, rounds, begun, ids } = setUp({ concurrency: 2 })
  rounds.begin(fleet(4))
  clock.advance(everyMs - 1)
  rounds.begin(fleet(4))
  t.strictSame(ids(), ['up-1', 'up-2'])
  await begun[1]!.end(good)
  t.strictSame(ids(), ['up-1', 'up-2', 'up-3'], 'without another pass, the longest due first')
  await begun[0]!.end(good)
  t.strictSame(ids(), ['up-1', 'up-2', 'up-3', 'up-4'])
})

t.test('those whose last probe was bad take half of the places at most', async (t) => {
  const { clock, rounds, begun, endAll } = setUp({ concurrency: 4 })
  const ill = fleet(6)
  rounds.begin(ill)
  clock.advance(everyMs - 1)
  rounds.begin(ill)
  await endAll(bad)
  await endAll(bad)
  t.equal(begun.length, 6)
  const well = Array.from({ length: 3 }, (_, index) => upstream(`well-${index}`))
  clock.advance(everyMs)
  rounds.begin([...ill, ...well])
  const second = begun.slice(6).map(({ id }) => id)
  t.strictSame(second, ['up-1', 'up-2', 'well-0'], 'one place is free: those that are well are not due yet')
  clock.advance(everyMs)
  rounds.begin([...ill, ...well])
  t.strictSame(
    begun.slice(9).map(({ id }) => id),
    ['well-1'],
  )
  await begun[6]!.end(bad)
  t.strictSame(
    begun.slice(10).map(({ id }) => id),
    ['up-3'],
    'and none of theirs is lost',
  )
})

t.test('one place is enough for all', async (t) => {
  const { clock, rounds, ids, endAll } = setUp({ concurrency: 1 })
  rounds.begin(fleet(2))
  clock.advance(everyMs - 1)
  rounds.begin(fleet(2))
  await endAll(bad)
  await endAll(bad)
  clock.advance(everyMs)
  rounds.begin(fleet(2))
  await endAll(bad)
  t.strictSame(ids(), ['up-1', 'up-2', 'up-1', 'up-2'])
})

t.test('what probes saw is remembered as long as the upstream is there and the same', async (t) => {
  const { clock, rounds, last } = setUp()
  t.match(rounds.historyOf('up-1'), { good: 0, bad: 0 })
  rounds.begin(fleet(1))
  await last().end(bad)
  clock.advance(everyMs)
  rounds.begin(fleet(1))
  await last().end(bad)
  t.match(rounds.historyOf('up-1'), { bad: 2, problem: 'connection refused' })
  rounds.begin([upstream('up-1', { labels: { pool: 'b' }, ejected: true })])
  t.match(rounds.historyOf('up-1'), { bad: 2 }, 'what concerns no probe may change')
  for (const road of [{ host: '10.0.0.9' }, { port: 1 }, { credentials: 'other' }]) {
    rounds.begin([upstream('up-1', road)])
    t.match(rounds.historyOf('up-1'), { bad: 0 }, JSON.stringify(road))
    await last().end(bad)
    t.match(rounds.historyOf('up-1'), { bad: 1 })
  }
  rounds.begin([])
  t.match(rounds.historyOf('up-1'), { bad: 0 }, 'gone')
})

t.test(
  'a probe of an upstream that is gone is ended, and tells nothing of one that comes after it',
  async (t) => {
    const { facts, rounds, begun } = setUp()
    rounds.begin(fleet(1))
    rounds.begin([])
    t.ok(begun[0]!.signal.aborted)
    rounds.begin(fleet(1))
    await begun[0]!.end(bad)
    t.match(rounds.historyOf('up-1'), { bad: 0 })
    t.notOk(begun[1]!.signal.aborted)
    t.same(facts.of('pass_failed'), [])
  },
)

t.test('a wanted probe', async (t) => {
  t.test('comes before its turn, and does not move it', async (t) => {
    const { clock, rounds, begun, last } = setUp()
    rounds.begin(fleet(1))
    await last().end(good)
    clock.advance(4000)
    rounds.want('up-1')
    rounds.begin(fleet(1))
    t.equal(last().atMs, 4000)
    await last().end(good)
    clock.advance(5999)
    rounds.begin(fleet(1))
    t.equal(begun.length, 2, 'wanted once, probed once')
    clock.advance(1)
    rounds.begin(fleet(1))
    t.equal(last().atMs, everyMs)
  })

  t.test('comes no sooner than a quarter of the interval after the last, however many want it', async (t) => {
    const { clock, rounds, begun, endAll } = setUp()
    for (let atMs = 0; atMs < everyMs; atMs += 100) {
      rounds.want('up-1')
      rounds.begin(fleet(1))
      await endAll(good)
      rounds.want('up-1')
      clock.advance(100)
    }
    t.strictSame(
      begun.map(({ atMs }) => atMs),
      [0, 2500, 5000, 7500],
    )
  })

  t.test('of an upstream that is not there is none', async (t) => {
    const { rounds, begun } = setUp()
    rounds.want('up-9')
    rounds.begin([])
    t.equal(begun.length, 0)
  })
})

t.test('a probe that throws is told, and counts neither way', async (t) => {
  const { clock, facts, rounds, begun, last } = setUp({ concurrency: 1 })
  rounds.begin(fleet(1))
  const error = new Error('a mistake in the program')
  await last().end(error)
  t.strictSame(facts.of('pass_failed'), [{ pass: 'probe of up-1', error }])
  t.match(rounds.historyOf('up-1'), { good: 0, bad: 0 })
  clock.advance(everyMs)
  rounds.begin(fleet(1))
  t.equal(begun.length, 2, 'and it goes on')
})

t.test('stopped, it ends what is under way and begins nothing more', async (t) => {
  const { clock, facts, rounds, begun } = setUp({ concurrency: 2 })
  rounds.begin(fleet(3))
  clock.advance(everyMs - 1)
  rounds.begin(fleet(3))
  await rounds.stop()
  t.ok(begun.every(({ signal }) => signal.aborted))
  rounds.begin(fleet(3))
  t.equal(begun.length, 2)
  t.same(facts.of('pass_failed'), [])
  await rounds.idle()
})
