// Bounds that every adapter keeps alike. Parameters where a store is opened, so that a test can use small ones.

export type StoreLimits = {
  /** Rings in use at once; a client that makes up lanes must not fill the store. */
  readonly maxLanes: number
  /** Pins at once; a client that makes up jobs must not fill the store either. */
  readonly maxPins: number
  /** A ring that nobody used for this long is forgotten. */
  readonly laneUnusedMs: number
  /** Expired pins removed by each call that pins. */
  readonly sweptPerPin: number
  /** The report of a gateway that is silent for this long is forgotten. Longer than any drain deadline. */
  readonly reportKeptMs: number
  /** Reports of jobs that wait to be written down, while there is no control, say. */
  readonly waitingReports: number
}

const dayMs = 24 * 60 * 60 * 1000

export const storeLimits: StoreLimits = {
  maxLanes: 10_000,
  maxPins: 1_000_000,
  laneUnusedMs: dayMs,
  sweptPerPin: 4,
  reportKeptMs: dayMs,
  waitingReports: 10_000,
}
