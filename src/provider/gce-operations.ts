// An operation answers at once, with HTTP 200, and is DONE later: well, or with an error inside.

import type { GceCalls } from './gce-calls.ts'
import type { GceOperation } from './gce-clients.ts'
import { fromOperation, unavailable, type GceError } from './gce-errors.ts'
import type { Delay } from './gce-retry.ts'

/** How long something is looked at again, and how. */
export type Watch = {
  /** By `now`. */
  readonly untilMs: number
  readonly now: () => number
  readonly delay: Delay
  readonly signal: AbortSignal | undefined
}

const firstPauseMs = 200
const longestPauseMs = 5000

/**
 * Resolves once it is DONE, or forgotten by the cloud.
 * @param what  `make NAME in ZONE`
 * @throws GceError what it failed with; unavailable where it still runs at the end of the watch
 */
export async function finished(
  operation: GceOperation,
  { calls, zone, what, watch }: { calls: Pick<GceCalls, 'wait'>; zone: string; what: string; watch: Watch },
): Promise<void> {
  const name = operation.name ?? ''
  const last = await watched(watch, async (leftMs) => {
    if (operation.status === 'DONE') return operation
    const found = await calls.wait({ zone, operation: name, atMostMs: leftMs }, watch.signal)
    if (found === null) return 'forgotten'
    operation = found
    return found.status === 'DONE' ? found : null
  })
  if (last === null) throw unavailable(what, `its operation ${name} still runs; it is asked for again`)
  const failure = last === 'forgotten' ? null : failureOf(last, what)
  if (failure) throw failure
}

/** Null: it did not fail, or is not over. */
export function failureOf(operation: GceOperation, what: string): GceError | null {
  if (operation.status !== 'DONE') return null
  const status = operation.httpErrorStatusCode || null
  const [fault] = operation.error?.errors ?? []
  if (!fault && status === null) return null
  return fromOperation(fault ?? {}, status ?? 500, what)
}

/**
 * Asks again, in growing pauses, until there is an answer.
 * @returns null where there is none at the end of the watch
 */
export async function watched<T>(
  { untilMs, now, delay, signal }: Watch,
  ask: (leftMs: number) => Promise<T | null>,
): Promise<T | null> {
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(longestPauseMs, pauseMs * 1.5)) {
    const answer = await ask(untilMs - now())
    if (answer !== null) return answer
    if (now() + pauseMs > untilMs) return null
    await delay(pauseMs, signal)
  }
}
