// One upstream whose next step is ours: claimed, so that no other controller takes the step at the same time, and fenced,
// so that one that stood still meanwhile writes nothing when it wakes up.

import { ControlError, isControlError } from '../errors.ts'
import type {
  ClaimedUpstream,
  FleetRecords,
  Step,
  StepNotes,
  UpstreamClaims,
  UpstreamRecord,
} from '../store/records.ts'

type Parts = {
  readonly fleet: Pick<FleetRecords, 'changeUpstreams'>
  readonly claims: UpstreamClaims
  /** Something has changed: publish it now. */
  readonly changed: () => void
}

export type Held = {
  /** As it stood when it was claimed. */
  readonly record: UpstreamRecord
  /** Aborts when the claim is lost, or control stops. */
  readonly signal: AbortSignal
  /** For whoever tries the step again. @throws ControlError conflict where the claim is lost */
  note(notes: StepNotes): Promise<void>
  /**
   * The outcome of the step and its ledger row, in one transaction.
   * @param decide  told the same record, since nobody may have changed it
   * @param others  that it concerns too: nobody may have changed these either
   * @throws ControlError conflict where somebody has, or the claim is lost: then nothing is written
   */
  settle(
    reason: string,
    decide: (record: UpstreamRecord, at: { readonly nowMs: number }) => readonly Step[],
    others?: readonly UpstreamRecord[],
  ): Promise<void>
}

export function makeHold({ fleet, claims, changed }: Parts) {
  return function hold({ record, claim }: ClaimedUpstream, signal: AbortSignal): Held {
    return {
      record,
      signal,

      async note(notes) {
        if (!(await claims.note(claim, notes))) throw superseded(record.id)
      },

      async settle(reason, decide, others = []) {
        await fleet.changeUpstreams({
          author: { actor: 'control', reason },
          ids: [record, ...others].map(({ id }) => id),
          decide({ upstreams, nowMs }) {
            const standing = upstreams.find(({ id }) => id === record.id)
            const isSame = (one: UpstreamRecord) =>
              upstreams.find(({ id }) => id === one.id)?.rowVersion === one.rowVersion
            if (standing?.claimFence !== claim.fence || ![record, ...others].every(isSame))
              throw superseded(record.id)
            return { steps: decide(standing, { nowMs }), answer: null }
          },
        })
        changed()
      },
    }
  }
}

export function isSuperseded(error: unknown): boolean {
  return isControlError(error, 'conflict')
}

function superseded(id: string): ControlError {
  return new ControlError(
    'conflict',
    `Upstream "${id}" was changed meanwhile, or another control took it over.`,
  )
}
