import t, { type Test } from 'tap'
import { makeHealth } from '../../src/control/health.ts'
import { makeProbe, type Probe, type ProbeResult } from '../../src/control/probe.ts'
import { snapshotOf } from '../../src/control/publish.ts'
import { ControlError } from '../../src/errors.ts'
import type { FleetRecords, NewUpstream } from '../../src/store/records.ts'
import type { Upstream } from '../../src/types.ts'
import { makeFakeClock } from '../fixtures/clock.ts'
import { controlWorlds } from '../fixtures/control-under-test.ts'
import { recordFacts } from '../fixtures/facts.ts'
import { added, apply, changed, deleted } from '../fixtures/records-under-test.ts'
import { startTinyproxy } from '../fixtures/tinyproxy.ts'

const { openWorld } = await controlWorlds(t)

const settings = { everyMs: 10_000, good: 2, bad: 3, ejectMs: 30_000, ejectMaxMs: 600_000 }
const good = (egressIp: string | null = null): ProbeResult => ({ ok: true, ms: 1, egressIp })
const bad = (problem = 'connection refused'): ProbeResult => ({ ok: false, ms: 1, problem })
const unavailable = new ControlError('database_unavailable', 'away')

type Options = {
  n?: number
  more?: (id: string) => Partial<NewUpstream>
  everyMs?: number
  probe?: Probe
}

async function setUp(t: Test, { n = 4, more = () => ({}), everyMs = settings.everyMs, probe }: Options = {}) {
  const { records } = await openWorld(t)
  const { store } = records
  const ids = Array.from({ length: n }, (_, index) => `up-${index + 1}`)
  await apply(store, ...ids.map((id) => added(id, more(id))))

  /** A control of its own, which probes as it is told. Good, unless told. */
  async function control(fleet: FleetRecords = store.fleet, { begun = true } = {}) {
    const clock = makeFakeClock(0)
    const facts = recordFacts()
    const answers = new Map<string, ProbeResult>()
    const probed: string[] = []
    let published: readonly Upstream[] = []
    const asked: string[] = []
    let isAway = false
    const watched = (name: 'change' | 'changeUpstreams') => async (request: never) => {
      asked.push(name)
      if (isAway) throw unavailable
      return fleet[name](request)
    }
    const health = makeHealth({
      fleet: { change: watched('change'), changeUpstreams: watched('changeUpstreams') } as FleetRecords,
      upstreams: () => published,
      probe:
        probe ??
        (async ({ id }) => {
          probed.push(id)
          return answers.get(id) ?? good()
        }),
      settings: { ...settings, everyMs },
      events: facts.events,
      now: clock.now,
    })
    t.teardown(health.stop)
    const publish = async () => void (published = snapshotOf(await store.fleet.read()).upstreams)
    const says = (result: ProbeResult, ...of: string[]) => {
      for (const id of of) answers.set(id, result)
    }
    /** Each is probed so often, and each time a pass acts on it. */
    const rounds = async (times: number) => {
      for (let round = 0; round < times; round++) {
        clock.advance(everyMs)
        await health.pass()
        await health.idle()
        await health.pass()
      }
    }
    await publish()
    if (begun) {
      // From here on the turn of each comes once in a round.
      await health.pass()
      await health.idle()
    }
    return {
      health,
      clock,
      facts,
      says,
      rounds,
      publish,
      asked,
      probed,
      away: (is: boolean) => void (isAway = is),
    }
  }

  const ejectedNow = async () =>
    (await store.fleet.read()).upstreams.filter(({ ejected }) => ejected).map(({ id }) => id)
  const ledger = async () => (await store.ledger.list({ after: null, limit: 50, about: null })).items
  return { ids, records, store, control, ejectedNow, ledger }
}

t.test('an upstream with so many bad probes in a row is ejected, and not before', async (t) => {
  const { store, control, ejectedNow, ledger } = await setUp(t)
  const { says, rounds, facts, health, asked } = await control()
  says(bad(), 'up-1')
  await rounds(2)
  t.strictSame(await ejectedNow(), [])
  await rounds(1)
  t.strictSame(await ejectedNow(), ['up-1'])
  for (let pass = 0; pass < 5; pass++) await health.pass()
  t.strictSame(asked, ['change'], 'once, though the snapshot does not say so yet')
  const record = await store.upstreams.read('up-1')
  const [entry] = await ledger()
  t.match(record, { ejected: true, ejections: 1, ejectedUntilMs: entry!.atMs + settings.ejectMs })
  t.match(entry, { actor: 'control', reason: 'probes: connection refused' })
  t.strictSame(facts.of('upstream_ejected'), [
    { upstream: 'up-1', forMs: settings.ejectMs, detail: 'connection refused' },
  ])
})

