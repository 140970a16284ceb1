// The other half of model.ts: the same, with other sequences.

import t from 'tap'
import { openFastPglite } from '../fixtures/fleet-model/databases.ts'
import { holds } from '../fixtures/fleet-model/holds.ts'
import { inMemory } from '../fixtures/fleet-model/traffic.ts'

// Minutes on a machine of its own, many on a shared one.
t.setTimeout(1_800_000)
const database = await openFastPglite(t)

t.test('what must always hold does, once more', (t) => holds(t, { database, openTraffic: inMemory }, 1000))
