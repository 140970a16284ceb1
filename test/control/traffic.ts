import fc from 'fast-check'
import t from 'tap'
import { loadOf, type Traffic } from '../../src/control/traffic.ts'
import { GatewayError } from '../../src/errors.ts'
import type { GatewayReport } from '../../src/store/store.ts'
import { life } from '../fixtures/control-under-test.ts'
import { playTraffic } from '../fixtures/traffic-play.ts'
import { hourMs, makeTrafficWorld, silentMs } from '../fixtures/traffic-world.ts'

/** Version 2, which drains `up-1`, is published, and two gateways decide by it; nothing uses `up-1`. */
async function setUpDrained() {
  const world = makeTrafficWorld()
  await world.publish(2)
  world.says('gw-1')
  world.says('gw-2')
  await world.tick(4)
  return world
}

const isEmpty = (traffic: Traffic) => traffic.use('up-1', 2).isEmpty
const stateOf = ({ gateways }: Traffic, id: string) => gateways.find((gateway) => gateway.id === id)?.state

t.test('confirmed is what every gateway decides by that may still decide', async (t) => {
  t.test('nothing before a fleet is published', async (t) => {
    const { tick, says } = makeTrafficWorld()
    says('gw-1', { version: 0 })
    t.match(await tick(), { publishedVersion: 0, confirmedVersion: 0 })
  })

  t.test('what is published where no gateway is registered', async (t) => {
    const { tick, publish } = makeTrafficWorld()
    await publish(7)
    t.match(await tick(), { publishedVersion: 7, confirmedVersion: 7, gateways: [] })
  })

  t.test('the version of the slowest', async (t) => {
    const { tick, publish, says } = makeTrafficWorld()
    await publish(7)
    says('gw-1', { version: 7 })
    says('gw-2', { version: 5 })
    t.match(await tick(), { publishedVersion: 7, confirmedVersion: 5 })
    says('gw-2', { version: 7 })
    t.equal((await tick()).confirmedVersion, 7)
  })

  t.test(
    'never more than what is published: a store that lost the fleet confirms nothing of it',
    async (t) => {
      const { tick, publish, says } = makeTrafficWorld()
      await publish(3)
      says('gw-1', { version: 9 })
      t.equal((await tick()).confirmedVersion, 3)
    },
  )

  t.test('without the gateway that signed off', async (t) => {
    const { tick, publish, says, signsOff } = makeTrafficWorld()
    await publish(7)
    says('gw-1', { version: 7 })
    says('gw-2', { version: 5 })
    t.equal((await tick()).confirmedVersion, 5)
    await signsOff('gw-2')
    t.equal((await tick()).confirmedVersion, 7)
  })
})

