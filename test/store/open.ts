import t from 'tap'
import { openTrafficStore } from '../../src/store/open.ts'
import { makeFakeClock } from '../fixtures/clock.ts'
import { redisFor } from '../fixtures/redis-under-test.ts'
import { snapshot } from '../fixtures/snapshot.ts'
import { life } from '../fixtures/store-under-test.ts'

const clock = makeFakeClock()
const common = { fleet: 'default', life, commandTimeoutMs: 5000, now: clock.now }

t.test('without a URL the store is in this process, on the clock that is handed in', async (t) => {
  const store = await openTrafficStore({ ...common, redisUrl: null })
  t.teardown(() => store.close())
  await store.ping()
  const { nowMs } = await store.heartbeats.beat({ id: 'gw-1', version: 0, tunnels: {}, pins: {} })
  t.equal(nowMs, clock.now())
})

t.test('with a URL it is in Redis, and outlives the one who opened it', async (t) => {
  const { server } = await redisFor(t)
  const first = await openTrafficStore({ ...common, redisUrl: server.url })
  await first.snapshots.publish(snapshot(3, ['up-a']))
  await first.close()
  const second = await openTrafficStore({ ...common, redisUrl: server.url })
  t.teardown(() => second.close())
  t.equal(await second.snapshots.version(), 3)
})
