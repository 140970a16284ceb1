import t from 'tap'
import { GatewayError } from '../../src/errors.ts'
import { makeHeartbeat, seenByOthers } from '../../src/gateway/heartbeat.ts'
import { makeUpstreamLoad } from '../../src/gateway/upstream-load.ts'
import { makeFleetView } from '../../src/routing/fleet-view.ts'
import { makeKnownPins } from '../../src/routing/known-pins.ts'
import { openMemoryStore } from '../../src/store/memory/memory.ts'
import type { Heartbeats } from '../../src/store/store.ts'
import type { Target } from '../../src/types.ts'
import { makeFakeClock } from '../fixtures/clock.ts'
import { recordFacts } from '../fixtures/facts.ts'
import { makeUpstream } from '../fixtures/upstream.ts'

function setUp() {
  const clock = makeFakeClock()
  const store = openMemoryStore({ life: { idleMs: 600_000, maxLifeMs: 86_400_000 }, now: clock.now })
  const trouble: { error: Error | null } = { error: null }
  const heartbeats: Heartbeats = {
    ...store.heartbeats,
    async beat(report) {
      if (trouble.error) throw trouble.error
      return store.heartbeats.beat(report)
    },
  }
  const make = (gatewayId: string, listeners: readonly Target[] = []) => {
    const facts = recordFacts()
    const fleet = makeFleetView({ snapshots: store.snapshots, events: facts.events })
    const known = makeKnownPins({ limit: 100, gatewayId })
    const load = makeUpstreamLoad({ maxTunnels: 3 })
    const heartbeat = makeHeartbeat({
      gatewayId,
      heartbeats,
      fleet,
      known,
      load,
      events: facts.events,
      listeners: () => listeners,
      now: () => performance.now(),
    })
    return { facts, fleet, known, load, heartbeat }
  }
  const publish = (version: number) =>
    store.snapshots.publish({ version, upstreams: [makeUpstream({ id: 'up-1' })], restrictions: [] })
  return { clock, store, trouble, make, publish }
}

t.test('a beat tells what this gateway carries, and by which version', async (t) => {
  const { make, store, publish } = setUp()
  await publish(4)
  const { heartbeat, load, known, fleet } = make('gw-1')
  await fleet.refresh()
  load.take('up-1')
  known.remember(
    {
      job: { id: 'job-1', type: null, institution: null },
      upstreamId: 'up-2',
      freshBy: null,
      pinnedAtMs: 0,
      expiresAtMs: 0,
    },
    { now: 0, trustedUntilMs: 0 },
  )
  await heartbeat.beat()
  t.match(await store.heartbeats.list(), [
    { id: 'gw-1', version: 4, tunnels: { 'up-1': 1 }, pins: { 'up-2': 1 } },
  ])
})

t.test('a beat brings the fleet that was published meanwhile', async (t) => {
  const { make, publish } = setUp()
  const { heartbeat, fleet, facts } = make('gw-1')
  await heartbeat.beat()
  t.equal(fleet.version, 0)
  await publish(2)
  await heartbeat.beat()
  t.equal(fleet.version, 2)
  await heartbeat.beat()
  t.equal(facts.of('snapshot_loaded').length, 1)
})

t.test('a beat gives the fleet back to a store that lost it', async (t) => {
  const lost = setUp()
  const { make, publish, store } = setUp()
  await publish(5)
  const { fleet, known, load, facts } = make('gw-1')
  await fleet.refresh()
  const view = { ...fleet, version: 5, publishOwn: async () => void (await lost.publish(fleet.version)) }
  const { heartbeats, snapshots } = lost.store
  const heartbeat = makeHeartbeat({
    gatewayId: 'gw-1',
    heartbeats,
    fleet: view,
    known,
    load,
    events: facts.events,
    now: () => performance.now(),
  })
  await heartbeat.beat()
  t.equal(await snapshots.version(), 5)
  t.equal(await store.snapshots.version(), 5)
})

