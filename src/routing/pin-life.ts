// How long a remembered pin may be used without asking the store (design 7). Pure.

import type { PinLife } from '../store/store.ts'
import type { KnownPin } from './known-pins.ts'

/**
 * From the send time of an acknowledged touch. 30 s less than the idle time, so that the pin still stands in
 * the store when the next touch arrives; a quarter less where the idle time is short (tests, short jobs).
 */
export function trustMs({ idleMs }: PinLife): number {
  return idleMs - Math.min(30_000, idleMs / 4)
}

/** Pins held by an open tunnel are touched this often, used or not. */
export function holdEveryMs({ idleMs }: PinLife): number {
  return idleMs / 4
}

/** Whether the pin would still stand if every use had reached the store. */
export function isPinned(pin: KnownPin, { idleMs }: PinLife, now: number): boolean {
  return pin.tunnels > 0 || now < pin.lastUseMs + idleMs
}
