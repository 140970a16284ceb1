// How large the fleet is and how large it should be, as the admin API tells it. Pure.

import type { Outcome } from '../store/records.ts'
import type { FleetSize } from './control-parts.ts'
import type { FleetShape } from './shapes.ts'

export function presentFleet({ version, answer }: Outcome<FleetSize>): FleetShape {
  const { wanted, states, ejected, quarantined } = answer
  const { provisioning, running, draining, deleting, failed } = states
  return {
    wanted,
    states: { provisioning, running, draining, deleting, failed },
    ejected,
    quarantined,
    version,
  }
}
