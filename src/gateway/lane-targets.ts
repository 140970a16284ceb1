// May this job reach this target, by the rules of its lane? Asked twice for each request: before the name is resolved or
// anything is pinned, and again once the job is pinned, before anything is dialled. The second time because a job may
// leave out type and institution once its pin holds them (design 5): silent, it would be in another lane. And because the
// rules may have changed while the name was resolved.

import type { Events } from '../events.ts'
import { laneOf, saysTheSame } from '../lane.ts'
import type { FleetView } from '../routing/fleet-view.ts'
import type { KnownPins } from '../routing/known-pins.ts'
import { makeTargetRules, targetRefused, type TargetVerdict } from '../routing/target-rules.ts'
import type { Job, Snapshot, Target } from '../types.ts'

type Parts = {
  readonly fleet: Pick<FleetView, 'current'>
  readonly known: Pick<KnownPins, 'get' | 'isTrusted'>
  readonly events: Events
  /** Monotonic milliseconds. */
  readonly now: () => number
}

export type LaneTargets = ReturnType<typeof makeLaneTargets>

export function makeLaneTargets({ fleet, known, events, now }: Parts) {
  let read: Snapshot | null = null
  let rules = makeTargetRules([])

  function judge(job: Job, target: Target): TargetVerdict {
    const snapshot = fleet.current()
    if (snapshot !== read) {
      rules = makeTargetRules(snapshot.restrictions)
      read = snapshot
    }
    const lane = laneOf(job)
    const verdict = rules.judge(lane, target.host)
    if (verdict.kind === 'refused') throw targetRefused(lane, target, verdict.restrictions)
    return verdict
  }

  /** What the pin says, where we know that it stands: the store may know better later. */
  function asPinned(asked: Job): Job {
    const pin = known.get(asked.id)
    const isSure = pin !== undefined && known.isTrusted(pin, now()) && saysTheSame(asked, pin.job)
    return isSure ? pin.job : asked
  }

  return {
    /** @throws GatewayError target_denied; no_upstream before the first snapshot */
    check(asked: Job, target: Target): void {
      judge(asPinned(asked), target)
    },

    /**
     * For one request.
     * @returns a check of the job as its pin has it, for each time that it is pinned; throws as `check`. What a rule would
     *   refuse that only reports is told the first time.
     */
    afterPinning(target: Target): (pinned: Job) => void {
      let isTold = false
      return (pinned) => {
        const verdict = judge(pinned, target)
        if (verdict.kind !== 'reported' || isTold) return
        isTold = true
        events.emit('target_reported', { job: pinned, target, restriction: verdict.restrictions[0]! })
      }
    },
  }
}
