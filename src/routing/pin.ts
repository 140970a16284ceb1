// The one place where a job meets an upstream (design 7).
//
//   known and trusted ──────────────────────────────► its upstream
//   else: pin-job ─► pinned ─► remember ────────────► its upstream
//            ├─ stale / behind / no-ring: bring what is missing, ask again
//            ├─ none / lost / mismatch: an error that says what to do
//            └─ store away: the pin that is remembered, own or followed; else `hash`, or 503
//
// A fresh pin (no tunnel of the job has opened) may move, by its maker only. `settle` decides at the last
// moment, when the tunnel stands but nobody was told: the pin is used from then on and never moves.

import { isGatewayError } from '../errors.ts'
import type { Events } from '../events.ts'
import { laneName, laneOf, saysTheSame } from '../lane.ts'
import type { PinLife, Pins } from '../store/store.ts'
import type { Job, Pin, Upstream } from '../types.ts'
import { makeAgree } from './agree.ts'
import type { FleetView } from './fleet-view.ts'
import type { Hash } from './hash.ts'
import type { KnownPin, KnownPins } from './known-pins.ts'
import { makeMover } from './move.ts'
import { isPinned, trustMs } from './pin-life.ts'
import { otherLane, pinLost, type Refused } from './pin-refusals.ts'

export type Pinning = ReturnType<typeof makePinning>

type Parts = {
  readonly gatewayId: string
  readonly pins: Pins
  readonly known: KnownPins
  readonly fleet: FleetView
  readonly life: PinLife
  readonly refused: () => Refused
  /** Job types that get a new upstream when theirs is gone. */
  readonly flexTypes: Pick<readonly string[], 'includes'>
  /** For jobs that nobody knows while the store is away. */
  readonly hash: Hash
  /** A tunnel of a pin of ours has opened for the first time. */
  readonly firstUsed: () => void
  readonly events: Events
  /** Monotonic milliseconds. */
  readonly now: () => number
}

