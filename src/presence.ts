// Whether a store answers, as the background passes of a process find it. Published when it changes, not with
// each pass: an hour without Redis is two log lines, not thousands.

import { isControlError, isGatewayError } from './errors.ts'
import type { Events } from './events.ts'

export type Presence = {
  readonly answers: boolean
  /** Runs a pass that speaks to the store. Never throws that it is away; any other error is the caller's. */
  during(pass: () => Promise<unknown>): Promise<void>
}

type Signs = {
  /** What is to be said where the error means that the store is away; null where it means something else. */
  readonly absence: (error: unknown) => string | null
  readonly lost: (detail: string) => void
  readonly found: () => void
}

/** The store of pins. */
export function makeStorePresence(events: Events): Presence {
  return makePresence({
    absence: (error) => (isGatewayError(error, 'store_unavailable') ? error.fields.detail : null),
    lost: (detail) => events.emit('store_lost', { detail }),
    found: () => events.emit('store_found'),
  })
}

/** PostgreSQL, or what stands for it. */
export function makeDatabasePresence(events: Events): Presence {
  return makePresence({
    absence: (error) => (isControlError(error, 'database_unavailable') ? error.detail : null),
    lost: (detail) => events.emit('database_lost', { detail }),
    found: () => events.emit('database_found'),
  })
}

function makePresence({ absence, lost, found }: Signs): Presence {
  let answers = true

  return {
    get answers() {
      return answers
    },

    async during(pass) {
      try {
        await pass()
        if (!answers) found()
        answers = true
      } catch (error) {
        const detail = absence(error)
        if (detail === null) throw error
        if (answers) lost(detail)
        answers = false
      }
    },
  }
}
