import t, { type Test } from 'tap'
import { GatewayError } from '../../src/errors.ts'
import { makeStoreSide } from '../../src/gateway/store-side.ts'
import { makeUpstreamLoad } from '../../src/gateway/upstream-load.ts'
import { openMemoryStore } from '../../src/store/memory/memory.ts'
import type { TrafficStore } from '../../src/store/store.ts'
import { recordFacts } from '../fixtures/facts.ts'
import { gatewaySettings } from '../fixtures/gateway.ts'
import { snapshot } from '../fixtures/snapshot.ts'
import { until } from '../fixtures/until.ts'

const now = () => performance.now()
const { life } = gatewaySettings
const job = (id: string) => ({ id, type: null, institution: null })

/** A store that may be away, as all of its verbs see it. */
function openStore() {
  const store = openMemoryStore({ life, now: Date.now })
  let isAway = false
  const beat: TrafficStore['heartbeats']['beat'] = async (report) => {
    if (isAway) throw new GatewayError('store_unavailable', { detail: 'away' })
    return store.heartbeats.beat(report)
  }
  const pin: TrafficStore['pins']['pin'] = async (request) => {
    if (isAway) throw new GatewayError('store_unavailable', { detail: 'away' })
    return store.pins.pin(request)
  }
  const pins = { ...store.pins, pin }
  const seen: TrafficStore = { ...store, pins, pinsIn: () => pins, heartbeats: { ...store.heartbeats, beat } }
  return { store: seen, away: (is: boolean) => (isAway = is) }
}

async function startSide(t: Test, store: TrafficStore, id: string, more = {}) {
  const facts = recordFacts()
  const side = makeStoreSide({
    gatewayId: id,
    settings: { ...gatewaySettings, ...more },
    store,
    load: makeUpstreamLoad({ maxTunnels: 90 }),
    refused: () => ({ ids: [], full: new Set() }),
    listeners: () => [],
    events: facts.events,
    now,
  })
  side.start()
  let stopped: Promise<void> | null = null
  const stop = () => (stopped ??= side.stop())
  t.teardown(stop)
  await side.beat()
  return { ...side, missing: side.missing, facts, stop }
}

t.test('what is missing, until the fleet and its pins are read, and while the store is away', async (t) => {
  const { store, away } = openStore()
  const side = await startSide(t, store, 'gw-1')
  t.same(side.missing(), ['no fleet is loaded yet'])
  await store.snapshots.publish(snapshot(1, ['up-1']))
  await side.beat()
  t.same(side.missing(), [])
  away(true)
  await side.beat()
  t.same(side.missing(), ['the store of pins does not answer'])
})

t.test('what one has pinned the other serves while the store is away', async (t) => {
  const { store, away } = openStore()
  await store.snapshots.publish(snapshot(1, ['up-1', 'up-2']))
  const [here, there] = [await startSide(t, store, 'gw-1'), await startSide(t, store, 'gw-2')]
  const pin = await here.pinning.pinJob(job('j'))
  await here.pinning.settle(pin, pin.upstreamId)
  await until('its first use is told of', () => there.known.get('j')?.standing === 'used')
  away(true)
  t.equal((await there.pinning.pinJob(job('j'))).upstreamId, pin.upstreamId)
  await t.rejects(there.pinning.pinJob(job('new')), { code: 'store_unavailable' })
})

t.test('what was there before it came is known too', async (t) => {
  const { store, away } = openStore()
  await store.snapshots.publish(snapshot(1, ['up-1', 'up-2']))
  const here = await startSide(t, store, 'gw-1')
  const pin = await here.pinning.pinJob(job('j'))
  await here.pinning.settle(pin, pin.upstreamId)
  await here.stop()
  const later = await startSide(t, store, 'gw-2')
  away(true)
  t.equal((await later.pinning.pinJob(job('j'))).upstreamId, pin.upstreamId)
})

t.test('a job that nobody knows gets what is configured, for its type or for all', async (t) => {
  const { store, away } = openStore()
  await store.snapshots.publish(snapshot(1, ['up-1', 'up-2', 'up-3']))
  const settings = { storeDown: 'hash', storeDownByType: { payment: 'reject' } }
  const sides = [await startSide(t, store, 'gw-1', settings), await startSide(t, store, 'gw-2', settings)]
  for (const side of sides) await side.beat()
  away(true)
  for (let n = 0; n < 10; n++) {
    const [one, other] = await Promise.all(sides.map((side) => side.pinning.pinJob(job(`j-${n}`))))
    t.equal(one?.upstreamId, other?.upstreamId)
  }
  const payment = { ...job('p'), type: 'payment' }
  for (const { pinning } of sides) await t.rejects(pinning.pinJob(payment), { code: 'store_unavailable' })
})

t.test('a stop sends what was not told yet, and signs off', async (t) => {
  const { store } = openStore()
  await store.snapshots.publish(snapshot(1, ['up-1']))
  const side = await startSide(t, store, 'gw-1')
  const pin = await side.pinning.pinJob(job('j'))
  await side.pinning.settle(pin, 'up-1')
  await side.stop()
  t.equal((await store.pins.read('j'))?.freshBy, null)
  t.same(await store.heartbeats.list(), [])
})
