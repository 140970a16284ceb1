import t from 'tap'
import { presentFleet } from '../../src/admin/present-fleet.ts'
import { fleetSize } from '../fixtures/admin-control.ts'

t.test('the fleet says what is there and what is wanted, at which version', async (t) => {
  const states = { provisioning: 1, running: 4, draining: 2, deleting: 0, failed: 3 }
  const size = fleetSize({ wanted: 5, states, ejected: 1, quarantined: 2 })
  t.strictSame(presentFleet({ version: 9, answer: size }), {
    wanted: 5,
    states,
    ejected: 1,
    quarantined: 2,
    version: 9,
  })
})