t.test('a gateway that says nothing any more', async (t) => {
  t.test('holds a drain until it has been silent for long enough', async (t) => {
    const { publish, says, falls, tick, advance, observe } = makeTrafficWorld()
    await publish(7)
    says('gw-1', { version: 5 })
    await tick()
    falls('gw-1')
    advance(silentMs)
    const held = await observe()
    t.equal(held.confirmedVersion, 5)
    t.strictSame(held.gateways, [{ id: 'gw-1', version: 5, silentMs, state: 'live' }])
    advance(1)
    const confirmed = await observe()
    t.equal(confirmed.confirmedVersion, 7)
    t.equal(stateOf(confirmed, 'gw-1'), 'silent')
  })

  t.test('is silent from when this process first saw its report, however old that was', async (t) => {
    const { publish, says, falls, tick, advance, observe, restart } = makeTrafficWorld()
    await publish(7)
    says('gw-1', { version: 5 })
    await tick()
    falls('gw-1')
    advance(hourMs)
    restart()
    t.equal((await observe()).confirmedVersion, 5)
    advance(silentMs + 1)
    t.equal((await observe()).confirmedVersion, 7)
  })

  t.test('holds it again once it is back, until it knows', async (t) => {
    const { publish, says, falls, tick, advance, observe } = makeTrafficWorld()
    await publish(7)
    says('gw-1', { version: 5 })
    await tick()
    falls('gw-1')
    advance(silentMs + 1)
    t.equal((await observe()).confirmedVersion, 7)
    says('gw-1', { version: 5 })
    t.equal((await tick()).confirmedVersion, 5)
  })

  t.test('has not been silent while we stood still', async (t) => {
    const { publish, says, tick, pass, advance, observe, before } = makeTrafficWorld()
    await publish(7)
    says('gw-1', { version: 5 })
    await tick()
    before.set('identity', () => before.set('identity', () => advance(hourMs)))
    t.equal((await observe()).confirmedVersion, 5, 'stopped in the middle of an observation')
    await pass()
    t.equal((await observe()).confirmedVersion, 5)
    advance(hourMs)
    await pass()
    t.equal((await observe()).confirmedVersion, 5, 'stopped between two')
  })

  t.test('still counts with the tunnels that it had, but not with the pins that it knew', async (t) => {
    const { says, falls, tick } = await setUpDrained()
    says('gw-2', { tunnels: { 'up-1': 3 }, pins: { 'up-1': 4 } })
    t.strictSame((await tick()).use('up-1', 2), { pins: 0, tunnels: 3, knownPins: 4, isEmpty: false })
    falls('gw-2')
    const later = await tick(140)
    t.equal(stateOf(later, 'gw-2'), 'silent')
    t.strictSame(later.use('up-1', 2), { pins: 0, tunnels: 3, knownPins: 0, isEmpty: false })
  })

  t.test('and had no tunnel there does not matter once it is silent', async (t) => {
    const { says, falls, tick } = await setUpDrained()
    says('gw-2', { pins: { 'up-1': 4 } })
    await tick()
    falls('gw-2')
    t.notOk(isEmpty(await tick(130)))
    t.ok(isEmpty(await tick()))
  })

  t.test('and signs off after all takes its tunnels along', async (t) => {
    const { says, falls, signsOff, tick } = await setUpDrained()
    says('gw-2', { tunnels: { 'up-1': 3 } })
    await tick()
    falls('gw-2')
    t.notOk(isEmpty(await tick(140)))
    await signsOff('gw-2')
    t.ok(isEmpty(await tick()))
  })
})

t.test('an upstream is empty', async (t) => {
  t.test('when nothing uses it and everybody knows that it is drained', async (t) => {
    const { tick } = await setUpDrained()
    t.strictSame((await tick()).use('up-1', 2), { pins: 0, tunnels: 0, knownPins: 0, isEmpty: true })
  })

  t.test('without any gateway as soon as it is published that it is drained', async (t) => {
    const { tick, publish, pin } = makeTrafficWorld()
    await publish(1)
    t.notOk(isEmpty(await tick()))
    await publish(2)
    t.ok(isEmpty(await tick()))
    await pin('job-1')
    t.notOk(isEmpty(await tick()), 'but not while a job is pinned to it')
  })

  const held: { name: string; begin: (world: Awaited<ReturnType<typeof setUpDrained>>) => unknown }[] = [
    { name: 'a job is pinned to it', begin: ({ pin }) => pin('job-1') },
    { name: 'a gateway has a tunnel there', begin: ({ says }) => says('gw-1', { tunnels: { 'up-1': 1 } }) },
    { name: 'a gateway remembers a pin there', begin: ({ says }) => says('gw-1', { pins: { 'up-1': 1 } }) },
    { name: 'a gateway decides by an older version', begin: ({ says }) => says('gw-1', { version: 1 }) },
  ]
  for (const { name, begin } of held) {
    t.test(`not while ${name}`, async (t) => {
      const world = await setUpDrained()
      t.ok(isEmpty(await world.observe()))
      await begin(world)
      t.notOk(isEmpty(await world.tick()))
      world.says('gw-1')
      await world.store.current.pins.release('job-1')
      t.ok(isEmpty(await world.tick(4)))
    })
  }

  t.test('whatever goes on at others, under any name', async (t) => {
    const { tick, pin, says } = await setUpDrained()
    await pin('job-1', 'up-2')
    says('gw-1', { tunnels: { 'up-2': 1 }, pins: { 'up-2': 1 } })
    const traffic = await tick()
    t.ok(isEmpty(traffic))
    t.match(traffic.use('up-2', 2), { pins: 1, tunnels: 1, knownPins: 1, isEmpty: false })
    t.match(traffic.use('constructor', 2), { pins: 0, tunnels: 0, knownPins: 0, isEmpty: true })
  })

  t.test('although pins of it have expired that nobody swept', async (t) => {
    const { tick, pin, advance, store, says } = await setUpDrained()
    for (let job = 0; job < 1200; job++) await pin(`job-${job}`)
    advance(life.idleMs)
    says('gw-1')
    store.calls.length = 0
    t.ok(isEmpty(await tick(4)))
    t.same(store.calls.filter((name) => name === 'sweep').length, 3 + 3, 'in batches')
  })
})

