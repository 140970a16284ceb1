// The pins of a store that may lose what it held: a Redis that fails over, is flushed or starts empty (design 7, "Redis
// back"). Before anything is decided there, it is given back what this gateway remembers. After a mere absence only what it
// could not be told meanwhile. All verbs wait for that, for a while; known jobs need none of them.

import { AnotherStore, GatewayError } from '../errors.ts'
import type { Events } from '../events.ts'
import type { PinLife, Pins, RestoreAnswer, TrafficStore } from '../store/store.ts'
import { toRemembered, type KnownPin, type KnownPins } from './known-pins.ts'
import { trustMs } from './pin-life.ts'

/** Pins in one script. */
const batchSize = 500
/** A call waits this long for the pins that are written back, then its client is told to come again. */
const patienceMs = 500
/** Each round means that the store has changed again meanwhile. */
const rounds = 4

type Parts = {
  readonly store: Pick<TrafficStore, 'identity' | 'pins' | 'pinsIn'>
  readonly known: KnownPins
  readonly life: PinLife
  readonly events: Events
  /** Monotonic milliseconds. */
  readonly now: () => number
}

export type SteadyPins = {
  readonly pins: Pins
  /** Asks the store who it is, and gives back what another one lacks. @throws GatewayError store_unavailable */
  check(): Promise<void>
}

export function makeSteadyPins({ store, known, life, events, now }: Parts): SteadyPins {
  /** Of the store that was last given all that it should have; null before the first. */
  let identity: string | null = null
  /** Null: it is to be asked who it is, before anything else. */
  let current: Pins | null = null
  let returning: Promise<Pins> | null = null

  function settle(): Promise<Pins> {
    returning ??= comeBack().finally(() => {
      returning = null
    })
    return returning
  }

  async function comeBack(): Promise<Pins> {
    for (let round = 0; round < rounds; round++) {
      const found = await store.identity()
      const pins = store.pinsIn(found)
      try {
        // What is known here the first one has told itself; given back, what was released meanwhile would come to life again.
        const isAnother = identity !== null && found !== identity
        await restore(pins, isAnother ? [...known.all()] : keptBack(), isAnother)
      } catch (error) {
        if (error instanceof AnotherStore) continue
        throw error
      }
      identity = found
      current = pins
      return pins
    }
    throw new GatewayError('store_unavailable', {
      detail: 'The store of pins changes faster than it can be given back what it lost. Try again.',
    })
  }

  /** What the store could not be told: pins made without it, and those in use whose touches did not reach it. */
  function keptBack(): KnownPin[] {
    const held = [...known.held].filter((pin) => !pin.over && pin.trustedUntilMs <= now())
    return [...new Set([...known.hashed, ...known.dirty, ...held])]
  }

  async function restore(pins: Pins, remembered: readonly KnownPin[], isAnother: boolean): Promise<void> {
    const counts = { written: 0, stands: 0, replaced: 0, over: 0, conflict: 0 }
    const sentMs = now()
    for (let from = 0; from < remembered.length; from += batchSize) {
      const batch = remembered.slice(from, from + batchSize).filter(({ over }) => !over)
      const answers = await pins.restore(batch.map(toRemembered))
      batch.forEach((pin, index) => learn(pin, answers[index]!, sentMs))
      for (const { kind } of answers) counts[kind] += 1
    }
    const { written, stands, replaced, over, conflict } = counts
    // An absence after which there was nothing to say is told by `store_found` already.
    if (isAnother ? remembered.length > 0 : written + replaced + conflict > 0)
      events.emit('pins_restored', { isAnother, written, stood: stands, replaced, over, conflicts: conflict })
  }

  function learn(pin: KnownPin, answer: RestoreAnswer, sentMs: number): void {
    known.confirmed(pin)
    if (pin.over) return
    if (answer.kind === 'over') return known.forget(pin)
    const trustedUntilMs = sentMs + trustMs(life)
    if (answer.kind !== 'conflict') return known.trust(pin, trustedUntilMs)
    events.emit('pin_conflict', { job: pin.job, kept: answer.pin.upstreamId, dropped: pin.upstreamId })
    known.remember(answer.pin, { now: now(), trustedUntilMs })
  }

  /** @throws GatewayError store_unavailable */
  async function call<T>(verb: (pins: Pins) => Promise<T>): Promise<T> {
    for (let round = 0; round < rounds; round++) {
      const pins = current ?? (await soon(settle()))
      try {
        return await verb(pins)
      } catch (error) {
        // Also after an absence: what it could not be told comes first.
        if (pins === current) current = null
        if (!(error instanceof AnotherStore)) throw error
      }
    }
    throw stillReturning()
  }

  const { pins } = store
  return {
    pins: {
      pin: (request) => call((pins) => pins.pin(request)),
      move: (request) => call((pins) => pins.move(request)),
      use: (jobId, upstreamId) => call((pins) => pins.use(jobId, upstreamId)),
      touch: (touches) => call((pins) => pins.touch(touches)),
      release: (jobId, onlyOn) => call((pins) => pins.release(jobId, onlyOn)),
      read: (jobId) => call((pins) => pins.read(jobId)),
      restore: (remembered) => call((pins) => pins.restore(remembered)),
      // What these find is not decided by.
      sweep: (limit) => pins.sweep(limit),
      counts: () => pins.counts(),
      lanes: () => pins.lanes(),
      scan: (after) => pins.scan(after),
    },

    async check() {
      if ((await store.identity()) !== identity) current = null
      if (current === null) await settle()
    },
  }
}

async function soon<T>(answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(stillReturning()), patienceMs)
  })
  try {
    return await Promise.race([answer, late])
  } finally {
    clearTimeout(timer)
  }
}

function stillReturning(): GatewayError {
  return new GatewayError('store_unavailable', {
    detail: 'Redis is being given back the pins that it has lost. Try again.',
  })
}
