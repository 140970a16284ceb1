// Upstreams on Compute Engine: machines made from an instance template, told apart by labels. What is made or deleted has
// happened when the cloud's own read says so, whatever an answer said, or whether it came.

import { setTimeout as sleep } from 'node:timers/promises'
import { makeGceCalls } from './gce-calls.ts'
import { createMachine } from './gce-create.ts'
import { deleteMachine } from './gce-delete.ts'
import { findMachine } from './gce-find.ts'
import { draftOf, instanceOf, type GceNaming, type GceReading } from './gce-instance.ts'
import { listFleet } from './gce-list.ts'
import type { Watch } from './gce-operations.ts'
import type { Delay } from './gce-retry.ts'
import { ProviderError, type Provider } from './provider.ts'

export type GceProviderSettings = GceNaming &
  GceReading & {
    readonly project: string
    /** The name of an instance template, or a full or partial URL of it. */
    readonly template: string
    /** From an order until it is carried out; then it is `unavailable`, and the caller asks again. */
    readonly operationTimeoutMs: number
    /** Another address of the API (`http://host:port` gets no credentials); null is Google's. */
    readonly endpoint: string | null
    /** For one try of one call. */
    readonly callTimeoutMs?: number
    readonly delay?: Delay
    /** From 0 up to, not including, 1. */
    readonly random?: () => number
  }

/** Nothing of Google's is loaded before the first call. */
export function makeGceProvider(settings: GceProviderSettings): Provider {
  const { zones, template, operationTimeoutMs } = settings
  const { callTimeoutMs = 30_000, delay = pause, random = Math.random } = settings
  const calls = makeGceCalls({ ...settings, callTimeoutMs, delay, random })
  const closing = new AbortController()

  function watchUntilTimeout(signal: AbortSignal): Watch {
    const now = () => performance.now()
    return { untilMs: now() + operationTimeoutMs, now, delay, signal }
  }

  /** Known to `close`, which ends it. */
  async function open<T>(signal: AbortSignal | undefined, work: (either: AbortSignal) => Promise<T>) {
    const either = signal ? AbortSignal.any([closing.signal, signal]) : closing.signal
    return work(either)
  }

  return {
    name: 'gce',
    zones,
    place: async () => null,
    draft: (request) => draftOf(request, settings),

    list: (signal) => open(signal, (either) => listFleet({ calls, zones, reading: settings }, either)),

    read: (ref, signal) =>
      open(signal, async (either) => {
        const found = await findMachine(ref, { calls, zones }, either)
        return found && instanceOf(found.instance, found.zone, settings)
      }),

    create: (order, signal) =>
      open(signal, (either) => {
        if (order.zone === null) throw new ProviderError('refused', `"${order.name}" is ordered in no zone.`)
        const parts = { calls, reading: settings, template, watch: watchUntilTimeout(either) }
        return createMachine({ ...order, zone: order.zone }, parts)
      }),

    delete: (order, signal) =>
      open(signal, (either) => deleteMachine(order, { calls, zones, watch: watchUntilTimeout(either) })),

    async close() {
      closing.abort(new ProviderError('unavailable', 'The provider gce is closed.'))
    },
  }
}

async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, signal ? { signal } : {})
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  }
}
