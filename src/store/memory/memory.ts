// The traffic store in plain Maps: the embedded default, tests and bench. It ends with the process.
// Each verb runs without a pause from its call on, so it is as atomic as a script in Redis.

import { storeLimits } from '../limits.ts'
import type { StoreLimits } from '../limits.ts'
import type { PinLife, TrafficStore } from '../store.ts'
import { makeMemoryFeed } from './feed.ts'
import { makeMemoryHeartbeats } from './heartbeats.ts'
import { makeMemoryPins } from './pins.ts'
import { makeMemoryReports } from './reports.ts'
import { makeRings } from './rings.ts'
import { makeMemorySnapshots } from './snapshot.ts'

type MemoryOptions = {
  readonly life: PinLife
  /** Milliseconds since 1970. */
  readonly now: () => number
  readonly limits?: StoreLimits
}

export function openMemoryStore({ life, now, limits = storeLimits }: MemoryOptions): TrafficStore {
  const { snapshots, fleet } = makeMemorySnapshots()
  const rings = makeRings({ fleet, now, limits })
  const feed = makeMemoryFeed()
  const pins = makeMemoryPins({ rings, fleet, feed, life, now, limits })
  return {
    feed,
    snapshots,
    pins,
    // It ends with its gateways, and loses nothing before.
    pinsIn: () => pins,
    reports: makeMemoryReports({ now, limits }),
    heartbeats: makeMemoryHeartbeats({ fleet, feed, now, limits }),
    // Its gateways end with it, so none can remember what another one held.
    identity: async () => 'memory',
    async ping() {},
    async close() {},
  }
}
