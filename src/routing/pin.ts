// The one place where a job meets an upstream (design 7).
//
//   known and trusted ──────────────────────────────► its upstream
//   else: pin-job ─► pinned ─► remember ────────────► its upstream
//            ├─ stale / behind / no-ring: bring what is missing, ask again
//            └─ none / lost / mismatch: an error that says what to do
//
// A fresh pin (no tunnel of the job has opened) may move, by its maker only. `settle` decides at the last
// moment, when the tunnel stands but nobody was told: the pin is used from then on and never moves.

import { GatewayError, isGatewayError } from '../errors.ts'
import type { Events } from '../events.ts'
import { laneName, laneOf } from '../lane.ts'
import type { MoveAnswer, MoveRequest, PinAnswer, PinLife, PinRequest, Pins } from '../store/store.ts'
import type { Job, Pin, Upstream } from '../types.ts'
import type { FleetView } from './fleet-view.ts'
import { isPinned, trustMs } from './pin-life.ts'
import type { KnownPin, KnownPins } from './known-pins.ts'

const lanePart = ['type', 'institution'] as const

/** A version race is lost this often before we give up: each round means that the fleet changed meanwhile. */
const rounds = 8

export type Pinning = ReturnType<typeof makePinning>

type Parts = {
  readonly gatewayId: string
  readonly pins: Pins
  readonly known: KnownPins
  readonly fleet: FleetView
  readonly life: PinLife
  /** Upstreams that take no new job from this gateway now, and why: all full, or just failed. */
  readonly refused: () => { readonly ids: readonly string[]; readonly full: boolean }
  readonly flexTypes: readonly string[]
  readonly events: Events
  /** Monotonic milliseconds. */
  readonly now: () => number
}

