// Releases the jobs that a change of the rules left on upstreams where they may not be, where the change asked for it
// (design 6). The wish stands in the fleet's row until this is done, so whoever comes after a crash goes on. Runs after
// the rules are published: from then on no job is pinned by the old ones.

import type { Events } from '../events.ts'
import { laneOf } from '../lane.ts'
import { makeIsForbidden } from '../routing/restrictions.ts'
import type { FleetRecords } from '../store/records.ts'
import type { Pins, Snapshots } from '../store/store.ts'
import type { Pin, Snapshot } from '../types.ts'

type Parts = {
  readonly fleet: FleetRecords
  readonly pins: Pick<Pins, 'scan' | 'release'>
  readonly snapshots: Pick<Snapshots, 'read'>
  readonly events: Events
}

export function makeEvictions({ fleet, pins, snapshots, events }: Parts) {
  /** A job that was released and came back meanwhile stands elsewhere, and stays. */
  async function release(asked: number, misplaced: readonly Pin[]): Promise<number> {
    const released = await Promise.all(
      misplaced.map(({ job, upstreamId }) => pins.release(job.id, upstreamId)),
    )
    const evicted = released.filter((pin) => pin !== null).length
    // At once: a crash before the ledger's row must not make it silent.
    if (evicted > 0) events.emit('jobs_evicted', { asked, jobs: evicted })
    return evicted
  }

  async function evictAll(asked: number, snapshot: Snapshot): Promise<number> {
    const isForbidden = makeIsForbidden(snapshot)
    let evicted = 0
    let after: string | null = null
    do {
      const part: Awaited<ReturnType<Pins['scan']>> = await pins.scan(after)
      const misplaced = part.pins.filter(({ job, upstreamId }) => isForbidden(laneOf(job), upstreamId))
      evicted += await release(asked, misplaced)
      after = part.next
    } while (after !== null)
    return evicted
  }

  /** Several controls may be at it at once: each says what it has released, the first clears the wish. */
  async function record(asked: number, jobs: number): Promise<void> {
    await fleet.change({
      author: { actor: 'control', reason: `eviction asked with version ${asked}` },
      decide: ({ evictionAsked }) => ({
        steps: evictionAsked === asked || jobs > 0 ? [{ kind: 'jobs_evicted', asked, jobs }] : [],
        answer: null,
      }),
    })
  }

  /** @returns whether it has changed the fleet's version */
  return async function pass(): Promise<boolean> {
    const { evictionAsked } = await fleet.head()
    if (evictionAsked === null) return false
    const snapshot = await snapshots.read()
    if (!snapshot || snapshot.version < evictionAsked) return false
    await record(evictionAsked, await evictAll(evictionAsked, snapshot))
    return true
  }
}