t.test('a good one in between begins the count anew', async (t) => {
  const { control, ejectedNow } = await setUp(t)
  const { says, rounds } = await control()
  says(bad(), 'up-1')
  await rounds(2)
  says(good(), 'up-1')
  await rounds(1)
  says(bad(), 'up-1')
  await rounds(2)
  t.strictSame(await ejectedNow(), [])
})

t.test('many in one pass are one change, which says why', async (t) => {
  const { control, ejectedNow, ledger } = await setUp(t, { n: 12 })
  const { says, rounds } = await control()
  says(bad(), 'up-1', 'up-2')
  for (const n of [3, 4, 5]) says(bad(`problem ${n}`), `up-${n}`)
  await rounds(3)
  t.equal((await ejectedNow()).length, 5)
  const [entry] = await ledger()
  t.equal(entry!.steps.length, 5)
  t.equal(entry!.reason, 'probes: connection refused; problem 3; problem 4; and 1 more')
})

t.test('at most half of the fleet is ejected; who stays in for that is told once', async (t) => {
  const { control, ejectedNow } = await setUp(t, { n: 5 })
  const { says, rounds, facts, asked, publish } = await control()
  says(bad(), 'up-1', 'up-2', 'up-3')
  await rounds(3)
  t.strictSame(await ejectedNow(), ['up-1', 'up-2'])
  const held = { upstream: 'up-3', detail: 'connection refused' }
  t.strictSame(facts.of('ejection_held'), [held])
  await publish()
  asked.length = 0
  await rounds(2)
  t.strictSame(facts.of('ejection_held'), [held])
  t.strictSame(asked, [], 'and the database is not asked again and again')
  says(good(), 'up-3')
  await rounds(1)
  says(bad(), 'up-3')
  await rounds(3)
  t.strictSame(facts.of('ejection_held'), [held, held], 'a new time is told anew')
})

t.test('when all probes fail at once, half of the fleet stays', async (t) => {
  const { ids, control, ejectedNow } = await setUp(t, { n: 7 })
  const { says, rounds, publish } = await control()
  says(bad(), ...ids)
  for (let pass = 0; pass < 5; pass++) {
    await rounds(1)
    await publish()
  }
  t.equal((await ejectedNow()).length, 3)
})

t.test('two controls that see different ones fail keep the limit together', async (t) => {
  const { records, control, ejectedNow } = await setUp(t)
  const one = await control()
  const other = await control(records.another().fleet)
  one.says(bad(), 'up-1', 'up-2')
  other.says(bad(), 'up-3', 'up-4')
  await Promise.all([one.rounds(3), other.rounds(3)])
  t.equal((await ejectedNow()).length, 2)
  const told = [one, other].flatMap(({ facts }) => facts.of('upstream_ejected'))
  t.equal(told.length, 2)
  t.equal([one, other].flatMap(({ facts }) => facts.of('ejection_held')).length, 2)
})

t.test('two controls that see the same one fail eject it once', async (t) => {
  const { records, control, ledger, store } = await setUp(t)
  const both = [await control(), await control(records.another().fleet)]
  for (const { says } of both) says(bad(), 'up-1')
  await Promise.all(both.map(({ rounds }) => rounds(4)))
  t.match(await store.upstreams.read('up-1'), { ejected: true, ejections: 1 })
  t.equal((await ledger()).length, 2, 'one to add them, one to eject')
  t.equal(both.flatMap(({ facts }) => facts.of('upstream_ejected')).length, 1)
})