t.test('a report from before the count proves nothing', async (t) => {
  t.test('a job that connects and releases between report and count', async (t) => {
    const { pass, observe, pin, says, store } = await setUpDrained()
    await pin('job-1')
    await pass()
    t.notOk(isEmpty(await observe()))
    await store.current.pins.release('job-1')
    says('gw-1', { tunnels: { 'up-1': 1 } })
    t.notOk(isEmpty(await observe()), 'the reports are from before its tunnel')
    await pass()
    t.notOk(isEmpty(await observe()), 'now the tunnel is seen')
  })

  t.test('every gateway has to report twice', async (t) => {
    const { pass, observe, tick, pin, store } = await setUpDrained()
    await pin('job-1')
    await tick()
    await store.current.pins.release('job-1')
    t.notOk(isEmpty(await observe()), 'the count')
    t.notOk(isEmpty(await tick()), 'this report may have been on its way before the count')
    t.notOk(isEmpty(await observe()), 'and looking again makes it no newer')
    await pass()
    t.ok(isEmpty(await observe()))
  })

  t.test('twice since the first count that showed none', async (t) => {
    const { tick, pin, store } = await setUpDrained()
    await pin('job-1')
    await tick()
    await store.current.pins.release('job-1')
    t.same([isEmpty(await tick()), isEmpty(await tick()), isEmpty(await tick())], [false, false, true])
  })

  t.test('every gateway, and the slowest last', async (t) => {
    const { tick, pin, falls, says, store } = await setUpDrained()
    await pin('job-1')
    await tick()
    await store.current.pins.release('job-1')
    falls('gw-2')
    t.notOk(isEmpty(await tick(10)))
    says('gw-2')
    t.notOk(isEmpty(await tick()))
    t.ok(isEmpty(await tick()))
  })

  t.test('nor does one from before the drain was published', async (t) => {
    const { tick, publish, says, store } = await setUpDrained()
    says('gw-1', { version: 3 })
    says('gw-2', { version: 3 })
    const since3 = (traffic: Traffic) => traffic.use('up-1', 3).isEmpty
    t.notOk(since3(await tick(4)))
    await publish(3)
    t.equal(await store.current.snapshots.version(), 3)
    t.same([since3(await tick()), since3(await tick()), since3(await tick())], [false, false, true])
  })

  t.test('nor does one that a new process finds', async (t) => {
    const { restart, observe, tick, falls } = await setUpDrained()
    restart()
    t.notOk(isEmpty(await observe()))
    t.notOk(isEmpty(await tick()))
    t.ok(isEmpty(await tick()))
    restart()
    falls('gw-2')
    t.notOk(isEmpty(await tick(100)), 'one that died before is waited for')
    t.ok(isEmpty(await tick(32)))
  })

  t.test('what was told stays as it was when more is seen later', async (t) => {
    const { tick, pin, observe } = await setUpDrained()
    const earlier = await observe()
    await pin('job-1')
    t.notOk(isEmpty(await tick()))
    t.ok(isEmpty(earlier))
    t.equal(earlier.use('up-1', 2).pins, 0)
  })
})

