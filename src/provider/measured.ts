// A provider that also tells how long each of its calls took, and how it ended. The contract is that of the one inside.

import type { Events, Facts } from '../events.ts'
import { isProviderError, type Provider } from './provider.ts'

type Call = Facts['provider_called'][0]
type Parts = {
  readonly events: Events
  /** Monotonic milliseconds. */
  readonly now: () => number
}

export function makeMeasuredProvider(inside: Provider, { events, now }: Parts): Provider {
  async function measured<T>(
    verb: Call['verb'],
    signal: AbortSignal | undefined,
    call: () => Promise<T>,
  ): Promise<T> {
    const startedAt = now()
    let outcome: Call['outcome'] = 'ok'
    try {
      return await call()
    } catch (error) {
      outcome = outcomeOf(error, signal)
      throw error
    } finally {
      events.emit('provider_called', { provider: inside.name, verb, ms: now() - startedAt, outcome })
    }
  }

  return {
    name: inside.name,
    zones: inside.zones,
    place: () => inside.place(),
    draft: (request) => inside.draft(request),
    list: (signal) => measured('list', signal, () => inside.list(signal)),
    read: (ref, signal) => measured('read', signal, () => inside.read(ref, signal)),
    create: (order, signal) => measured('create', signal, () => inside.create(order, signal)),
    ...(inside.resume && {
      resume: (instance, signal) => measured('resume', signal, () => inside.resume!(instance, signal)),
    }),
    delete: (order, signal) => measured('delete', signal, () => inside.delete(order, signal)),
    close: () => inside.close(),
  }
}

function outcomeOf(error: unknown, signal: AbortSignal | undefined): Call['outcome'] {
  // The reason of an abort may be one of the provider's own errors.
  if (isProviderError(error) && error !== signal?.reason) return error.code
  return signal?.aborted ? 'aborted' : 'failed'
}
