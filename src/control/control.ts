// The control plane of one process, put together: fills the fleet from the provider and keeps it published.

import type { Events } from '../events.ts'
import { startLoop, type Loop } from '../loop.ts'
import type { Instance, Provider } from '../provider/provider.ts'
import { makeStorePresence } from '../store-presence.ts'
import type { TrafficStore } from '../store/store.ts'
import type { Restriction, Upstream } from '../types.ts'
import { makePublisher } from './publish.ts'

/** Expired pins that one pass removes; each pin call removes a few more. */
const sweepLimit = 500

type Parts = {
  readonly provider: Provider
  /** Instances to create where the provider makes them; null where its list is all there is. */
  readonly wanted: number | null
  readonly labels: readonly { readonly [label: string]: string }[]
  readonly restrictions: readonly Restriction[]
  readonly store: TrafficStore
  readonly events: Events
}

export type Control = ReturnType<typeof makeControl>

export function makeControl({ provider, wanted, labels, restrictions, store, events }: Parts) {
  const publisher = makePublisher({ snapshots: store.snapshots, events })
  const presence = makeStorePresence(events)
  let loops: Loop[] = []

  /** Upstreams on this machine end with us, so whatever is there was left by a process that could not clean up. */
  async function createAll(count: number): Promise<Instance[]> {
    for (const leftover of await provider.list()) await provider.delete(leftover.id)
    const names = Array.from({ length: count }, (_, index) => `${provider.name}-${index + 1}`)
    return Promise.all(names.map((name, index) => provider.create({ name, labels: labels[index] ?? {} })))
  }

  async function pass(): Promise<void> {
    await publisher.pass()
    await store.pins.sweep(sweepLimit)
  }

  return {
    publisher,

    /** @throws ProviderError */
    async start(): Promise<void> {
      loops = [startLoop('control', () => presence.during(pass), { everyMs: 1000, events })]
      const instances = wanted === null ? await provider.list() : await createAll(wanted)
      const upstreams = instances.map((instance) => toUpstream(instance, provider.name))
      // Where the store is away, a later pass publishes it.
      await presence.during(() => publisher.set({ upstreams, restrictions }))
    },

    async stop(): Promise<void> {
      for (const loop of loops) await loop.stop()
      await provider.close()
    },
  }
}

function toUpstream(instance: Instance, provider: string): Upstream {
  return { ...instance, provider, state: 'running', ejected: false, quarantined: false }
}