t.test('the store was changed', async (t) => {
  t.test('a first store has nobody to wait for', async (t) => {
    const { tick, publish, database } = makeTrafficWorld()
    await publish(2)
    t.match(await tick(), { confirmedVersion: 2, uncertainMs: 0 })
    t.equal(database.seen, 'store-1')
  })

  for (const how of ['flush', 'failOver'] as const) {
    t.test(`nothing is confirmed and nothing is empty for a while (${how})`, async (t) => {
      const world = await setUpDrained()
      world[how]()
      await world.publish(2)
      const first = await world.tick()
      t.match(first, { publishedVersion: 2, confirmedVersion: 0, uncertainMs: silentMs })
      t.notOk(isEmpty(first))
      const last = await world.tick(129)
      t.match(last, { confirmedVersion: 0, uncertainMs: 1000 })
      t.notOk(isEmpty(last))
      t.notOk(last.use('up-1', 0).isEmpty, 'whatever is asked')
      const over = await world.tick()
      t.match(over, { confirmedVersion: 2, uncertainMs: 0 })
      t.ok(isEmpty(over))
    })
  }

  t.test('twice: the wait begins anew', async (t) => {
    const world = await setUpDrained()
    world.flush()
    await world.tick(100)
    world.flush()
    await world.publish(2)
    t.equal((await world.tick()).uncertainMs, silentMs)
    t.notOk(isEmpty(await world.tick(129)))
    t.ok(isEmpty(await world.tick()))
  })

  t.test('a gateway that was lost with it keeps its tunnels, and is silent from then on', async (t) => {
    const { says, falls, flush, publish, tick } = await setUpDrained()
    says('gw-2', { version: 2, tunnels: { 'up-1': 2 }, pins: { 'up-1': 9 } })
    await tick()
    falls('gw-2')
    flush()
    await publish(2)
    const lost = await tick()
    t.match(
      lost.gateways.find(({ id }) => id === 'gw-2'),
      { state: 'gone', silentMs: 0 },
    )
    const later = await tick(200)
    t.equal(stateOf(later, 'gw-2'), 'gone')
    t.strictSame(later.use('up-1', 2), { pins: 0, tunnels: 2, knownPins: 0, isEmpty: false })
    says('gw-2')
    t.equal(stateOf(await tick(), 'gw-2'), 'live', 'it is back')
    t.ok(isEmpty(await tick(2)))
  })

  t.test('a gateway that was lost with it holds a drain that it had not confirmed', async (t) => {
    const { says, falls, flush, publish, tick } = await setUpDrained()
    says('gw-2', { version: 1 })
    await tick(100)
    falls('gw-2')
    await tick(100)
    flush()
    await publish(2)
    t.equal((await tick()).confirmedVersion, 0)
    t.equal((await tick(129)).confirmedVersion, 0)
    const { confirmedVersion, uncertainMs } = await tick()
    t.same({ confirmedVersion, uncertainMs }, { confirmedVersion: 1, uncertainMs: 0 }, 'to the last second')
    t.equal((await tick()).confirmedVersion, 2)
  })

  t.test('what gateways said to the old one is no report to the new one', async (t) => {
    const { failOver, falls, restart, database, advance, databaseClock, tick, says } = await setUpDrained()
    // Another control noticed it long ago, so there is nothing to wait for.
    falls('gw-2')
    failOver()
    database.seen = 'store-1+'
    database.changedAtMs = databaseClock.now() - hourMs
    const noticed = await tick()
    t.match(noticed, { confirmedVersion: 2, uncertainMs: 0 })
    t.notOk(isEmpty(noticed))
    t.notOk(isEmpty(await tick(2)), 'gw-2 has said nothing to it')
    says('gw-2')
    t.notOk(isEmpty(await tick()), 'and now once')
    t.ok(isEmpty(await tick()))
    restart()
    advance(1)
    t.equal((await tick()).uncertainMs, 0)
  })

  t.test('a control that starts meanwhile waits for the rest', async (t) => {
    const { flush, publish, tick, restart, advance } = await setUpDrained()
    flush()
    await publish(2)
    await tick()
    advance(99_000)
    restart()
    t.match(await tick(), { confirmedVersion: 0, uncertainMs: 30_000 })
    t.equal((await tick(29)).confirmedVersion, 0)
    t.equal((await tick()).confirmedVersion, 2)
  })

  t.test('a database whose clock went back makes nobody wait longer than that, nor shorter', async (t) => {
    const { tick, publish, database, databaseClock } = makeTrafficWorld()
    await publish(2)
    database.seen = 'store-1'
    database.changedAtMs = databaseClock.now() + hourMs
    t.equal((await tick()).uncertainMs, silentMs)
  })

  t.test('a database that knows of no change does not undo what we saw', async (t) => {
    const { tick, flush, publish, database } = await setUpDrained()
    flush()
    await publish(2)
    database.seen = null
    t.equal((await tick()).uncertainMs, silentMs)
  })

  t.test('while the database is away it is not known since when, so nothing is told', async (t) => {
    const { tick, flush, publish, database } = await setUpDrained()
    flush()
    await publish(2)
    database.isDown = true
    await t.rejects(tick(), { code: 'database_unavailable' })
    await t.rejects(tick(), { code: 'database_unavailable' })
    database.isDown = false
    t.match(await tick(), { confirmedVersion: 0, uncertainMs: silentMs })
    database.isDown = true
    t.equal((await tick()).uncertainMs, silentMs - 1000, 'it is asked once for each change')
  })

  for (const call of ['version', 'counts', 'list']) {
    t.test(`in the middle of an observation (${call}): it is thrown away`, async (t) => {
      const { tick, flush, publish, before, pin, says, store } = await setUpDrained()
      await pin('job-1')
      says('gw-2', { tunnels: { 'up-1': 1 } })
      await tick()
      before.set(call, async () => {
        flush()
        await publish(2)
      })
      await t.rejects(tick(), { code: 'store_unavailable', message: /changed while it was read/ })
      t.equal(store.identity, 'store-1+')
      const next = await tick()
      t.equal(next.confirmedVersion, 0)
      t.equal(next.use('up-1', 2).tunnels, 1)
    })
  }

  t.test('an hour later one that was lost is still remembered, a day later it is not', async (t) => {
    const { says, falls, flush, publish, tick, advance, observe } = await setUpDrained()
    says('gw-2', { tunnels: { 'up-1': 2 } })
    await tick()
    falls('gw-2')
    flush()
    await publish(2)
    await tick()
    advance(23 * hourMs)
    t.equal((await observe()).use('up-1', 2).tunnels, 2)
    advance(hourMs)
    t.equal((await observe()).use('up-1', 2).tunnels, 0)
  })
})