export function makePinning({ gatewayId, pins, known, fleet, life, refused, flexTypes, events, now }: Parts) {
  /** One call for all requests of a job that come at the same time. */
  const asking = new Map<string, Promise<KnownPin>>()

  async function pinJob(job: Job): Promise<KnownPin> {
    const remembered = known.get(job.id)
    if (remembered && now() < remembered.trustedUntilMs) return reuse(job, remembered)
    try {
      return reuse(job, await askOnce(job))
    } catch (error) {
      if (
        remembered &&
        !remembered.over &&
        isGatewayError(error, 'store_unavailable') &&
        isPinned(remembered, life, now())
      ) {
        return reuse(job, remembered)
      }
      throw error
    }
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
    const answer = await inRounds(job, [], (request) => pins.pin(request))
    if (answer.kind === 'pinned') return remember(job, answer, sentMs)
    if (answer.kind === 'mismatch') throw otherLane(job, answer.pin.job)
    if (answer.kind === 'lost') return replaceLost(rememberPin(answer.pin, sentMs))
    throw refusal(answer.kind, job)
  }

  function remember(job: Job, { pin, reused }: { pin: Pin; reused: boolean }, sentMs: number): KnownPin {
    if (!reused)
      events.emit('pin_made', { job, lane: laneOf(job), upstream: pin.upstreamId, version: fleet.version })
    return rememberPin(pin, sentMs)
  }

  function rememberPin(pin: Pin, sentMs: number): KnownPin {
    return known.remember(pin, { now: now(), trustedUntilMs: sentMs + trustMs(life) })
  }

  /**
   * Calls the store until it and we speak of the same version and ring.
   * Refused ids are read anew each round: an upstream may have filled up or failed meanwhile.
   */
  async function inRounds<A extends PinAnswer | MoveAnswer>(
    job: Job,
    failed: readonly string[],
    call: (request: PinRequest) => Promise<A>,
  ): Promise<Exclude<A, { kind: 'stale' | 'behind' | 'no-ring' }>> {
    let withRing = false
    for (let round = 0; round < rounds; round++) {
      const { version } = fleet.current()
      const eligible = withRing ? fleet.eligibleIds(laneOf(job)) : null
      const answer = await call({ job, gatewayId, version, eligible, refused: [...failed, ...refused().ids] })
      if (answer.kind === 'stale') await fleet.refresh()
      else if (answer.kind === 'behind') await fleet.publishOwn()
      else if (answer.kind === 'no-ring') withRing = true
      else return answer as Exclude<A, { kind: 'stale' | 'behind' | 'no-ring' }>
    }
    throw new GatewayError('overloaded', {
      detail: 'The fleet changes faster than jobs can be pinned. Try again.',
      job: job.id,
    })
  }

  /** A version that is ahead of ours may know an upstream that we do not: look once before calling it gone. */
  async function findUpstream(id: string): Promise<Upstream | null> {
    const upstream = fleet.upstream(id)
    if (upstream) return upstream
    await fleet.refresh().catch(() => undefined)
    return fleet.upstream(id)
  }

  /** The job's upstream has left the fleet: fresh pins and `flex` jobs get another, `strict` jobs are told so. */
  async function replaceLost(pin: KnownPin): Promise<KnownPin> {
    const from = pin.upstreamId
    const flex = flexTypes.includes(pin.job.type ?? '')
    if (pin.standing !== 'own' && !flex) {
      events.emit('pin_lost', { job: pin.job, upstream: from })
      known.forget(pin)
      throw new GatewayError('pin_lost', {
        detail: `The upstream ${from} of this job is gone. Release the job (DELETE /v1/job) or use a new job id.`,
        upstream: from,
        job: pin.job.id,
      })
    }
    await move(pin, pin.standing === 'own' ? 'fresh' : 'lost')
    return pin
  }

  /** Moves shared by all requests of the job in this gateway: the first one asks, the others wait for its answer. */
  async function move(pin: KnownPin, when: MoveRequest['when']): Promise<void> {
    pin.moving ??= moveInStore(pin, when).finally(() => {
      pin.moving = null
    })
    await pin.moving
  }

  async function moveInStore(pin: KnownPin, when: MoveRequest['when']): Promise<void> {
    const from = pin.upstreamId
    let answer
    try {
      answer = await inRounds(pin.job, [...pin.failed], (request) => pins.move({ ...request, from, when }))
    } catch (error) {
      // Whether it moved is not known: the store must be asked before this pin is used again.
      known.forget(pin)
      throw error
    }
    if (answer.kind === 'moved') {
      known.moved(pin, answer.pin)
      events.emit('pin_moved', {
        job: pin.job,
        from,
        to: answer.pin.upstreamId,
        reason: when === 'fresh' ? 'fresh' : 'flex',
      })
    } else if (answer.kind === 'kept') known.moved(pin, answer.pin)
    else if (answer.kind === 'gone') known.forget(pin)
    else throw refusal(answer.kind, pin.job)
  }

  function refusal(kind: 'none' | 'too-many-lanes', job: Job): GatewayError {
    const lane = laneName(laneOf(job))
    if (kind === 'too-many-lanes') {
      return new GatewayError('rate_limited', {
        detail: 'Too many lanes (pairs of job type and institution) are in use. Name fewer of them.',
        lane,
      })
    }
    return noUpstream(lane, fleet.eligibleIds(laneOf(job)), refused())
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
      throw new GatewayError('pin_lost', {
        detail: `The upstream ${pin.upstreamId} is gone.`,
        upstream: pin.upstreamId,
      })
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
        await move(pin, 'fresh')
      } catch (error) {
        if (isGatewayError(error, 'no_upstream', 'overloaded')) return false
        throw error
      }
      return pin.over || pin.upstreamId !== upstreamId
    },

    /**
     * A tunnel through `upstreamId` stands and the client was not told yet. From a true answer on the pin never moves.
     * @returns false where the pin stands elsewhere by now: drop the tunnel, pin and dial again
     * @throws GatewayError store_unavailable, where a pin still fresh at another gateway cannot be confirmed
     */
    async settle(pin: KnownPin, upstreamId: string): Promise<boolean> {
      while (pin.moving) await pin.moving.catch(() => undefined)
      if (pin.over || pin.upstreamId !== upstreamId) return false
      if (pin.standing === 'own') {
        pin.standing = 'used'
        // A touch may have gone since the job was pinned; the next one has to say so.
        known.use(pin, now())
      }
      if (pin.standing === 'used') return true
      const stored = await pins.use(pin.job.id, upstreamId)
      if (stored === null) known.forget(pin)
      else known.moved(pin, stored)
      return stored?.upstreamId === upstreamId && !pin.over
    },

    hold(pin: KnownPin): void {
      known.hold(pin)
    },

    letGo(pin: KnownPin): void {
      known.letGo(pin, now())
    },

    /** @returns false where the job had no pin */
    async release(jobId: string, by: 'job' | 'operator'): Promise<boolean> {
      const released = await pins.release(jobId)
      const remembered = known.get(jobId)
      if (remembered) known.forget(remembered)
      if (released) events.emit('pin_released', { jobId, upstream: released.upstreamId, by })
      return released !== null
    },

    /** Looks without extending. */
    read(jobId: string): Promise<Pin | null> {
      return pins.read(jobId)
    },
  }
}

/** A later request may leave type and institution out or repeat them (design 5). */
function saysTheSame(asked: Job, pinned: Job): boolean {
  return lanePart.every((part) => asked[part] === null || asked[part] === pinned[part])
}

function otherLane(asked: Job, pinned: Job): GatewayError {
  const words = (job: Job) =>
    lanePart.map((part) => `${part} ${job[part] === null ? 'none' : `"${job[part]}"`}`).join(', ')
  return new GatewayError('bad_request', {
    detail: `This job was pinned with ${words(pinned)}; now it says ${words(asked)}. Say the same, leave it out, or use another job id.`,
    job: pinned.id,
  })
}

function noUpstream(
  lane: string,
  eligible: readonly string[],
  refused: { readonly ids: readonly string[]; readonly full: boolean },
): GatewayError {
  if (eligible.length === 0) {
    return new GatewayError('no_upstream', {
      detail: `No running upstream may serve lane ${lane}. See /v1/explain.`,
      lane,
    })
  }
  if (refused.full) {
    return new GatewayError('overloaded', { detail: `Every upstream for lane ${lane} is full.`, lane })
  }
  return new GatewayError('no_upstream', { detail: `No upstream for lane ${lane} answers now.`, lane })
}
