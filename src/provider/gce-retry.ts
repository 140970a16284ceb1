// Tries a call again that failed for a reason that may pass. Google's client tries nothing again that makes or ends a
// machine, and other calls in its own time and manner; so its retries are off, and these are all there are.

import { isProviderError } from './provider.ts'

export type Delay = (ms: number, signal?: AbortSignal) => Promise<void>

type Patience = {
  /** Tries after the first. */
  readonly retries: number
  readonly delay: Delay
  /** From 0 up to, not including, 1. */
  readonly random: () => number
  readonly signal: AbortSignal | undefined
}

/** Compute Engine counts calls per minute. */
const firstWaitMs = { unavailable: 500, rate_limited: 3000 }
const longestWaitMs = 20_000

/** @throws what the last try threw; the signal's reason */
export async function retrying<T>(call: () => Promise<T>, patience: Patience): Promise<T> {
  const { retries, delay, random, signal } = patience
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await call()
    } catch (error) {
      signal?.throwIfAborted()
      const waitMs = waitAfter(error, attempt, random())
      if (waitMs === null || attempt >= retries) throw error
      await delay(waitMs, signal)
    }
  }
}

/** Twice as long each time, less up to a half of it, so that many do not come back together. Null: it will not pass. */
export function waitAfter(error: unknown, attempt: number, chance: number): number | null {
  if (!isProviderError(error, 'unavailable', 'rate_limited')) return null
  const firstMs = firstWaitMs[error.code as keyof typeof firstWaitMs]
  return Math.min(longestWaitMs, firstMs * 2 ** attempt) * (1 - chance / 2)
}