t.test('what has changed since the snapshot is left as it is', async (t) => {
  const cases = [
    changed('up-1', { state: 'draining' }),
    changed('up-1', { quarantined: true }),
    changed('up-1', { host: '10.0.0.9' }),
    deleted('up-1'),
  ]
  for (const step of cases) {
    const { store, control, ejectedNow } = await setUp(t)
    const { says, rounds, facts } = await control()
    says(bad(), 'up-1')
    await rounds(2)
    const version = await apply(store, step)
    await rounds(2)
    t.strictSame(await ejectedNow(), [], JSON.stringify(step))
    t.equal((await store.fleet.head()).version, version)
    t.strictSame(facts.of('upstream_ejected'), [])
  }
})

t.test('one that is drained is probed, and not ejected', async (t) => {
  const { control, ejectedNow } = await setUp(t, {
    more: (id) => (id === 'up-1' ? { state: 'draining' } : {}),
  })
  const { says, rounds, probed } = await control()
  says(bad(), 'up-1')
  await rounds(4)
  t.ok(probed.filter((id) => id === 'up-1').length >= 4)
  t.strictSame(await ejectedNow(), [])
})

t.test('what is neither running nor draining is not probed', async (t) => {
  const { control } = await setUp(t, {
    more: (id) => (id === 'up-1' ? { state: 'provisioning' } : id === 'up-2' ? { state: 'failed' } : {}),
  })
  const { rounds, probed } = await control()
  await rounds(2)
  t.strictSame([...new Set(probed)].sort(), ['up-3', 'up-4'])
})

async function withOneEjected(t: Test) {
  const world = await setUp(t)
  const one = await world.control()
  one.says(bad(), 'up-1')
  await one.rounds(3)
  await one.publish()
  t.strictSame(await world.ejectedNow(), ['up-1'])
  /** For the database and for this process. */
  const pass = async (ms: number) => {
    await world.records.pass(ms)
    one.clock.advance(ms)
  }
  return { ...world, ...one, pass }
}

t.test('an ejected one comes back when its time is over and its probes are good', async (t) => {
  const { store, says, rounds, pass, ejectedNow, facts, ledger, publish } = await withOneEjected(t)
  await pass(settings.ejectMs)
  await rounds(2)
  t.strictSame(await ejectedNow(), ['up-1'], 'its probes are bad')
  says(good(), 'up-1')
  await rounds(1)
  t.strictSame(await ejectedNow(), ['up-1'], 'one good one is not enough')
  await rounds(1)
  t.strictSame(await ejectedNow(), [])
  const [entry] = await ledger()
  t.match(entry, { actor: 'control', reason: 'probes: good again' })
  t.match(await store.upstreams.read('up-1'), { ejections: 1, ejectedUntilMs: entry!.atMs })
  t.strictSame(facts.of('upstream_readmitted'), [{ upstream: 'up-1', detail: 'probes: good again' }])
  await publish()
  await rounds(3)
  t.equal((await ledger()).length, 3, 'and that was it')
})

t.test('its time is waited for, without asking again and again', async (t) => {
  const { says, rounds, ejectedNow, asked, records, health, control } = await withOneEjected(t)
  says(good(), 'up-1')
  asked.length = 0
  await rounds(2)
  t.strictSame(asked, [], 'who ejected it knows its time')
  const later = await control()
  await later.rounds(1)
  for (let pass = 0; pass < 5; pass++) await later.health.pass()
  t.strictSame(later.asked, ['changeUpstreams'], 'who did not asks once')
  t.strictSame(await ejectedNow(), ['up-1'])
  await records.pass(settings.ejectMs)
  await rounds(1)
  t.strictSame(await ejectedNow(), [])
  for (let pass = 0; pass < 5; pass++) await health.pass()
  t.strictSame(asked, ['changeUpstreams'], 'it is done, though the snapshot does not say so yet')
})

t.test('another control that comes later goes on where the records are', async (t) => {
  const { control, pass, ejectedNow } = await withOneEjected(t)
  const later = await control()
  await later.rounds(2)
  t.strictSame(await ejectedNow(), ['up-1'], 'its time is not over')
  await pass(settings.ejectMs)
  later.clock.advance(settings.ejectMs)
  await later.rounds(1)
  t.strictSame(await ejectedNow(), [])
  later.says(bad(), 'up-1')
  await later.publish()
  await later.rounds(3)
  t.strictSame(await ejectedNow(), [], 'it changed a short while ago')
  const latest = await control()
  latest.says(bad(), 'up-1')
  await latest.rounds(3)
  for (let pass = 0; pass < 5; pass++) await latest.health.pass()
  t.strictSame(latest.asked, ['change'], 'and who does not know that asks once')
  await pass(settings.ejectMs)
  later.clock.advance(settings.ejectMs)
  await later.rounds(1)
  t.strictSame(
    later.facts.of('upstream_ejected').map(({ forMs }) => forMs),
    [2 * settings.ejectMs],
  )
})

