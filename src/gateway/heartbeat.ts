// Each second this gateway says what it carries, and hears what is published and what the others carry.

import type { Events } from '../events.ts'
import { isWithin, readAddress, readRange, type Range } from '../ip-range.ts'
import type { FleetView } from '../routing/fleet-view.ts'
import type { KnownPins } from '../routing/known-pins.ts'
import { makeStorePresence } from '../presence.ts'
import type { Heartbeats, StoredReport } from '../store/store.ts'
import type { Target } from '../types.ts'
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
  /** Where other machines reach this one. */
  readonly listeners?: () => readonly Target[]
  /** A beat is about to be sent. @returns its number, to be told on the feed */
  readonly nextBeat?: () => number
  /** The store has answered: what is to be asked or told before anything else. */
  readonly answered?: () => Promise<void>
  /** Monotonic milliseconds. */
  readonly now: () => number
}

export type Heartbeat = ReturnType<typeof makeHeartbeat>

export function makeHeartbeat(parts: Parts) {
  const { gatewayId, heartbeats, fleet, known, load, events, listeners, nextBeat, answered, now } = parts
  const presence = makeStorePresence(events)
  /** Sending time of the last beat that was answered, and what the store's clock showed then. */
  let last = { answeredMs: -Infinity, storeMs: 0 }
  let otherListeners: readonly Target[] = []

  async function exchange(): Promise<void> {
    const sentMs = now()
    const { version, nowMs, others } = await heartbeats.beat({
      id: gatewayId,
      version: fleet.version,
      tunnels: Object.fromEntries(load.own),
      pins: Object.fromEntries(known.byUpstream),
      ...(listeners && { listeners: listeners() }),
      ...(nextBeat && { beats: nextBeat() }),
    })
    last = { answeredMs: sentMs, storeMs: nowMs }
    await answered?.()
    otherListeners = others.flatMap((other) => other.listeners ?? [])
    load.learnOthers(tunnelsOf(others.filter(({ sentAtMs }) => nowMs - sentAtMs < reportLifeMs)))
    if (version > fleet.version) await fleet.refresh()
    else if (version < fleet.version) await fleet.publishOwn()
  }

  return {
    get storeAnswers(): boolean {
      return presence.answers
    },

    /** When the store answered last, by our monotonic clock, and what its own clock should show now. */
    store(): { readonly answeredMs: number; readonly nowMs: number } {
      const { answeredMs, storeMs } = last
      return { answeredMs, nowMs: Math.round(storeMs + now() - answeredMs) }
    },

    /** Where the other gateways listen. The same array until the next beat. */
    get otherListeners(): readonly Target[] {
      return otherListeners
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

/** As other machines reach them: a wildcard is every interface, and what is local to this machine is left out. */
export function seenByOthers(listeners: readonly Target[], localAddresses: readonly string[]): Target[] {
  return listeners.flatMap(({ host, port }) => {
    const hosts = isIn(host, everyInterface) ? localAddresses : [host]
    return hosts
      .filter((host) => readAddress(host) && !isIn(host, onlyHere))
      .slice(0, maxInterfaces)
      .map((host) => ({ host, port }))
  })
}

/** A container host may have hundreds; each second all gateways hear of them. */
const maxInterfaces = 16
const everyInterface = ['0.0.0.0', '::'].map(readRange)
const onlyHere = ['127.0.0.0/8', '::1', '169.254.0.0/16', 'fe80::/10'].map(readRange)

function isIn(host: string, ranges: readonly Range[]): boolean {
  const address = readAddress(host)
  return address !== null && ranges.some((range) => isWithin(address, range))
}

function tunnelsOf(reports: readonly StoredReport[]): Map<string, number> {
  const sum = new Map<string, number>()
  for (const { tunnels } of reports) {
    for (const [upstreamId, open] of Object.entries(tunnels))
      sum.set(upstreamId, (sum.get(upstreamId) ?? 0) + open)
  }
  return sum
}