t.test("other gateways' tunnels count against the cap, until they are silent for too long", async (t) => {
  const { make, clock } = setUp()
  const [here, there, third] = [make('gw-1'), make('gw-2'), make('gw-3')]
  there.load.take('up-1')
  third.load.take('up-1')
  await there.heartbeat.beat()
  await third.heartbeat.beat()
  await here.heartbeat.beat()
  t.equal(here.load.count('up-1'), 2, 'added up')
  clock.advance(29_999)
  await third.heartbeat.beat()
  await here.heartbeat.beat()
  t.equal(here.load.count('up-1'), 2)
  clock.advance(1)
  await here.heartbeat.beat()
  t.equal(here.load.count('up-1'), 1)
})

t.test('its own last report does not count twice', async (t) => {
  const { make } = setUp()
  const { heartbeat, load } = make('gw-1')
  load.take('up-1')
  await heartbeat.beat()
  await heartbeat.beat()
  t.equal(load.count('up-1'), 1)
})

t.test('that the store is away is said once, and once that it is back', async (t) => {
  const { make, trouble } = setUp()
  const { heartbeat, facts } = make('gw-1')
  t.ok(heartbeat.storeAnswers)
  await heartbeat.beat()
  trouble.error = new GatewayError('store_unavailable', { detail: 'no answer' })
  await heartbeat.beat()
  await heartbeat.beat()
  t.notOk(heartbeat.storeAnswers)
  trouble.error = null
  await heartbeat.beat()
  await heartbeat.beat()
  t.ok(heartbeat.storeAnswers)
  t.same(facts.names(), ['store_lost', 'store_found'])
  t.strictSame(facts.of('store_lost'), [{ detail: 'no answer' }])
})

t.test('an error that nobody foresaw is not taken for an absent store', async (t) => {
  const { make, trouble } = setUp()
  const { heartbeat, facts } = make('gw-1')
  trouble.error = new TypeError('a mistake')
  await t.rejects(heartbeat.beat(), { message: 'a mistake' })
  t.ok(heartbeat.storeAnswers)
  t.same(facts.names(), [])
})

t.test('a gateway that signs off is no longer listed', async (t) => {
  const { make, store } = setUp()
  const { heartbeat } = make('gw-1')
  await heartbeat.beat()
  await heartbeat.signOff()
  t.same(await store.heartbeats.list(), [])
})

t.test('gateways hear where the others listen', async (t) => {
  const { make } = setUp()
  const [first, second] = [
    { host: '10.0.0.1', port: 3128 },
    { host: '10.0.0.2', port: 3128 },
  ]
  const [one, two] = [make('gw-1', [first]), make('gw-2', [second])]
  t.same(one.heartbeat.otherListeners, [])
  for (const { heartbeat } of [one, two, one]) await heartbeat.beat()
  t.same(one.heartbeat.otherListeners, [second])
  t.same(two.heartbeat.otherListeners, [first])
  t.equal(one.heartbeat.otherListeners, one.heartbeat.otherListeners, 'the same array until the next beat')
  await two.heartbeat.signOff()
  await one.heartbeat.beat()
  t.same(one.heartbeat.otherListeners, [])
})

t.test('listeners as other machines reach them', async (t) => {
  const local = ['127.0.0.1', '10.0.0.1', '::1', 'fe80::1%eth0', '2600::1', '169.254.7.7']
  const rows: [name: string, host: string, seen: string[]][] = [
    ['one interface', '10.0.0.1', ['10.0.0.1']],
    ['loopback', '127.0.0.1', []],
    ['loopback by IPv6', '::1', []],
    ['every interface', '0.0.0.0', ['10.0.0.1', '2600::1']],
    ['every interface by IPv6', '::', ['10.0.0.1', '2600::1']],
  ]
  for (const [name, host, seen] of rows)
    t.same(
      seenByOthers([{ host, port: 3128 }], local),
      seen.map((host) => ({ host, port: 3128 })),
      name,
    )
  const many = Array.from({ length: 300 }, (_, index) => `10.1.${index >> 8}.${index & 255}`)
  t.equal(seenByOthers([{ host: '0.0.0.0', port: 3128 }], many).length, 16, 'of very many interfaces, some')
})
