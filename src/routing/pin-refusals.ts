// Why a job gets no pin, in words and codes. Pure.

import { GatewayError } from '../errors.ts'
import { laneName, laneOf } from '../lane.ts'
import type { Job } from '../types.ts'

/** Upstreams that take no new job from this gateway now, and those of them that are full. */
export type Refused = { readonly ids: readonly string[]; readonly full: ReadonlySet<string> }

const laneParts = ['type', 'institution'] as const

export function otherLane(asked: Job, pinned: Job): GatewayError {
  const words = (job: Job) =>
    laneParts.map((part) => `${part} ${job[part] === null ? 'none' : `"${job[part]}"`}`).join(', ')
  return new GatewayError('bad_request', {
    detail: `This job was pinned with ${words(pinned)}; now it says ${words(asked)}. Say the same, leave it out, or use another job id.`,
    job: pinned.id,
  })
}

/** Nobody in the lane's ring: by the rules, because all that are left are full, or because none answers. */
export function noUpstream(job: Job, eligible: readonly string[], { full }: Refused): GatewayError {
  const lane = laneName(laneOf(job))
  if (eligible.length === 0) {
    return new GatewayError('no_upstream', {
      detail: `No running upstream may serve lane ${lane}. See /v1/explain.`,
      lane,
    })
  }
  if (eligible.some((id) => full.has(id))) {
    return new GatewayError('overloaded', {
      detail: `Every upstream for lane ${lane} is full or fails.`,
      lane,
    })
  }
  return new GatewayError('no_upstream', { detail: `No upstream for lane ${lane} answers now.`, lane })
}

export function tooManyLanes(job: Job): GatewayError {
  return new GatewayError('rate_limited', {
    detail: 'Too many lanes (pairs of job type and institution) are in use. Name fewer of them.',
    lane: laneName(laneOf(job)),
  })
}

/** Jobs that are pinned already go on. */
export function tooManyPins(job: Job): GatewayError {
  return new GatewayError('rate_limited', {
    detail:
      'The fleet holds as many pins as it may (pins.max). Try again when jobs have ended; release jobs that are over (DELETE /v1/job).',
    job: job.id,
  })
}

export function pinLost(job: Job, upstreamId: string): GatewayError {
  return new GatewayError('pin_lost', {
    detail: `The upstream ${upstreamId} of this job is gone. Release the job (DELETE /v1/job) or use a new job id.`,
    upstream: upstreamId,
    job: job.id,
  })
}
