// How many tunnels this process carries: in all, of one job, by one token. One on its way counts from the moment that its
// target is known to be allowed, so that a burst of requests cannot pass a limit before the first of them stands.

import { GatewayError } from '../errors.ts'
import type { Job } from '../types.ts'

type Limits = {
  readonly maxTunnels: number
  /** Null: no limit of its own. */
  readonly tunnelsPerJob: number | null
  readonly tunnelsPerToken: number | null
}

/** Freeing it twice is harmless. */
export type TunnelPlace = { free(): void }

export type TunnelLimits = ReturnType<typeof makeTunnelLimits>

/** @param limits  read at each use: a reload may change them; what is open stays */
export function makeTunnelLimits(limits: Limits) {
  /** Also where there is no limit, since a reload may bring one. Who has none open is not in it. */
  const ofJob = new Map<string, number>()
  const ofToken = new Map<string, number>()
  let taken = 0

  function check(job: Job, token: string | null): void {
    const { maxTunnels, tunnelsPerJob, tunnelsPerToken } = limits
    if (taken >= maxTunnels) throw full()
    if (tunnelsPerJob !== null && (ofJob.get(job.id) ?? 0) >= tunnelsPerJob)
      throw jobHasAll(job, tunnelsPerJob)
    if (tunnelsPerToken !== null && token !== null && (ofToken.get(token) ?? 0) >= tunnelsPerToken)
      throw tokenHasAll(tunnelsPerToken)
  }

  function count(job: Job, token: string | null, by: 1 | -1): void {
    taken += by
    change(ofJob, job.id, by)
    if (token !== null) change(ofToken, token, by)
  }

  return {
    /** @throws GatewayError overloaded, rate_limited */
    take({ job, token }: { readonly job: Job; readonly token: string | null }): TunnelPlace {
      check(job, token)
      count(job, token, 1)
      let isHere = true
      return {
        free() {
          if (isHere) count(job, token, -1)
          isHere = false
        },
      }
    },

    /** Open ones and those on their way. */
    get taken(): number {
      return taken
    },

    /** Jobs and tokens that are counted now. */
    get counted(): number {
      return ofJob.size + ofToken.size
    },
  }
}

function change(counts: Map<string, number>, key: string, by: number): void {
  const count = (counts.get(key) ?? 0) + by
  if (count > 0) counts.set(key, count)
  else counts.delete(key)
}

function full(): GatewayError {
  return new GatewayError('overloaded', {
    detail: 'This gateway carries all the tunnels that it may (gateway.maxTunnels). Try again.',
  })
}

function jobHasAll(job: Job, limit: number): GatewayError {
  return new GatewayError('rate_limited', {
    detail: `This job has its ${limit} tunnels open already (gateway.tunnelsPerJob). Close one, then try again.`,
    job: job.id,
  })
}

function tokenHasAll(limit: number): GatewayError {
  return new GatewayError('rate_limited', {
    detail: `This token has its ${limit} tunnels open already (gateway.tunnelsPerToken). Close one, then try again.`,
  })
}