t.test('an observation', async (t) => {
  t.test('counts before it reads reports, all between two looks at which store it is', async (t) => {
    const { tick, store } = await setUpDrained()
    store.calls.length = 0
    await tick()
    t.strictSame(store.calls, ['sweep', 'identity', 'version', 'counts', 'list', 'identity'])
  })

  t.test('is shared by those who ask at the same time', async (t) => {
    const { observe, store } = await setUpDrained()
    store.calls.length = 0
    const [one, other] = await Promise.all([observe(), observe()])
    t.equal(one, other)
    t.equal(store.calls.length, 6)
    t.not(await observe(), one)
  })

  t.test('that fails leaves what was seen as it was', async (t) => {
    const { tick, before, observe } = await setUpDrained()
    for (const call of ['sweep', 'identity', 'version', 'counts', 'list']) {
      before.set(call, () => {
        throw new GatewayError('store_unavailable', { detail: 'away' })
      })
      await t.rejects(tick(), { code: 'store_unavailable' })
      t.ok(isEmpty(await observe()), call)
    }
  })
})

t.test('in whatever order a gateway asks, hears and reports: empty is empty, and stays so', async (t) => {
  let empty = 0
  const anyChoices = fc.array(fc.nat(839), { minLength: 20, maxLength: 400, size: 'max' })
  await fc.assert(
    fc.asyncProperty(anyChoices, async (choices) => {
      const { wrong, isEmpty } = await playTraffic(choices)
      if (isEmpty) empty += 1
      if (wrong !== null) throw new Error(wrong)
    }),
    { numRuns: 2000 },
  )
  t.ok(empty > 100, `${empty} of them came to an end`)
})

t.test('the load for people adds up what gateways say', (t) => {
  const pins = new Map([['up-1', 4]])
  const tunnels = JSON.parse('{"up-1": 2, "__proto__": 1}') as GatewayReport['tunnels']
  const report = (more: Partial<GatewayReport>) => ({ id: 'gw', version: 1, tunnels: {}, pins: {}, ...more })
  const load = loadOf(pins, [report({ tunnels }), report({ tunnels: { 'up-1': 3, 'up-2': 1 } }), report({})])
  t.equal(load.pins, pins)
  t.same(
    [...load.tunnels],
    [
      ['up-1', 5],
      ['__proto__', 1],
      ['up-2', 1],
    ],
  )
  t.end()
})