t.test(
  'one that flaps changes at most once in an ejection time, and stays out longer and longer',
  async (t) => {
    const { control, records, ledger } = await setUp(t)
    const { says, rounds, publish } = await control()
    for (let second = 0; second < 600; second += 10) {
      says(second % 80 < 40 ? bad() : good(), 'up-1')
      await rounds(1)
      await records.pass(10_000)
      await publish()
    }
    const changes = (await ledger())
      .filter(({ actor }) => actor === 'control')
      .toReversed()
      .map(({ steps }) => steps[0])
    const ejections = changes.flatMap((step) =>
      step?.kind === 'upstream_changed' && step.to.ejected ? [step.to.ejections] : [],
    )
    t.strictSame(ejections, [1, 2, 3, 4].slice(0, ejections.length))
    t.ok(ejections.length >= 3, `${ejections.length} ejections`)
    t.ok(changes.length <= 600 / 30, `${changes.length} changes`)
  },
)

t.test('without the database nothing is ejected, and nothing is forgotten', async (t) => {
  const { control, ejectedNow } = await setUp(t)
  const { says, rounds, health, away, facts, probed } = await control()
  says(bad(), 'up-1')
  await rounds(2)
  away(true)
  await t.rejects(rounds(1), { code: 'database_unavailable' })
  t.strictSame(facts.of('upstream_ejected'), [])
  const before = probed.length
  await t.rejects(rounds(1), { code: 'database_unavailable' })
  t.ok(probed.length > before, 'probes go on')
  away(false)
  await health.pass()
  t.strictSame(await ejectedNow(), ['up-1'])
})

t.test('where nothing is to be written the database is not asked', async (t) => {
  const { control } = await setUp(t)
  const { rounds, asked } = await control()
  await rounds(4)
  t.strictSame(asked, [])
})

t.test('where all that took jobs have left, one that is ejected comes in again', async (t) => {
  const { store, rounds, publish, ejectedNow, ledger, facts } = await withOneEjected(t)
  await apply(store, deleted('up-2'), changed('up-3', { state: 'draining' }))
  await publish()
  await rounds(1)
  t.strictSame(await ejectedNow(), ['up-1'], 'one is left that takes them')
  await apply(store, changed('up-4', { quarantined: true }))
  await publish()
  await rounds(1)
  t.strictSame(await ejectedNow(), [])
  t.match((await ledger())[0], { actor: 'control', reason: 'all others that took jobs are gone' })
  t.equal(facts.of('upstream_readmitted').length, 1)
  await publish()
  await rounds(5)
  t.strictSame(await ejectedNow(), [], 'and stays, though its probes are bad')
})

t.test('where probes are switched off nobody stays ejected, and nobody is probed', async (t) => {
  const { control, ejectedNow, ledger } = await setUp(t, {
    everyMs: 0,
    more: (id) => (id < 'up-3' ? { ejected: true } : {}),
  })
  const { health, probed, asked, publish } = await control()
  t.strictSame(await ejectedNow(), [])
  t.match((await ledger())[0], { reason: 'probes are switched off' })
  await publish()
  asked.length = 0
  await health.pass()
  t.strictSame([probed, asked], [[], []])
})

