// The model of test/control/model.ts on a real Redis and a real PostgreSQL, with their clocks in the model's hands.

import t from 'tap'
import { openServerDatabase } from '../fixtures/fleet-model/databases.ts'
import { holds } from '../fixtures/fleet-model/holds.ts'
import { onRedis } from '../fixtures/fleet-model/traffic.ts'
import { startPostgres } from '../fixtures/postgres.ts'
import { redisFor } from '../fixtures/redis-under-test.ts'

t.setTimeout(300_000)
const server = await startPostgres()
t.teardown(() => server.stop())
const database = await openServerDatabase(t, server)
const redis = await redisFor(t)

t.test('what must always hold does, on real servers', (t) =>
  holds(t, { database, openTraffic: onRedis(redis) }, 100),
)
