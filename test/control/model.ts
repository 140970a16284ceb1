// Design 13 while everything that can happen to a fleet happens at once (test/fixtures/fleet-model): operators, jobs, rules,
// time, two control processes that crash and stand still, gateways that are cut off, a store that is flushed, and a cloud
// that lies. In memory and on PGlite; test/integration/model.ts does the same on Redis and PostgreSQL.
//
// A failure says with which MODEL_SEED and MODEL_PATH it comes back. MODEL_SHRINK=1 then makes it as short as can be;
// MODEL_RUNS tries more, or fewer.
//
// 1,000 sequences here, and as many in model-more.ts: two files run side by side.

import t from 'tap'
import { openFastPglite } from '../fixtures/fleet-model/databases.ts'
import { holds } from '../fixtures/fleet-model/holds.ts'
import { inMemory } from '../fixtures/fleet-model/traffic.ts'

// Minutes on a machine of its own, many on a shared one.
t.setTimeout(1_800_000)
const database = await openFastPglite(t)

t.test('what must always hold does, and the fleet comes to rest', (t) =>
  holds(t, { database, openTraffic: inMemory }, 1000),
)
