// The pins that this gateway remembers, so that a known job's tunnels cost no turn of the store (design 7).
// A Map in order of last use; the oldest without a tunnel leaves first when it is full. No I/O here.

import type { Job, Pin } from '../types.ts'

export type KnownPin = {
  /** As recorded in the store: type and institution as first given. */
  readonly job: Job
  upstreamId: string
  /** `own`: made here and still fresh; `foreign`: made by another gateway and still fresh there; `used`: a tunnel has opened. */
  standing: 'own' | 'foreign' | 'used'
  pinnedAtMs: number
  /** By the store's clock; for people only. */
  expiresAtMs: number
  /** By our monotonic clock: until then the store need not be asked. */
  trustedUntilMs: number
  lastUseMs: number
  tunnels: number
  /** Upstreams that failed this job while it was fresh. */
  failed: Set<string>
  /** A move under way: wait for it before answering 200. */
  moving: Promise<void> | null
  /** True once it was forgotten: whoever still holds it must pin anew. */
  over: boolean
}

export type KnownPins = ReturnType<typeof makeKnownPins>

export function makeKnownPins({ limit, gatewayId }: { limit: number; gatewayId: string }) {
  const pins = new Map<string, KnownPin>()
  const byUpstream = new Map<string, number>()
  /** Used since the last touch. */
  const dirty = new Set<KnownPin>()
  /** With an open tunnel. */
  const held = new Set<KnownPin>()

  function count(upstreamId: string, change: number): void {
    const pinned = (byUpstream.get(upstreamId) ?? 0) + change
    if (pinned > 0) byUpstream.set(upstreamId, pinned)
    else byUpstream.delete(upstreamId)
  }

  function makeRoom(): void {
    for (const pin of pins.values()) {
      if (pins.size < limit) return
      if (isIdle(pin)) forget(pin)
    }
  }

  /** One not yet touched stays: the store may still have to learn that it is used. */
  function isIdle(pin: KnownPin): boolean {
    return pin.tunnels === 0 && !dirty.has(pin)
  }

  function forget(pin: KnownPin): void {
    if (pins.get(pin.job.id) !== pin) return
    pins.delete(pin.job.id)
    dirty.delete(pin)
    count(pin.upstreamId, -1)
    pin.over = true
  }

  function standingOf(pin: Pin): KnownPin['standing'] {
    if (pin.freshBy === null) return 'used'
    return pin.freshBy === gatewayId ? 'own' : 'foreign'
  }

  return {
    dirty,
    held: held as ReadonlySet<KnownPin>,
    byUpstream: byUpstream as ReadonlyMap<string, number>,

    get size(): number {
      return pins.size
    },

    get(jobId: string): KnownPin | undefined {
      return pins.get(jobId)
    },

    /** Takes in what the store says. What this gateway knows better stays: that a tunnel of its own has opened. */
    remember(pin: Pin, { now, trustedUntilMs }: { now: number; trustedUntilMs: number }): KnownPin {
      const old = pins.get(pin.job.id)
      if (old && old.upstreamId === pin.upstreamId && old.pinnedAtMs === pin.pinnedAtMs) {
        if (old.standing === 'foreign' || old.standing === 'own') old.standing = standingOf(pin)
        old.expiresAtMs = pin.expiresAtMs
        old.trustedUntilMs = Math.max(old.trustedUntilMs, trustedUntilMs)
        old.lastUseMs = now
        return old
      }
      if (old) forget(old)
      makeRoom()
      const known: KnownPin = {
        job: pin.job,
        upstreamId: pin.upstreamId,
        standing: standingOf(pin),
        pinnedAtMs: pin.pinnedAtMs,
        expiresAtMs: pin.expiresAtMs,
        trustedUntilMs,
        lastUseMs: now,
        tunnels: 0,
        failed: new Set(),
        moving: null,
        over: false,
      }
      pins.set(pin.job.id, known)
      count(pin.upstreamId, 1)
      return known
    },

    /** Moves it to the young end of the Map, and into the next batch of touches. */
    use(pin: KnownPin, now: number): void {
      pin.lastUseMs = now
      if (pins.get(pin.job.id) !== pin) return
      pins.delete(pin.job.id)
      pins.set(pin.job.id, pin)
      dirty.add(pin)
    },

    moved(known: KnownPin, to: Pin): void {
      if (!known.over) {
        count(known.upstreamId, -1)
        count(to.upstreamId, 1)
      }
      known.upstreamId = to.upstreamId
      known.standing = standingOf(to)
      known.pinnedAtMs = to.pinnedAtMs
      known.expiresAtMs = to.expiresAtMs
    },

    hold(pin: KnownPin): void {
      pin.tunnels += 1
      held.add(pin)
    },

    letGo(pin: KnownPin, now: number): void {
      pin.tunnels -= 1
      if (pin.tunnels === 0) held.delete(pin)
      if (!pin.over) this.use(pin, now)
    },

    forget,

    /** Forgets those unused since before `lastUseBeforeMs`. Oldest use comes first, so it stops early. */
    forgetIdle(lastUseBeforeMs: number): void {
      for (const pin of pins.values()) {
        if (pin.lastUseMs >= lastUseBeforeMs) return
        if (isIdle(pin)) forget(pin)
      }
    },
  }
}
