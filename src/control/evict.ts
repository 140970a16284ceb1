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
  /** Jobs that were released and are not written down yet, by what asked for it: the database went away in between. */
  const released = new Map<number, number>()

  /** A job that was released and came back meanwhile stands elsewhere, and stays. */
  async function release(asked: number, misplaced: readonly Pin[]): Promise<void> {
    const former = await Promise.all(misplaced.map(({ job, upstreamId }) => pins.release(job.id, upstreamId)))
    const evicted = former.filter((pin) => pin !== null).length
    released.set(asked, (released.get(asked) ?? 0) + evicted)
    // At once: a crash before the ledger's row must not make it silent.
    if (evicted > 0) events.emit('jobs_evicted', { asked, jobs: evicted })
  }

  async function evictAll(asked: number, snapshot: Snapshot): Promise<void> {
    const isForbidden = makeIsForbidden(snapshot)
    let after: string | null = null
    do {
      const part: Awaited<ReturnType<Pins['scan']>> = await pins.scan(after)
      const misplaced = part.pins.filter(({ job, upstreamId }) => isForbidden(laneOf(job), upstreamId))
      await release(asked, misplaced)
      after = part.next
    } while (after !== null)
  }

  /** @throws ControlError database_unavailable, database_busy: what is done could not be told then */
  async function proveWritable(): Promise<void> {
    const author = { actor: 'control', reason: null }
    await fleet.change({ author, decide: () => ({ steps: [], answer: null }) })
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

  /** @returns whether there was something to be written down */
  async function writeDown(): Promise<boolean> {
    const unwritten = [...released]
    for (const [asked, jobs] of unwritten) {
      // Ours alone from here on, unless it fails.
      released.delete(asked)
      await record(asked, jobs).catch((error: unknown) => {
        released.set(asked, (released.get(asked) ?? 0) + jobs)
        throw error
      })
    }
    return unwritten.length > 0
  }

  /** @returns whether it has changed the fleet's version */
  return async function pass(): Promise<boolean> {
    const { evictionAsked } = await fleet.head()
    const snapshot = evictionAsked === null ? null : await snapshots.read()
    if (evictionAsked !== null && snapshot && snapshot.version >= evictionAsked) {
      await proveWritable()
      await evictAll(evictionAsked, snapshot)
    }
    return writeDown()
  }
}
