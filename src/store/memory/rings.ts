// One ring per lane: the upstreams eligible for it, in the order of their turns. A ring belongs to a version
// of the fleet; under another one it is rebuilt. `head` walks instead of the ids: a turn costs the same
// however long the ring is.

import type { StoreLimits } from '../limits.ts'
import type { PinAnswer, PinRequest } from '../store.ts'
import type { Fleet } from './snapshot.ts'

type Ring = { version: number; ids: readonly string[]; head: number; usedAtMs: number }

type TurnRequest = Pick<PinRequest, 'version' | 'eligible' | 'refused'> & { readonly lane: string }

export type Turn =
  | { readonly kind: 'turn'; readonly upstreamId: string }
  | Extract<PinAnswer, { kind: 'stale' | 'behind' | 'no-ring' | 'none' | 'too-many-lanes' }>

export type Rings = ReturnType<typeof makeRings>

type Parts = { readonly fleet: Fleet; readonly now: () => number; readonly limits: StoreLimits }

export function makeRings({ fleet, now, limits }: Parts) {
  /** Least recently used first. */
  const rings = new Map<string, Ring>()

  function forgetUnused(): void {
    for (const [lane, { usedAtMs }] of rings) {
      if (usedAtMs > now() - limits.laneUnusedMs) return
      rings.delete(lane)
    }
  }

  function mayEnter(lane: string): boolean {
    if (rings.has(lane)) return true
    forgetUnused()
    return rings.size < limits.maxLanes
  }

  function ringFor({ lane, version, eligible }: TurnRequest): Ring | Exclude<Turn, { kind: 'turn' }> {
    const ring = rings.get(lane)
    if (ring?.version === version) return ring
    if (!mayEnter(lane)) return { kind: 'too-many-lanes' }
    if (eligible === null) return { kind: 'no-ring' }
    return { version, ids: rebuild(ring, eligible), head: 0, usedAtMs: 0 }
  }

  /** At most one lap. A refused id has had its turn. */
  function takeNext(ring: Ring, refused: ReadonlySet<string>): Turn {
    for (let seen = 0; seen < ring.ids.length; seen++) {
      const upstreamId = ring.ids[ring.head]!
      ring.head = (ring.head + 1) % ring.ids.length
      if (!refused.has(upstreamId) && fleet.has(upstreamId)) return { kind: 'turn', upstreamId }
    }
    return { kind: 'none' }
  }

  return {
    lanes(): string[] {
      forgetUnused()
      return [...rings.keys()]
    },

    takeTurn(request: TurnRequest): Turn {
      const current = fleet.version()
      if (request.version < current) return { kind: 'stale', version: current }
      if (request.version > current) return { kind: 'behind', version: current }
      const ring = ringFor(request)
      if ('kind' in ring) return ring
      ring.usedAtMs = now()
      rings.delete(request.lane)
      rings.set(request.lane, ring)
      return takeNext(ring, new Set(request.refused))
    },
  }
}

/** Those that stay keep their order; new ones enter at the tail, behind all that wait (design 13.4). */
function rebuild(old: Ring | undefined, eligible: readonly string[]): string[] {
  const wanted = new Set(eligible)
  const waiting = old ? [...old.ids.slice(old.head), ...old.ids.slice(0, old.head)] : []
  const staying = waiting.filter((id) => wanted.has(id))
  return [...new Set([...staying, ...eligible])]
}
