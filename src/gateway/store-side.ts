// All of a gateway that speaks to the store: the fleet as published, the pins that it remembers, follows and gives back, and
// what it says of itself. The rest of the gateway asks here.

import { isGatewayError } from '../errors.ts'
import type { Events } from '../events.ts'
import { startLoop, type Loop } from '../loop.ts'
import { makeFleetView } from '../routing/fleet-view.ts'
import { makeFollowing } from '../routing/follow.ts'
import { makeHash, type StoreDown } from '../routing/hash.ts'
import { makeKnownPins } from '../routing/known-pins.ts'
import { makePinning } from '../routing/pin.ts'
import type { Refused } from '../routing/pin-refusals.ts'
import { makeSteadyPins } from '../routing/steady-pins.ts'
import { makeTouches } from '../routing/touches.ts'
import type { TrafficStore } from '../store/store.ts'
import type { Target } from '../types.ts'
import { makeHeartbeat } from './heartbeat.ts'
import type { GatewaySettings } from './settings.ts'
import type { UpstreamLoad } from './upstream-load.ts'

type Parts = {
  readonly gatewayId: string
  readonly settings: GatewaySettings
  readonly store: TrafficStore
  readonly load: UpstreamLoad
  /** Upstreams that take no new job from this gateway now. */
  readonly refused: () => Refused
  /** Where other machines reach this one, told to the other gateways. */
  readonly listeners: () => readonly Target[]
  readonly events: Events
  /** Monotonic milliseconds. */
  readonly now: () => number
}

const everyMs = 1000
/** Of first tunnels the other gateways hear within this. */
const firstUseMs = 100

export type StoreSide = ReturnType<typeof makeStoreSide>

export function makeStoreSide(parts: Parts) {
  const { gatewayId, settings, store, load, refused, listeners, events, now } = parts
  const { life } = settings
  const known = makeKnownPins({ limit: settings.knownPins, gatewayId })
  const fleet = makeFleetView({ snapshots: store.snapshots, events })
  const steady = makeSteadyPins({ store, known, life, events, now })
  const { pins } = steady
  const following = makeFollowing({ gatewayId, feed: store.feed, pins, known, life, now })
  const heartbeat = makeHeartbeat({
    gatewayId,
    heartbeats: store.heartbeats,
    fleet,
    known,
    load,
    events,
    listeners,
    nextBeat: following.nextBeat,
    answered: () => steady.check(),
    now,
  })
  const hash = makeHash({
    known,
    fleet,
    life,
    modeOf: (type) => storeDownOf(settings, type),
    store: () => heartbeat.store(),
    wasWhole: following.wasWhole,
    events,
    now,
  })
  const touches = makeTouches({ pins, known, life, now })
  const pinning = makePinning({
    gatewayId,
    pins,
    known,
    fleet,
    life,
    refused,
    flexTypes: { includes: (type) => settings.flexTypes.includes(type) },
    hash,
    firstUsed: () => loops.firstUses?.wake(),
    events,
    now,
  })
  const loops: { [name: string]: Loop } = {}

  async function tell(send: () => Promise<void>): Promise<void> {
    try {
      await send()
    } catch (error) {
      // What was not sent stays for the next time; the heartbeat says that the store is away.
      if (!isGatewayError(error, 'store_unavailable')) throw error
    }
  }

  return {
    fleet,
    known,
    pinning,

    get storeAnswers(): boolean {
      return heartbeat.storeAnswers
    },

    /** Where the other gateways listen. */
    get otherListeners(): readonly Target[] {
      return heartbeat.otherListeners
    },

    /** What keeps a job that comes now from being served. */
    missing(): string[] {
      const missing = []
      if (fleet.version === 0) missing.push('no fleet is loaded yet')
      if (!heartbeat.storeAnswers) missing.push('the store of pins does not answer')
      else if (!following.wasComplete) missing.push('the pins of the fleet are not read yet')
      return missing
    },

    /** Reads the fleet and its pins now, rather than with the next heartbeat. */
    async beat(): Promise<void> {
      await heartbeat.beat()
      await following.catchUp()
    },

    /** From here on it beats, touches and follows. */
    start(): void {
      const touchMs = Math.min(everyMs, life.idleMs / 8)
      loops.heartbeat = startLoop('heartbeat', heartbeat.beat, { everyMs, events })
      loops.touches = startLoop('touches', () => tell(touches.flush), { everyMs: touchMs, events })
      loops.firstUses = startLoop('first-uses', () => tell(touches.flushFirst), {
        everyMs,
        gapMs: firstUseMs,
        events,
      })
      loops.follow = startLoop('follow', following.catchUp, { everyMs, events })
      following.start(() => loops.follow?.wake())
    },

    /** The last touches and the sign-off are tried once: the store may be away. */
    async stop(): Promise<void> {
      for (const loop of Object.values(loops)) await loop.stop()
      await tell(touches.flush)
      await heartbeat.signOff().catch(() => undefined)
    },
  }
}

function storeDownOf(
  { storeDown, storeDownByType }: Pick<GatewaySettings, 'storeDown' | 'storeDownByType'>,
  type: string | null,
): StoreDown {
  return type !== null && Object.hasOwn(storeDownByType, type) ? storeDownByType[type]! : storeDown
}
