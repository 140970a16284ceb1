// The pins that this gateway remembers: its own, so that a known job's tunnels cost no turn of the store, and those of the
// other gateways, so that their jobs are served while the store is away (design 7).
// A Map in order of last use; the oldest without a tunnel leaves first when it is full. No I/O here.

import type { RememberedPin, Touch } from '../store/store.ts'
import type { Job, Pin } from '../types.ts'

export type KnownPin = {
  /** As recorded in the store: type and institution as first given. */
  readonly job: Job
  upstreamId: string
  /** `own`: made here and still fresh; `foreign`: made by another gateway and still fresh there; `used`: a tunnel has opened. */
  standing: 'own' | 'foreign' | 'used'
  /** The gateway that made it, while it was fresh or is `hashed`. */
  freshBy: string | null
  /** Made here while the store was away; it does not know of it yet. */
  hashed: boolean
  pinnedAtMs: number
  /** By the store's clock; for people only. */
  expiresAtMs: number
  /** By our monotonic clock: until then the store need not be asked. */
  trustedUntilMs: number
  /** At any gateway, as far as it was told. */
  lastUseMs: number
  /** When the other gateways were last told that it is in use. */
  toldMs: number
  tunnels: number
  /** Upstreams that failed this job while it was fresh. */
  failed: Set<string>
  /** A move under way: wait for it before answering 200. */
  moving: Promise<void> | null
  /** True once it was forgotten: whoever still holds it must pin anew. */
  over: boolean
}

type Arrival = { readonly now: number; readonly trustedUntilMs: number; readonly lastUseMs?: number }

export type KnownPins = ReturnType<typeof makeKnownPins>

