// Follows the pins of all gateways, so that any job is known here while the store is away (design 7): what is told on the
// feed from the subscription on, and, read once after it, what was there before. A gateway's own beat comes back on the
// feed too: then all that was told before it has been heard.

import { isGatewayError } from '../errors.ts'
import type { Feed, Notice, PinLife, Pins } from '../store/store.ts'
import type { Pin } from '../types.ts'
import type { KnownPins } from './known-pins.ts'

/** The echo of a beat may be on its way while the store falls silent. */
const echoMs = 2500

type Parts = {
  readonly gatewayId: string
  readonly feed: Feed
  readonly pins: Pick<Pins, 'scan'>
  readonly known: KnownPins
  readonly life: PinLife
  /** Monotonic milliseconds. */
  readonly now: () => number
}

export type Following = ReturnType<typeof makeFollowing>

export function makeFollowing({ gatewayId, feed, pins, known, life, now }: Parts) {
  /** Raised with each subscription and each loss: a scan that is out of date ends. */
  let round = 0
  /** Null: nothing is being read. */
  let toldWhileReading: Set<string> | null = null
  let mustRead = false
  let isComplete = false
  let wasComplete = false
  let lastBeat = 0
  /** Sending times of our beats whose echo is still awaited. */
  const beats = new Map<number, number>()
  let wholeUntilMs = -Infinity

  function hear(notice: Notice): void {
    switch (notice.kind) {
      case 'pinned':
        toldWhileReading?.add(notice.pin.job.id)
        // What this gateway has done itself it knows better; what it was not answered it may not count on.
        if (notice.pin.freshBy !== gatewayId) known.follow(notice.pin, { now: now() })
        return
      case 'touched':
        for (const touch of notice.touches) known.followTouch(touch, now())
        return
      case 'released':
        toldWhileReading?.add(notice.jobId)
        return forget(notice.jobId, notice.pinnedAtMs)
      case 'beat':
        if (notice.gatewayId === gatewayId) hearOwn(notice.beats)
    }
  }

  function forget(jobId: string, pinnedAtMs: number): void {
    const pin = known.get(jobId)
    // Not a pin made since: a notice may be late.
    if (pin?.pinnedAtMs === pinnedAtMs) known.forget(pin)
  }

  function hearOwn(which: number): void {
    const sentMs = beats.get(which)
    if (sentMs === undefined) return
    for (const beat of beats.keys()) if (beat <= which) beats.delete(beat)
    if (isComplete) wholeUntilMs = sentMs
  }

  async function readAll(): Promise<void> {
    const begun = round
    const told = new Set<string>()
    toldWhileReading = told
    let after: string | null = null
    do {
      const part: Awaited<ReturnType<Pins['scan']>> = await pins.scan(after)
      if (begun !== round) return
      for (const pin of part.pins) if (!told.has(pin.job.id)) takeIn(pin, part.nowMs)
      after = part.next
    } while (after !== null)
    toldWhileReading = null
    mustRead = false
    isComplete = true
    wasComplete = true
  }

  /** The end of its life, by the store's clock, tells when it was used last. */
  function takeIn(pin: Pin, storeNowMs: number): void {
    const leftMs = pin.expiresAtMs - storeNowMs
    if (leftMs <= 0) return
    known.follow(pin, { now: now(), lastUseMs: now() - Math.max(0, life.idleMs - leftMs) })
  }

  return {
    /** @param toRead  called when `catchUp` has something to do */
    start(toRead: () => void): void {
      feed.follow({
        heard: hear,
        subscribed() {
          round += 1
          mustRead = true
          known.regainSight()
          toRead()
        },
        lost() {
          round += 1
          known.loseSight()
          mustRead = false
          isComplete = false
          toldWhileReading = null
          beats.clear()
        },
      })
    },

    /** A beat is about to be sent. @returns its number, to be told with it */
    nextBeat(): number {
      lastBeat += 1
      // Echoes that never come must not gather.
      if (beats.size >= 10) beats.clear()
      beats.set(lastBeat, now())
      return lastBeat
    },

    /** Reads all pins where that is still to be done. Never throws `store_unavailable`: then it is done with the next call. */
    async catchUp(): Promise<void> {
      if (!mustRead || toldWhileReading !== null) return
      try {
        await readAll()
      } catch (error) {
        toldWhileReading = null
        if (!isGatewayError(error, 'store_unavailable')) throw error
      }
    },

    /** Whether all pins were read, once. */
    get wasComplete(): boolean {
      return wasComplete
    },

    /** Whether, when the store answered last, all pins were known here: heard of, and none of them forgotten for want of room. */
    wasWhole(answeredMs: number): boolean {
      return answeredMs - wholeUntilMs <= echoMs && answeredMs - known.crowdedMs > life.idleMs
    },
  }
}
