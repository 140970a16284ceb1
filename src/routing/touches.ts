// Tells the store, in batches, which remembered pins were used or are held by an open tunnel (design 7).

import type { PinLife, Pins, Touch } from '../store/store.ts'
import type { KnownPin, KnownPins } from './known-pins.ts'
import { holdEveryMs, trustMs } from './pin-life.ts'

/** Pins in one call: a script of 500 keeps Redis busy for about a millisecond. */
const batchSize = 500

type Parts = {
  readonly pins: Pins
  readonly known: KnownPins
  readonly life: PinLife
  readonly now: () => number
}

export function makeTouches({ pins, known, life, now }: Parts) {
  /** Held and not used since: due once a quarter of the idle time has passed. */
  function due(): KnownPin[] {
    const trustLeftMs = trustMs(life) - holdEveryMs(life)
    const held = [...known.held].filter((pin) => !pin.over && pin.trustedUntilMs - now() <= trustLeftMs)
    return [...new Set([...known.dirty, ...held])]
  }

  async function send(batch: readonly KnownPin[]): Promise<void> {
    const sentMs = now()
    const touches = batch.map(toTouch)
    for (const pin of batch) known.sent(pin)
    try {
      const stands = await pins.touch(touches)
      batch.forEach((pin, index) => learn(pin, touches[index]!, stands[index]!, sentMs))
    } catch (error) {
      // Perhaps it has arrived all the same; a touch that comes twice does no harm.
      for (const pin of batch) if (!pin.over) known.dirty.add(pin)
      throw error
    }
  }

  function learn(pin: KnownPin, touch: Touch, stands: boolean, sentMs: number): void {
    if (stands) {
      known.trust(pin, sentMs + trustMs(life))
      if (touch.tell) pin.toldMs = sentMs
    } else if (pin.upstreamId === touch.upstreamId && !pin.moving) known.forget(pin)
  }

  /** The others keep what they have heard of for the idle time; a lost notice or two must not end that. */
  function toTouch(pin: KnownPin): Touch {
    const { job, upstreamId, standing, toldMs } = pin
    const touch = { jobId: job.id, upstreamId, used: standing === 'used' }
    return now() - toldMs >= holdEveryMs(life) ? { ...touch, tell: true } : touch
  }

  async function sendAll(pending: readonly KnownPin[]): Promise<void> {
    for (let from = 0; from < pending.length; from += batchSize)
      await send(pending.slice(from, from + batchSize))
  }

  return {
    /** @throws GatewayError store_unavailable; what was not sent stays for the next time */
    async flush(): Promise<void> {
      known.forgetIdle(now() - life.idleMs)
      await sendAll(due())
    },

    /** Only those whose first tunnel has opened, so that the other gateways hear of it at once. @throws as `flush` */
    async flushFirst(): Promise<void> {
      await sendAll([...known.firstUsed])
    },
  }
}
