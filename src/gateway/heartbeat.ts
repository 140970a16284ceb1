// Each second this gateway says what it carries, and hears what is published and what the others carry.

import type { Events } from '../events.ts'
import type { FleetView } from '../routing/fleet-view.ts'
import type { KnownPins } from '../routing/known-pins.ts'
import { makeStorePresence } from '../presence.ts'
import type { Heartbeats, StoredReport } from '../store/store.ts'
import type { UpstreamLoad } from './upstream-load.ts'

/** A gateway that said nothing for so long no longer counts against the tunnel caps; a drain still waits for it. */
const reportLifeMs = 30_000

type Parts = {
  readonly gatewayId: string
  readonly heartbeats: Heartbeats
  readonly fleet: FleetView
  readonly known: KnownPins
  readonly load: UpstreamLoad
  readonly events: Events
}

export type Heartbeat = ReturnType<typeof makeHeartbeat>

export function makeHeartbeat({ gatewayId, heartbeats, fleet, known, load, events }: Parts) {
  const presence = makeStorePresence(events)

  async function exchange(): Promise<void> {
    const { version, nowMs, others } = await heartbeats.beat({
      id: gatewayId,
      version: fleet.version,
      tunnels: Object.fromEntries(load.own),
      pins: Object.fromEntries(known.byUpstream),
    })
    load.learnOthers(tunnelsOf(others.filter(({ sentAtMs }) => nowMs - sentAtMs < reportLifeMs)))
    if (version > fleet.version) await fleet.refresh()
    else if (version < fleet.version) await fleet.publishOwn()
  }

  return {
    get storeAnswers(): boolean {
      return presence.answers
    },

    /** Never throws `store_unavailable`: that the store is away is published once, and once that it is back. */
    beat(): Promise<void> {
      return presence.during(exchange)
    },

    async signOff(): Promise<void> {
      await heartbeats.signOff(gatewayId)
    },
  }
}

function tunnelsOf(reports: readonly StoredReport[]): Map<string, number> {
  const sum = new Map<string, number>()
  for (const { tunnels } of reports) {
    for (const [upstreamId, open] of Object.entries(tunnels))
      sum.set(upstreamId, (sum.get(upstreamId) ?? 0) + open)
  }
  return sum
}
