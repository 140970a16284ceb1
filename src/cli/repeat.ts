// When a change is asked for again, with the same Idempotency-Key: only where waiting a moment may help. Pure.

import type { Failure } from './failure.ts'

/** Before the second and the third try, where the answer names no time. */
const pausesMs = [200, 1000]
/** Whoever asks for longer is told to the person at the terminal instead. */
const longestPauseMs = 3000

/** @param tries  made so far @returns null where it is not repeated */
export function pauseBeforeRepeat(failure: Failure, tries: number): number | null {
  const pauseMs = pausesMs[tries - 1]
  if (pauseMs === undefined || !mayPass(failure)) return null
  const askedMs = failure.kind === 'refused' ? (failure.retryAfterS ?? 0) * 1000 : 0
  return askedMs > longestPauseMs ? null : Math.max(pauseMs, askedMs)
}

function mayPass(failure: Failure): boolean {
  if (failure.kind === 'unreachable') return true
  if (failure.kind === 'timeout') return false
  if (failure.status === 503) return true
  return failure.kind === 'refused' && failure.problem.code === 'idempotency_in_flight'
}
