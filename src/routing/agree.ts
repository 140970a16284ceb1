// Store and gateway must speak of the same version of the fleet, and of a ring made for it (design 7). Whoever
// lacks something is given it, and the call is made again.

import { GatewayError } from '../errors.ts'
import { laneOf } from '../lane.ts'
import type { MoveAnswer, PinAnswer, PinRequest } from '../store/store.ts'
import type { Job } from '../types.ts'
import type { FleetView } from './fleet-view.ts'
import { noUpstream, tooManyLanes, tooManyPins, type Refused } from './pin-refusals.ts'

/** A race with a new version is lost this often before we give up: each round means that the fleet changed meanwhile. */
const rounds = 8

type Unsettled = 'stale' | 'behind' | 'no-ring'
type Refusal = 'none' | 'too-many-lanes' | 'too-many-pins'

export type Agree = ReturnType<typeof makeAgree>

export function makeAgree({
  gatewayId,
  fleet,
  refused,
}: {
  readonly gatewayId: string
  readonly fleet: FleetView
  readonly refused: () => Refused
}) {
  /**
   * @param failed  ids that this job must not get, beside those that nobody gets now
   * @returns an answer that decides something
   * @throws GatewayError no_upstream, overloaded, rate_limited, store_unavailable
   */
  return async function agree<A extends PinAnswer | MoveAnswer>(
    job: Job,
    failed: ReadonlySet<string>,
    call: (request: PinRequest) => Promise<A>,
  ): Promise<Exclude<A, { kind: Unsettled | Refusal }>> {
    let withRing = false
    for (let round = 0; round < rounds; round++) {
      const { version } = fleet.current()
      const eligible = withRing ? fleet.eligibleIds(laneOf(job)) : null
      // Read anew each round: an upstream may have filled up or failed meanwhile.
      const answer = await call({ job, gatewayId, version, eligible, refused: [...failed, ...refused().ids] })
      if (answer.kind === 'stale') await fleet.refresh()
      else if (answer.kind === 'behind') await fleet.publishOwn()
      else if (answer.kind === 'no-ring') withRing = true
      else if (answer.kind === 'none') throw noUpstream(job, fleet.eligibleIds(laneOf(job)), refused())
      else if (answer.kind === 'too-many-lanes') throw tooManyLanes(job)
      else if (answer.kind === 'too-many-pins') throw tooManyPins(job)
      else return answer as Exclude<A, { kind: Unsettled | Refusal }>
    }
    throw new GatewayError('overloaded', {
      detail: 'The fleet changes faster than jobs can be pinned. Try again.',
      job: job.id,
    })
  }
}
