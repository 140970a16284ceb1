// The health of an upstream as this gateway's own traffic sees it: a few failed connects in a row, and it
// gets no new jobs for a while (design 9). Pinned jobs still try it. One success forgets all.

import type { Events } from '../events.ts'

export type ConnectFailures = ReturnType<typeof makeConnectFailures>

/** @param parts  its limits are read at each use: a reload may change them */
export function makeConnectFailures(parts: {
  readonly limit: number
  readonly refuseMs: number
  readonly events: Events
  /** Monotonic milliseconds. */
  readonly now: () => number
}) {
  const { events, now } = parts
  const inARow = new Map<string, number>()
  const refusedUntil = new Map<string, number>()

  return {
    failed(upstreamId: string): void {
      const failures = (inARow.get(upstreamId) ?? 0) + 1
      inARow.set(upstreamId, failures)
      if (failures < parts.limit) return
      const { refuseMs } = parts
      const wasRefused = (refusedUntil.get(upstreamId) ?? 0) > now()
      refusedUntil.set(upstreamId, now() + refuseMs)
      if (!wasRefused) events.emit('upstream_set_aside', { upstream: upstreamId, forMs: refuseMs })
    },

    succeeded(upstreamId: string): void {
      if (!inARow.delete(upstreamId)) return
      refusedUntil.delete(upstreamId)
    },

    /** Upstreams that get no new job now. After the time the next failure sets it aside again at once. */
    refused(): string[] {
      if (refusedUntil.size === 0) return []
      for (const [id, until] of refusedUntil) if (until <= now()) refusedUntil.delete(id)
      return [...refusedUntil.keys()]
    },

    /** Forgets upstreams that have left the fleet. */
    keepOnly(known: (upstreamId: string) => boolean): void {
      for (const map of [inARow, refusedUntil]) for (const id of map.keys()) if (!known(id)) map.delete(id)
    },
  }
}
