// The newest snapshot, and what the other parts of the embedded store ask about it.

import type { Snapshot } from '../../types.ts'
import type { Snapshots } from '../store.ts'

export type Fleet = {
  version(): number
  has(upstreamId: string): boolean
}

export function makeMemorySnapshots(): { snapshots: Snapshots; fleet: Fleet } {
  let newest: Snapshot | null = null
  let ids: ReadonlySet<string> = new Set()

  const fleet: Fleet = {
    version: () => newest?.version ?? 0,
    has: (upstreamId) => ids.has(upstreamId),
  }

  const snapshots: Snapshots = {
    async publish(snapshot) {
      if (snapshot.version > fleet.version()) {
        newest = snapshot
        ids = new Set(snapshot.upstreams.map(({ id }) => id))
      }
      return fleet.version()
    },

    async version() {
      return fleet.version()
    },

    async read() {
      return newest
    },
  }

  return { snapshots, fleet }
}
