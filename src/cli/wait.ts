// Waiting for something that the API only begins: look, show, look again. Without end, unless one is asked for. A moment
// without answer is waited out, and shown; a refusal ends it.

import type { Clock } from './command.ts'
import { ApiError, isMomentary, type Failure } from './failure.ts'
import type { ProgressLine, Show } from './progress.ts'
import { plain } from './table.ts'

export type Look<T> = {
  readonly lines: readonly ProgressLine[]
  /** Null: not yet. */
  readonly result: T | null
}

export type Waiting = {
  readonly show: Show
  readonly clock: Clock
  /** Null: as long as it takes. */
  readonly withinMs: number | null
}

/** Often enough for a clock that counts down. */
const everyMs = 1000

/**
 * @returns what came of it; null where the time was over first
 * @throws ApiError where the API refuses
 */
export async function waitFor<T>(
  look: () => Promise<Look<T>>,
  { show, clock, withinMs }: Waiting,
): Promise<T | null> {
  const deadline = clock.now() + (withinMs ?? Infinity)
  let lines: readonly ProgressLine[] = []
  for (;;) {
    const seen = await look().catch(waitedOut)
    if ('lines' in seen) lines = seen.lines
    show('lines' in seen ? lines : [...lines, seen])
    if ('lines' in seen && seen.result !== null) return seen.result
    const leftMs = deadline - clock.now()
    if (leftMs <= 0) return null
    await clock.delay(Math.min(everyMs, leftMs))
  }
}

function waitedOut(error: unknown): ProgressLine {
  if (error instanceof ApiError && isMomentary(error.failure))
    return { subject: 'admin API', text: `no answer (${whyNot(error.failure)}); waiting for it` }
  throw error
}

function whyNot(failure: Failure): string {
  switch (failure.kind) {
    case 'unreachable':
      return plain(failure.cause)
    case 'timeout':
      return 'silent'
    case 'refused':
      return `${failure.status} ${plain(failure.problem.code)}`
    case 'foreign':
      return String(failure.status)
  }
}
