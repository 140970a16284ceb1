// Whether the passes of control find the database. It may answer one and refuse another (read-only, full, a row locked for
// long), and some passes often have nothing to ask: so what one of them could do says nothing of the others, and the
// database is back when each pass that failed has succeeded. An outage is two log lines, however long it is.

import { ControlError, isControlError } from '../errors.ts'
import type { Events } from '../events.ts'
import { makeDatabasePresence } from '../presence.ts'

export type DatabaseWatch = ReturnType<typeof makeDatabaseWatch>

/** Whose last failure is older runs seldom, and is not waited for. Longer than any pass that is refused takes. */
const rememberedMs = 15_000

type Failure = { readonly detail: string; readonly atMs: number }

/** @param now  monotonic milliseconds */
export function makeDatabaseWatch({ events, now }: { readonly events: Events; readonly now: () => number }) {
  const presence = makeDatabasePresence(events)
  const failures = new Map<string, Failure>()

  function forgetOld(): void {
    for (const [name, { atMs }] of failures) if (now() - atMs > rememberedMs) failures.delete(name)
  }

  return {
    /** Why something could not be done; null where nothing is known to be missing. */
    get problem(): string | null {
      forgetOld()
      return [...failures.values()].at(-1)?.detail ?? null
    },

    /** Runs a pass. Never throws that the database is away, or that others are in the way there. */
    async during(name: string, pass: () => Promise<unknown>): Promise<void> {
      try {
        await pass()
      } catch (error) {
        if (!isControlError(error, 'database_unavailable', 'database_busy')) throw error
        failures.set(name, { detail: error.detail, atMs: now() })
        const absence = new ControlError('database_unavailable', error.detail)
        return presence.during(() => Promise.reject(absence))
      }
      failures.delete(name)
      forgetOld()
      if (failures.size === 0) await presence.during(async () => {})
    },
  }
}