t.test('the egress IP that the world sees', async (t) => {
  const unknown = { more: () => ({ egressIp: null }) }
  const ip = '198.51.100.1'

  t.test('is told, with how often in a row it was seen', async (t) => {
    const { control } = await setUp(t)
    const { health, says, rounds } = await control()
    t.equal(health.seen('up-2'), null)
    says(good(ip), 'up-2')
    await rounds(2)
    t.strictSame(health.seen('up-2'), { egressIp: ip, times: 2 })
    says(bad(), 'up-2')
    await rounds(1)
    t.strictSame(health.seen('up-2'), { egressIp: ip, times: 2 })
    says(good('198.51.100.2'), 'up-2')
    await rounds(1)
    t.strictSame(health.seen('up-2'), { egressIp: '198.51.100.2', times: 1 })
    t.equal(health.seen('up-9'), null)
  })

  t.test('is written down where nobody knew it and it was seen twice', async (t) => {
    const { store, control, ledger } = await setUp(t, unknown)
    const { says, rounds, publish, asked } = await control()
    says(good(ip), 'up-2', 'up-3')
    await rounds(1)
    t.match(await store.upstreams.read('up-2'), { egressIp: null })
    await rounds(1)
    t.match(await store.upstreams.read('up-2'), { egressIp: ip })
    t.match(await store.upstreams.read('up-3'), { egressIp: ip })
    t.match(await store.upstreams.read('up-1'), { egressIp: null })
    const [entry] = await ledger()
    t.match(entry, { actor: 'control', reason: 'seen by a probe', steps: { length: 2 } })
    await publish()
    asked.length = 0
    await rounds(2)
    t.strictSame(asked, [])
  })

  t.test('never replaces one that is known: that would be another upstream', async (t) => {
    const { store, control } = await setUp(t, unknown)
    const { says, rounds, asked } = await control()
    says(good(ip), 'up-2')
    await rounds(1)
    await apply(store, changed('up-2', { egressIp: '203.0.113.99' }))
    await rounds(2)
    t.match(await store.upstreams.read('up-2'), { egressIp: '203.0.113.99' })
    t.ok(asked.length > 0, 'the snapshot did not know yet')
  })

  t.test('is not that of another machine that has taken its place', async (t) => {
    for (const to of [{ port: 1 }, { state: 'deleting' }] as const) {
      const { store, control } = await setUp(t, unknown)
      const { says, rounds } = await control()
      says(good(ip), 'up-2')
      await rounds(1)
      await apply(store, changed('up-2', to))
      await rounds(2)
      t.match(await store.upstreams.read('up-2'), { egressIp: null }, JSON.stringify(to))
    }
  })
})

t.test('a gateway that wants a probe gets it before its turn', async (t) => {
  const { control } = await setUp(t)
  const { health, clock, facts, probed, rounds } = await control()
  await rounds(1)
  clock.advance(settings.everyMs / 3)
  await health.pass()
  probed.length = 0
  for (const upstream of ['up-4', 'up-9']) facts.events.emit('probe_wanted', { upstream })
  await health.pass()
  t.strictSame(probed, ['up-4'])
  await health.stop()
  t.equal(facts.events.listenerCount('probe_wanted'), 1, 'only the test hears still')
})

t.test('a pass waits for no probe, and the stop ends it', async (t) => {
  const signals: AbortSignal[] = []
  const { control } = await setUp(t, {
    probe: (_, signal) => {
      signals.push(signal)
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    },
  })
  const { health, facts } = await control(undefined, { begun: false })
  await health.pass()
  await health.pass()
  t.strictSame(
    signals.map(({ aborted }) => aborted),
    [false],
  )
  await health.stop()
  t.strictSame(
    signals.map(({ aborted }) => aborted),
    [true],
  )
  t.same(facts.of('pass_failed'), [])
})

t.test('real Tinyproxies: one that dies is ejected, and comes back when it is there again', async (t) => {
  const first = await startTinyproxy()
  t.teardown(first.stop)
  const second = await startTinyproxy()
  t.teardown(second.stop)
  const { control, records, ejectedNow } = await setUp(t, {
    n: 2,
    more: (id) => ({ host: '127.0.0.1', port: id === 'up-1' ? first.port : second.port }),
    probe: makeProbe({ url: null, timeoutMs: 10_000, credentialsOf: () => null, now: makeFakeClock().now }),
  })
  const { rounds, publish, clock } = await control()
  await rounds(3)
  t.strictSame(await ejectedNow(), [])
  await first.stop()
  await rounds(3)
  t.strictSame(await ejectedNow(), ['up-1'])
  await publish()
  const again = await startTinyproxy({ port: first.port })
  t.teardown(again.stop)
  await records.pass(settings.ejectMs)
  clock.advance(settings.ejectMs)
  await rounds(3)
  t.strictSame(await ejectedNow(), [])
})
