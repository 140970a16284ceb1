// Stops asking a Redis that is too slow: after some calls in a row without an answer in time, calls fail at once for a
// while; then one is let through to see. Failing fast needs no breaker: an error is an answer. Pure but for its clock.

const callsInRow = 3
const firstPauseMs = 250
const longestPauseMs = 2000

export type Breaker = {
  /** null: fail at once. Else the call, of which exactly one of its ends is told. */
  enter(): BreakerCall | null
  /** There is a new connection, so the next call may look at once. */
  lookAgain(): void
}

export type BreakerCall = {
  answered(): void
  timedOut(): void
  /** Neither: the connection went away. */
  lost(): void
}

/** @param now  milliseconds, monotonic */
export function makeBreaker(now: () => number): Breaker {
  let timeouts = 0
  let pauseMs = 0
  let pausedUntilMs = 0
  let isLooking = false

  function close(): void {
    timeouts = 0
    pauseMs = 0
    isLooking = false
  }

  function pause(forMs: number): void {
    pauseMs = Math.min(forMs, longestPauseMs)
    pausedUntilMs = now() + pauseMs
    isLooking = false
  }

  const usual: BreakerCall = {
    answered: close,
    timedOut() {
      timeouts += 1
      if (timeouts >= callsInRow && pauseMs === 0) pause(firstPauseMs)
    },
    lost() {},
  }
  const look: BreakerCall = {
    answered: close,
    timedOut: () => pause(2 * pauseMs),
    lost() {
      isLooking = false
    },
  }

  return {
    enter() {
      if (pauseMs === 0) return usual
      if (isLooking || now() < pausedUntilMs) return null
      isLooking = true
      return look
    },

    lookAgain() {
      pausedUntilMs = now()
    },
  }
}
