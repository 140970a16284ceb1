// What this process knows of the fleet: the newest snapshot, its upstreams by id, and who is eligible per lane.

import { GatewayError } from '../errors.ts'
import type { Events } from '../events.ts'
import { laneName } from '../lane.ts'
import type { Snapshots } from '../store/store.ts'
import type { Lane, Snapshot, Upstream } from '../types.ts'
import { eligible } from './restrictions.ts'

export type FleetView = ReturnType<typeof makeFleetView>

/** Lanes whose eligibility is kept; more are worked out each time that a ring is missing. */
const keptLanes = 10_000

export function makeFleetView({ snapshots, events }: { snapshots: Snapshots; events: Events }) {
  let snapshot: Snapshot | null = null
  let byId = new Map<string, Upstream>()
  let byLane = new Map<string, readonly string[]>()
  let refreshing: Promise<void> | null = null

  function take(newer: Snapshot): void {
    if (snapshot && newer.version <= snapshot.version) return
    snapshot = newer
    byId = new Map(newer.upstreams.map((upstream) => [upstream.id, upstream]))
    byLane = new Map()
    events.emit('snapshot_loaded', {
      version: newer.version,
      upstreams: newer.upstreams.length,
      restrictions: newer.restrictions.length,
    })
  }

  async function read(): Promise<void> {
    const newer = await snapshots.read()
    if (newer) take(newer)
  }

  function current(): Snapshot {
    if (snapshot) return snapshot
    throw new GatewayError('no_upstream', {
      detail: 'No fleet has been published yet. Start control, then try again.',
    })
  }

  return {
    /** @throws GatewayError no_upstream before the first snapshot */
    current,

    get version(): number {
      return snapshot?.version ?? 0
    },

    upstream(id: string): Upstream | null {
      return byId.get(id) ?? null
    },

    upstreams(): readonly Upstream[] {
      return snapshot?.upstreams ?? []
    },

    /** Ids in the rendezvous order of the lane. */
    eligibleIds(lane: Lane): readonly string[] {
      const name = laneName(lane)
      let ids = byLane.get(name)
      if (!ids) {
        ids = eligible(lane, current()).eligible.map(({ id }) => id)
        if (byLane.size < keptLanes) byLane.set(name, ids)
      }
      return ids
    },

    /** Reads the published snapshot; callers at the same time share one read. */
    refresh(): Promise<void> {
      refreshing ??= read().finally(() => {
        refreshing = null
      })
      return refreshing
    },

    /** The store lost writes and is behind us: hand it what we have. */
    async publishOwn(): Promise<void> {
      if (snapshot) await snapshots.publish(snapshot)
    },
  }
}