export function makeKnownPins({ limit, gatewayId }: { limit: number; gatewayId: string }) {
  const pins = new Map<string, KnownPin>()
  const byUpstream = new Map<string, number>()
  /** Used since the last touch. */
  const dirty = new Set<KnownPin>()
  /** Of those: own ones whose first tunnel has just opened, which the other gateways should know soon. */
  const firstUsed = new Set<KnownPin>()
  /** With an open tunnel. */
  const held = new Set<KnownPin>()
  /** Made while the store was away. */
  const hashed = new Set<KnownPin>()
  /** When one had to go because there was no room. */
  let crowdedMs = -Infinity
  /** Whether what the other gateways do is heard. */
  let isInSight = true

  function count(upstreamId: string, change: number): void {
    const pinned = (byUpstream.get(upstreamId) ?? 0) + change
    if (pinned > 0) byUpstream.set(upstreamId, pinned)
    else byUpstream.delete(upstreamId)
  }

  function makeRoom(now: number): void {
    for (const pin of pins.values()) {
      if (pins.size < limit) return
      if (!isIdle(pin)) continue
      crowdedMs = now
      forget(pin)
    }
  }

  /** One not yet touched stays: the store may still have to learn that it is used. */
  function isIdle(pin: KnownPin): boolean {
    return pin.tunnels === 0 && !dirty.has(pin) && !hashed.has(pin)
  }

  function forget(pin: KnownPin): void {
    if (pins.get(pin.job.id) !== pin) return
    pins.delete(pin.job.id)
    dirty.delete(pin)
    firstUsed.delete(pin)
    hashed.delete(pin)
    count(pin.upstreamId, -1)
    pin.over = true
  }

  function standingOf(pin: Pin): KnownPin['standing'] {
    if (pin.freshBy === null) return 'used'
    return pin.freshBy === gatewayId ? 'own' : 'foreign'
  }

  function add(pin: Pin, { now, trustedUntilMs, lastUseMs = now }: Arrival): KnownPin {
    const old = pins.get(pin.job.id)
    if (old) forget(old)
    makeRoom(now)
    const known: KnownPin = {
      job: pin.job,
      upstreamId: pin.upstreamId,
      standing: standingOf(pin),
      freshBy: pin.freshBy,
      hashed: false,
      pinnedAtMs: pin.pinnedAtMs,
      expiresAtMs: pin.expiresAtMs,
      trustedUntilMs,
      lastUseMs,
      toldMs: now,
      tunnels: 0,
      failed: new Set(),
      moving: null,
      over: false,
    }
    pins.set(pin.job.id, known)
    count(pin.upstreamId, 1)
    return known
  }

  function isSame(known: KnownPin, pin: Pin): boolean {
    return known.upstreamId === pin.upstreamId && known.pinnedAtMs === pin.pinnedAtMs
  }

  function standsAs(known: KnownPin, pin: Pin): void {
    if (known.standing === 'used') return
    known.standing = standingOf(pin)
    known.freshBy = pin.freshBy
  }

  /** To the young end of the Map. */
  function renew(pin: KnownPin, now: number): void {
    pin.lastUseMs = now
    if (pins.get(pin.job.id) !== pin) return
    pins.delete(pin.job.id)
    pins.set(pin.job.id, pin)
  }

  return {
    dirty,
    firstUsed: firstUsed as ReadonlySet<KnownPin>,
    hashed: hashed as ReadonlySet<KnownPin>,
    held: held as ReadonlySet<KnownPin>,
    byUpstream: byUpstream as ReadonlyMap<string, number>,

    get size(): number {
      return pins.size
    },

    get(jobId: string): KnownPin | undefined {
      return pins.get(jobId)
    },

    get crowdedMs(): number {
      return crowdedMs
    },

    all(): Iterable<KnownPin> {
      return pins.values()
    },

    /** Takes in what the store says. What this gateway knows better stays: that a tunnel of its own has opened. */
    remember(pin: Pin, { now, trustedUntilMs }: { now: number; trustedUntilMs: number }): KnownPin {
      const old = pins.get(pin.job.id)
      if (!old || !isSame(old, pin)) return add(pin, { now, trustedUntilMs })
      standsAs(old, pin)
      old.expiresAtMs = pin.expiresAtMs
      this.trust(old, trustedUntilMs)
      old.lastUseMs = now
      return old
    },

    /** The store has acknowledged it; an older answer takes nothing back. */
    trust(pin: KnownPin, untilMs: number): void {
      pin.trustedUntilMs = Math.max(pin.trustedUntilMs, untilMs)
    },

    /** Whether the store need not be asked. */
    isTrusted(pin: KnownPin, now: number): boolean {
      return isInSight && now < pin.trustedUntilMs
    },

    /** What the others do is not heard any more: a job may be released elsewhere. */
    loseSight(): void {
      isInSight = false
    },

    /** From now on it is heard. What was acknowledged before may have ended unheard. */
    regainSight(): void {
      for (const pin of pins.values()) pin.trustedUntilMs = -Infinity
      isInSight = true
    },

    /** Takes in what is told of a pin of another gateway. It is not trusted while the store can be asked. */
    follow(pin: Pin, { now, lastUseMs = now }: { now: number; lastUseMs?: number }): void {
      const old = pins.get(pin.job.id)
      // Which of the two stands the store decides, when it is given back.
      if (old?.hashed) return
      if (!old || pin.pinnedAtMs > old.pinnedAtMs) add(pin, { now, lastUseMs, trustedUntilMs: -Infinity })
      else if (isSame(old, pin)) standsAs(old, pin)
      // Its maker has moved it; one that is used, or under way here, is known better.
      else if (old.pinnedAtMs === pin.pinnedAtMs && old.standing === 'foreign') this.moved(old, pin)
    },

    /** Another gateway has used it. */
    followTouch({ jobId, upstreamId, used }: Touch, now: number): void {
      const pin = pins.get(jobId)
      if (pin?.upstreamId !== upstreamId) return
      if (used) pin.standing = 'used'
      renew(pin, now)
    },

    /** Made here while the store is away; never fresh, so that it cannot move. */
    addHashed(pin: Pin, now: number): KnownPin {
      const known = add(pin, { now, trustedUntilMs: -Infinity })
      known.hashed = true
      known.freshBy = gatewayId
      hashed.add(known)
      return known
    },

    /** The store has it, or never will. */
    confirmed(pin: KnownPin): void {
      pin.hashed = false
      hashed.delete(pin)
    },

    /** Moves it to the young end of the Map, and into the next batch of touches. */
    use(pin: KnownPin, now: number): void {
      renew(pin, now)
      if (pins.get(pin.job.id) === pin) dirty.add(pin)
    },

    /** The first tunnel of a pin of ours has opened: it is fresh no longer. */
    useFirst(pin: KnownPin, now: number): void {
      pin.standing = 'used'
      this.use(pin, now)
      if (dirty.has(pin)) firstUsed.add(pin)
    },

    /** A touch is on its way. */
    sent(pin: KnownPin): void {
      dirty.delete(pin)
      firstUsed.delete(pin)
    },

    moved(known: KnownPin, to: Pin): void {
      if (!known.over) {
        count(known.upstreamId, -1)
        count(to.upstreamId, 1)
      }
      known.upstreamId = to.upstreamId
      known.standing = standingOf(to)
      known.freshBy = to.freshBy
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

/** What the store is given back. */
export function toRemembered(pin: KnownPin): RememberedPin {
  const { job, upstreamId, pinnedAtMs, standing, hashed } = pin
  const freshBy = standing === 'used' && !hashed ? null : pin.freshBy
  return { job, upstreamId, pinnedAtMs, hashed, freshBy }
}
