// For what has no event to wait on: asks again until it is so.

import { setTimeout as delay } from 'node:timers/promises'

const everyMs = 150

/**
 * @param what       ends the sentence "gave up waiting until ..."
 * @param condition  answers something but null once it holds
 * @throws Error after `withinMs`; the signal's reason
 */
export async function until<T>(
  what: string,
  condition: () => T | null | Promise<T | null>,
  { signal, withinMs = 60_000 }: { readonly signal: AbortSignal; readonly withinMs?: number },
): Promise<T> {
  const deadlineMs = performance.now() + withinMs
  for (;;) {
    const answer = await condition()
    if (answer !== null) return answer
    if (performance.now() > deadlineMs)
      throw new Error(`gave up waiting until ${what} (${withinMs / 1000} s)`)
    await delay(everyMs, undefined, { signal })
  }
}
