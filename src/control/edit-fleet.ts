// How many upstreams the provider is to keep, as operators and the configuration say. What follows from it is resize.ts.

import { ControlError } from '../errors.ts'
import type { Provider } from '../provider/provider.ts'
import type { FleetContent, FleetRecords, Outcome, Step, UpstreamRecord } from '../store/records.ts'
import type { Asked } from './edit-restrictions.ts'

export type FleetSize = {
  readonly wanted: number | null
  readonly states: {
    readonly [State in 'provisioning' | 'running' | 'draining' | 'deleting' | 'failed']: number
  }
  readonly ejected: number
  readonly quarantined: number
}

type Parts = {
  readonly fleet: Pick<FleetRecords, 'read' | 'change'>
  readonly provider: Pick<Provider, 'name'>
  readonly changed: () => void
}

export function makeFleetEdits({ fleet, provider, changed }: Parts) {
  return {
    async size(): Promise<Outcome<FleetSize>> {
      const content = await fleet.read()
      return { version: content.version, answer: sizeOf(content, content.wantedSize) }
    },

    /** @throws ControlError conflict where the provider makes no machines */
    async resize(wanted: number | null, { author, keep }: Asked<FleetSize>): Promise<Outcome<FleetSize>> {
      if (provider.name === 'static' && wanted !== null) {
        const way = 'list their addresses (STATIC_UPSTREAMS), or register them'
        throw new ControlError('conflict', `The provider static makes no machines: ${way}.`)
      }
      const outcome = await fleet.change<FleetSize>({
        author,
        keep: keep ?? null,
        decide: (content) => ({ steps: resized(content, wanted), answer: sizeOf(content, wanted) }),
      })
      changed()
      return outcome
    },
  }
}

/** What the configuration wants counts where it is new; until then what operators have said since stands. */
export function configuredSize(content: FleetContent, configured: number | null): Step[] {
  if (content.configuredSize === configured) return []
  return [{ kind: 'size_wanted', from: content.wantedSize, to: configured, configured }]
}

function resized({ wantedSize, configuredSize: configured }: FleetContent, to: number | null): Step[] {
  return wantedSize === to ? [] : [{ kind: 'size_wanted', from: wantedSize, to, configured }]
}

function sizeOf({ upstreams }: FleetContent, wanted: number | null): FleetSize {
  const count = (is: (upstream: UpstreamRecord) => boolean) => upstreams.filter(is).length
  const inState = (state: UpstreamRecord['state']) => count((upstream) => upstream.state === state)
  return {
    wanted,
    states: {
      provisioning: inState('provisioning'),
      running: inState('running'),
      draining: inState('draining'),
      deleting: inState('deleting'),
      failed: inState('failed'),
    },
    ejected: count(({ ejected }) => ejected),
    quarantined: count(({ quarantined }) => quarantined),
  }
}