export function makePinning(parts: Parts) {
  const { pins, known, fleet, life, hash, firstUsed, events, now } = parts
  const agree = makeAgree(parts)
  const { moveFresh, replaceLost } = makeMover({ ...parts, agree })
  /** One call for all requests of a job that come at the same time. */
  const asking = new Map<string, Promise<KnownPin>>()

  async function pinJob(job: Job): Promise<KnownPin> {
    const remembered = known.get(job.id)
    if (remembered && known.isTrusted(remembered, now())) return reuse(job, remembered)
    return reuse(job, await askOnce(job).catch((error: unknown) => withoutStore(job, error)))
  }

  function withoutStore(job: Job, error: unknown): KnownPin {
    if (!isGatewayError(error, 'store_unavailable')) throw error
    // It may have been told of since.
    const remembered = known.get(job.id)
    if (remembered && isPinned(remembered, life, now())) return remembered
    const hashed = hash(job)
    if (hashed) return hashed
    throw error
  }

  async function reuse(job: Job, pin: KnownPin): Promise<KnownPin> {
    if (!saysTheSame(job, pin.job)) throw otherLane(job, pin.job)
    const { upstreamId } = pin
    // While we looked, another request of the job may have given it another upstream.
    if (!(await findUpstream(upstreamId)) && pin.upstreamId === upstreamId) {
      await replaceLost(pin)
      if (pin.over) return pinJob(job)
    }
    known.use(pin, now())
    return pin
  }

  function askOnce(job: Job): Promise<KnownPin> {
    const key = `${job.id} ${laneName(laneOf(job))}`
    let answer = asking.get(key)
    if (!answer) {
      answer = ask(job).finally(() => asking.delete(key))
      asking.set(key, answer)
    }
    return answer
  }

  async function ask(job: Job): Promise<KnownPin> {
    const sentMs = now()
    /** Ours may be newer by the time of the answer. */
    let version = 0
    const answer = await agree(job, new Set(), (request) => {
      version = request.version
      return pins.pin(request)
    })
    if (answer.kind === 'pinned') return remember(job, answer, { sentMs, version })
    if (answer.kind === 'mismatch') throw otherLane(job, answer.pin.job)
    return replaceLost(rememberPin(answer.pin, sentMs))
  }

  function remember(
    job: Job,
    { pin, reused }: { pin: Pin; reused: boolean },
    { sentMs, version }: { sentMs: number; version: number },
  ): KnownPin {
    if (!reused) events.emit('pin_made', { job, lane: laneOf(job), upstream: pin.upstreamId, version })
    return rememberPin(pin, sentMs)
  }

  function rememberPin(pin: Pin, sentMs: number): KnownPin {
    return known.remember(pin, { now: now(), trustedUntilMs: sentMs + trustMs(life) })
  }

  /** A version that is ahead of ours may know an upstream that we do not: look once before calling it gone. */
  async function findUpstream(id: string): Promise<Upstream | null> {
    const upstream = fleet.upstream(id)
    if (upstream) return upstream
    await fleet.refresh().catch(() => undefined)
    return fleet.upstream(id)
  }

  function standsOn(pin: KnownPin, upstreamId: string): boolean {
    return !pin.over && pin.upstreamId === upstreamId && fleet.upstream(upstreamId) !== null
  }

  return {
    /**
     * The job's pin, as remembered, as the store holds it, or a new one.
     * @throws GatewayError bad_request, no_upstream, overloaded, rate_limited, pin_lost, store_unavailable
     */
    pinJob,

    upstreamOf(pin: KnownPin): Upstream {
      const upstream = fleet.upstream(pin.upstreamId)
      if (upstream) return upstream
      throw pinLost(pin.job, pin.upstreamId)
    },

    /**
     * A dial of `upstreamId` failed and it was the upstream's fault: gives a fresh pin of ours the next upstream.
     * @returns false where the pin may not move: then the failure is the answer
     * @throws GatewayError as pinJob
     */
    async moveOn(pin: KnownPin, upstreamId: string): Promise<boolean> {
      if (pin.upstreamId !== upstreamId || pin.over) return true
      if (pin.standing !== 'own') return false
      pin.failed.add(upstreamId)
      try {
        await moveFresh(pin)
      } catch (error) {
        if (!isGatewayError(error, 'no_upstream', 'overloaded')) throw error
        // None is left; the next request of the job may try them all again.
        pin.failed.clear()
        return false
      }
      return pin.over || pin.upstreamId !== upstreamId
    },

    /**
     * A tunnel through `upstreamId` stands and the client was not told yet. From a true answer on the pin never moves.
     * @returns false where the pin stands elsewhere by now, or that upstream has left the fleet: drop the tunnel, pin
     *   and dial again
     * @throws GatewayError store_unavailable, where a pin still fresh at another gateway cannot be confirmed
     */
    async settle(pin: KnownPin, upstreamId: string): Promise<boolean> {
      while (pin.moving) await pin.moving.catch(() => undefined)
      if (!standsOn(pin, upstreamId)) return false
      if (pin.standing === 'own') {
        // A touch may have gone since the job was pinned; the next one has to say so.
        known.useFirst(pin, now())
        firstUsed()
      }
      if (pin.standing === 'used') return true
      const stored = await pins.use(pin.job.id, upstreamId)
      if (stored) known.moved(pin, stored)
      // Released or expired, or lost by the store: who pins it next asks.
      else pin.trustedUntilMs = -Infinity
      return stored !== null && standsOn(pin, upstreamId)
    },

    hold(pin: KnownPin): void {
      known.hold(pin)
    },

    letGo(pin: KnownPin): void {
      known.letGo(pin, now())
    },

    /** @returns false where the job had no pin */
    async release(jobId: string, by: 'job' | 'operator'): Promise<Pin | null> {
      const released = await pins.release(jobId)
      const remembered = known.get(jobId)
      if (remembered) known.forget(remembered)
      if (released) events.emit('pin_released', { jobId, upstream: released.upstreamId, by })
      return released
    },

    /** Looks without extending. The store hears of a first tunnel with the next touch; we know of ours already. */
    async read(jobId: string): Promise<Pin | null> {
      const pin = await pins.read(jobId)
      const remembered = known.get(jobId)
      const isUsed = remembered?.standing === 'used' && remembered.pinnedAtMs === pin?.pinnedAtMs
      return pin && isUsed ? { ...pin, freshBy: null } : pin
    },
  }
}
