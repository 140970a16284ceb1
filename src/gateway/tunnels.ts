// The tunnels open in this process: count, list, close, wait until none. One coarse timer for all of them
// finds the idle and the too old, so that a tunnel costs no timer of its own.

import type { Job, Target } from '../types.ts'
import type { Relay } from './relay.ts'

export type OpenTunnel = {
  readonly requestId: string
  readonly job: Job
  /** The name of the token by which it was asked for. */
  readonly token: string | null
  readonly target: Target
  readonly upstreamId: string
  readonly openedMs: number
  readonly relay: Pick<Relay, 'bytes' | 'close'>
}

type Watched = { readonly tunnel: OpenTunnel; bytes: number; movedMs: number }

export type Tunnels = ReturnType<typeof makeTunnels>

export function makeTunnels(parts: {
  readonly idleMs: number
  readonly maxLifeMs: number
  /** Monotonic milliseconds. */
  readonly now: () => number
}) {
  const { idleMs, maxLifeMs, now } = parts
  const open = new Map<OpenTunnel, Watched>()
  const waiting = new Set<() => void>()
  // After a stall timers run before sockets are read: bytes that are there already have moved.
  const timer = setInterval(() => setImmediate(sweep), Math.min(5000, Math.max(20, idleMs / 10)))
  timer.unref()

  function sweep(): void {
    const time = now()
    for (const watched of open.values()) look(watched, time)
  }

  function look(watched: Watched, time: number): void {
    const { relay, openedMs } = watched.tunnel
    const bytes = relay.bytes()
    if (bytes !== watched.bytes) {
      watched.bytes = bytes
      watched.movedMs = time
    }
    if (time - openedMs >= maxLifeMs) relay.close('life')
    else if (time - watched.movedMs >= idleMs) relay.close('idle')
  }

  return {
    sweep,

    get count(): number {
      return open.size
    },

    list(): OpenTunnel[] {
      return [...open.keys()]
    },

    add(tunnel: OpenTunnel): void {
      open.set(tunnel, { tunnel, bytes: tunnel.relay.bytes(), movedMs: now() })
    },

    remove(tunnel: OpenTunnel): void {
      if (!open.delete(tunnel) || open.size > 0) return
      for (const wake of waiting) wake()
      waiting.clear()
    },

    closeAll(why: 'stop'): void {
      for (const { relay } of open.keys()) relay.close(why)
    },

    /** Those through upstreams that have left the fleet. */
    closeLeft(isThere: (upstreamId: string) => boolean): void {
      for (const { relay, upstreamId } of open.keys()) if (!isThere(upstreamId)) relay.close('drained')
    },

    /** Resolves when no tunnel is open, or when the signal aborts. */
    none(signal: AbortSignal): Promise<void> {
      if (open.size === 0 || signal.aborted) return Promise.resolve()
      return new Promise((resolve) => {
        waiting.add(resolve)
        signal.addEventListener('abort', () => resolve(), { once: true })
      })
    },

    stop(): void {
      clearInterval(timer)
    },
  }
}
