// A job as people and programs see it in the APIs (design 11). Pure.

import type { Pin, Upstream } from '../types.ts'

export function presentJob(pin: Pin, upstream: Upstream | null, tunnels: number) {
  return {
    id: pin.job.id,
    type: pin.job.type,
    institution: pin.job.institution,
    upstream: { id: pin.upstreamId, egressIp: upstream?.egressIp ?? null },
    fresh: pin.freshBy !== null,
    pinnedAt: new Date(pin.pinnedAtMs).toISOString(),
    expiresAt: new Date(pin.expiresAtMs).toISOString(),
    tunnels,
  }
}
