// An upstream for a job that nobody knows while the store is away (design 7, `hash`): worked out from what all gateways have
// alike, so that they agree without a word. Only a gateway that knew all pins when the store fell silent may do it, and
// only for as long as a drain waits for one that is cut off.

import type { Events } from '../events.ts'
import { laneOf } from '../lane.ts'
import type { PinLife } from '../store/store.ts'
import type { Job } from '../types.ts'
import type { FleetView } from './fleet-view.ts'
import type { KnownPin, KnownPins } from './known-pins.ts'
import { noUpstream } from './pin-refusals.ts'
import { rendezvousOrder } from './rendezvous.ts'

/** What a job that no pin is known of gets while the store is away. */
export type StoreDown = 'reject' | 'hash'

/** From the last answer of the store. Control's `drains.silentMs` is longer. */
const longestMs = 120_000

type Parts = {
  readonly known: KnownPins
  readonly fleet: FleetView
  readonly life: PinLife
  readonly modeOf: (type: string | null) => StoreDown
  /** When the store answered last, by our monotonic clock, and what its own clock shows now. */
  readonly store: () => { readonly answeredMs: number; readonly nowMs: number }
  /** Whether all pins were known here then. */
  readonly wasWhole: (answeredMs: number) => boolean
  readonly events: Events
  readonly now: () => number
}

export type Hash = ReturnType<typeof makeHash>

export function makeHash({ known, fleet, life, modeOf, store, wasWhole, events, now }: Parts) {
  function mayHash(job: Job): boolean {
    if (modeOf(job.type) !== 'hash') return false
    const { answeredMs } = store()
    return now() - answeredMs <= longestMs && wasWhole(answeredMs)
  }

  /**
   * No second choice: where the first one is full or does not answer, that is the job's answer.
   * @returns null where it may not be done
   * @throws GatewayError no_upstream
   */
  return function hashJob(job: Job): KnownPin | null {
    if (!mayHash(job)) return null
    const lane = laneOf(job)
    const eligible = fleet.eligibleIds(lane)
    const upstreams = eligible.flatMap((id) => fleet.upstream(id) ?? [])
    const [first] = rendezvousOrder(job.id, upstreams)
    if (!first) throw noUpstream(job, eligible, { ids: [], full: new Set() })
    const pinnedAtMs = store().nowMs
    const pin = {
      job,
      upstreamId: first.id,
      freshBy: null,
      pinnedAtMs,
      expiresAtMs: pinnedAtMs + life.idleMs,
    }
    events.emit('pin_hashed', { job, lane, upstream: first.id, version: fleet.version })
    return known.addHashed(pin, now())
  }
}
