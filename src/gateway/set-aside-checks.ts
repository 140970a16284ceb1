// Upstreams that were set aside are looked at each second: does it take a connection again? So new jobs come back to one
// within seconds of its return, and none of them has to find out that it is still dead (design 9 would let one try
// every ten seconds; where no machine answers, that one waits for three of them in turn).

import { isGatewayError } from '../errors.ts'
import type { Upstream } from '../types.ts'
import type { ConnectFailures } from './connect-failures.ts'

export type SetAsideChecks = ReturnType<typeof makeSetAsideChecks>

/** In one pass; the others wait until their time is over. */
const mostAtOnce = 50

export function makeSetAsideChecks(parts: {
  readonly failures: ConnectFailures
  /** Null: it has left the fleet. */
  readonly upstream: (id: string) => Upstream | null
  /** Resolves when the upstream has taken a connection, which is closed again. @throws GatewayError, as `dial` does */
  readonly tryConnect: (upstream: Upstream, signal: AbortSignal) => Promise<void>
}) {
  const { failures, upstream, tryConnect } = parts
  const over = new AbortController()

  async function check(id: string): Promise<void> {
    const known = upstream(id)
    if (known === null || over.signal.aborted) return
    try {
      await tryConnect(known, over.signal)
      failures.succeeded(id)
    } catch (error) {
      if (over.signal.aborted) return
      // Ours, such as no socket left, says nothing of the upstream.
      if (!isGatewayError(error)) throw error
      if (error.fields.blame === 'connect') failures.failed(id)
    }
  }

  return {
    async pass(): Promise<void> {
      await Promise.all(failures.refused().slice(0, mostAtOnce).map(check))
    },

    /** Ends what is under way. */
    stop(): void {
      over.abort()
    },
  }
}
