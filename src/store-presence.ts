// Whether the store of pins answers, as the background passes of a process find it. Published when it
// changes, not with each pass: an hour without Redis is two log lines, not thousands.

import { isGatewayError } from './errors.ts'
import type { Events } from './events.ts'

export type StorePresence = ReturnType<typeof makeStorePresence>

export function makeStorePresence(events: Events) {
  let answers = true

  return {
    get answers(): boolean {
      return answers
    },

    /** Runs a pass that speaks to the store. Never throws `store_unavailable`; any other error is the caller's. */
    async during(pass: () => Promise<unknown>): Promise<void> {
      try {
        await pass()
        if (!answers) events.emit('store_found')
        answers = true
      } catch (error) {
        if (!isGatewayError(error, 'store_unavailable')) throw error
        if (answers) events.emit('store_lost', { detail: error.fields.detail })
        answers = false
      }
    },
  }
}
