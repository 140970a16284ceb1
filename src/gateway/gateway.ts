// The data plane of one process, put together: what `main` starts and stops.

import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { isGatewayError } from '../errors.ts'
import type { Events } from '../events.ts'
import { startLoop, type Loop } from '../loop.ts'
import { makeFleetView } from '../routing/fleet-view.ts'
import { makeFollowing } from '../routing/follow.ts'
import { makeHash, type StoreDown } from '../routing/hash.ts'
import { readIdentity, type Identity } from '../routing/job.ts'
import { makeKnownPins } from '../routing/known-pins.ts'
import { makePinning } from '../routing/pin.ts'
import { makeSteadyPins } from '../routing/steady-pins.ts'
import type { TargetGuard } from '../routing/target-guard.ts'
import { makeTouches } from '../routing/touches.ts'
import type { PinLife, TrafficStore } from '../store/store.ts'
import type { Job, NamedToken, Target, TokenKey, Upstream } from '../types.ts'
import { makeCertificate, type TlsFiles } from './certificate.ts'
import { makeConnect } from './connect.ts'
import { makeConnectFailures } from './connect-failures.ts'
import { connectTcp, dial } from './dial.ts'
import { makeForward } from './forward.ts'
import { checkHead } from './head.ts'
import { makeHeapGuard, type HeapSource } from './heap-guard.ts'
import { makeHeartbeat } from './heartbeat.ts'
import { makeJobApi } from './job-api.ts'
import { makeLaneTargets, type LaneTargets } from './lane-targets.ts'
import { makeOpenTunnel } from './open-tunnel.ts'
import { makeOwnLag } from './own-lag.ts'
import { makeRequestStory } from './request.ts'
import type { Resolver } from './resolver.ts'
import { makeGatewayServer } from './server.ts'
import { makeSetAsideChecks } from './set-aside-checks.ts'
import { makeSources } from './sources.ts'
import { makeTargetWaits } from './target-waits.ts'
import { makeTunnelLimits } from './tunnel-limits.ts'
import { makeTunnels } from './tunnels.ts'
import { makeUpgrade } from './upgrade.ts'
import { makeUpstreamLoad } from './upstream-load.ts'
import { refuseLoop } from './via.ts'

/**
 * Read where they are used, and copied by nobody: a reload changes those that need no restart, between two turns of the
 * event loop.
 */
export type GatewaySettings = {
  readonly tokens: readonly NamedToken[]
  /** Of job tokens; the first one signs. */
  readonly tokenKeys: readonly TokenKey[]
  readonly allowSources: readonly string[]
  readonly maxTunnels: number
  /** Null: no limit of its own. */
  readonly tunnelsPerJob: number | null
  readonly tunnelsPerToken: number | null
  readonly maxConnections: number
  readonly maxLagMs: number
  readonly maxHeapPercent: number
  readonly connectionsPerSource: number
  readonly headsPerSource: number
  readonly tls: TlsFiles | null
  /** The name in `Via`; null adds none. */
  readonly via: string | null
  readonly headTimeoutMs: number
  readonly headBytes: number
  readonly headLines: number
  readonly keepAliveMs: number
  readonly stopGraceMs: number
  readonly earlyBytes: number
  readonly tunnelIdleMs: number
  readonly tunnelMaxLifeMs: number
  readonly connectTimeoutMs: number
  readonly replyTimeoutMs: number
  readonly tunnelsPerUpstream: number
  readonly failedConnects: number
  readonly refuseMs: number
  readonly knownPins: number
  readonly flexTypes: readonly string[]
  /** What a job that no pin is known of gets while the store is away, and where that differs by job type. */
  readonly storeDown: StoreDown
  readonly storeDownByType: { readonly [type: string]: StoreDown }
  readonly life: PinLife
}

type Parts = {
  readonly gatewayId: string
  readonly settings: GatewaySettings
  readonly store: TrafficStore
  readonly resolver: Resolver | null
  /** Made for the fleet that this gateway sees, since targets may not be upstreams. */
  readonly makeGuard: (fleet: () => readonly Target[], gateways: () => readonly Target[]) => TargetGuard
  /** Where other machines reach this one, told to the other gateways. */
  readonly listeners?: () => readonly Target[]
  readonly credentialsOf: (upstream: Upstream) => string | null
  readonly events: Events
  readonly heap: HeapSource
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Milliseconds since 1970, which job tokens expire by. */
  readonly wallClock: () => number
}

/** For the ends of tunnels that were just reset. */
const lastWordsMs = 1000
/** Of first tunnels the other gateways hear within this. */
const firstUseMs = 100
/** A new certificate is found within this. */
const reloadMs = 2000

export type Gateway = ReturnType<typeof makeGateway>

export function makeGateway({
  gatewayId,
  settings,
  store,
  resolver,
  makeGuard,
  listeners = () => [],
  credentialsOf,
  events,
  heap,
  now,
  wallClock,
}: Parts) {
  const { life } = settings
  /** Told to stop. */
  let leaving = false

  const known = makeKnownPins({ limit: settings.knownPins, gatewayId })
  const fleet = makeFleetView({ snapshots: store.snapshots, events })
  const isThere = (upstreamId: string) => fleet.upstream(upstreamId) !== null
  const load = makeUpstreamLoad({
    get maxTunnels() {
      return settings.tunnelsPerUpstream
    },
  })
  const waits = makeTargetWaits({
    get maxTunnels() {
      return settings.tunnelsPerUpstream
    },
    now,
  })
  const failures = makeConnectFailures({
    get limit() {
      return settings.failedConnects
    },
    get refuseMs() {
      return settings.refuseMs
    },
    events,
    now,
  })
  const lag = makeOwnLag({ limits: settings, events, now })
  const memory = makeHeapGuard({ limits: settings, heap, events, now })
  const setAside = makeSetAsideChecks({
    failures,
    upstream: fleet.upstream,
    tryConnect: async (upstream, signal) => {
      const { connectTimeoutMs } = settings
      ;(await connectTcp(upstream, { connectTimeoutMs, signal })).destroy()
    },
  })
  const tunnels = makeTunnels({
    idleMs: settings.tunnelIdleMs,
    maxLifeMs: settings.tunnelMaxLifeMs,
    now,
  })
  const limits = makeTunnelLimits(settings)
  const guard = makeGuard(
    () => fleet.upstreams(),
    () => heartbeat.otherListeners,
  )
  const steady = makeSteadyPins({ store, known, life, events, now })
  const following = makeFollowing({ gatewayId, feed: store.feed, pins: store.pins, known, life, now })
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
  const pinning = makePinning({
    gatewayId,
    pins: steady.pins,
    known,
    fleet,
    life,
    refused: () => ({ ids: [...load.full, ...failures.refused()], full: load.full }),
    flexTypes: { includes: (type) => settings.flexTypes.includes(type) },
    hash,
    firstUsed: () => loops.firstUses?.wake(),
    events,
    now,
  })
  const laneTargets = makeLaneTargets({ fleet, known, events, now })
  const openTunnel = makeOpenTunnel({
    pinning,
    findTarget: (target, job, signal) => findTarget(target, job, { guard, laneTargets, resolver, signal }),
    laneTargets,
    dial,
    load,
    waits,
    failures,
    limits: settings,
    credentialsOf,
    events,
    now,
  })
  const story = makeRequestStory({
    gatewayId,
    openTunnel,
    tunnels,
    limits,
    pinning,
    isThere,
    memory,
    events,
    now,
  })
  const touches = makeTouches({ pins: steady.pins, known, life, now })
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

  function isTokenRequired(): boolean {
    return settings.tokens.length > 0 || settings.tokenKeys.length > 0
  }

  function check(req: IncomingMessage): void {
    checkHead(req, { maxLines: settings.headLines })
  }

  function identify(req: IncomingMessage, allowAuthorization = false): Identity {
    check(req)
    const { tokens, tokenKeys } = settings
    const jobTokens = { keys: tokenKeys, nowMs: wallClock() }
    const tokenRequired = isTokenRequired()
    return readIdentity(req.rawHeaders, { tokens, jobTokens, tokenRequired, allowAuthorization })
  }

  const clientCertificates = settings.tls !== null && settings.tls.clientCa !== null
  const sources = makeSources({
    get allow() {
      return settings.allowSources
    },
    get tokenRequired() {
      return isTokenRequired()
    },
    clientCertificates,
  })
  const roads = {
    story,
    readIdentity(req: IncomingMessage): Identity {
      const identity = identify(req)
      refuseLoop(req, settings.via)
      return identity
    },
    via: settings.via,
    earlyBytes: settings.earlyBytes,
  }
  const server = makeGatewayServer({
    limits: settings,
    sources,
    memory,
    tls: settings.tls && { clientCertificates },
    story,
    events,
    connect: makeConnect({ ...roads, keepReading: (socket) => server.keepReading(socket) }),
    upgrade: makeUpgrade({ ...roads, limits: settings }),
    forward: makeForward(roads),
    jobApi: makeJobApi({
      story,
      checkHead: check,
      readIdentity: (req) => identify(req, true),
      pinning,
      known,
      fleet,
      reports: store.reports,
      events,
      newId: randomUUID,
      bodyTimeoutMs: settings.headTimeoutMs,
    }),
  })

  const certificate =
    settings.tls &&
    makeCertificate({ files: settings.tls, use: (context) => server.useCertificate(context), events })

  const loops: { [name: string]: Loop } = {}

  events.on('snapshot_loaded', () => {
    failures.keepOnly(isThere)
    tunnels.closeLeft(isThere)
  })

  async function tell(send: () => Promise<void>): Promise<void> {
    try {
      await send()
    } catch (error) {
      // What was not sent stays for the next time; the heartbeat says that the store is away.
      if (!isGatewayError(error, 'store_unavailable')) throw error
    }
  }

  return {
    /** From here on it also beats and touches. @throws the listen error, such as EADDRINUSE, or that of a TLS file */
    async listen(address: { host: string; port: number }): Promise<AddressInfo> {
      await certificate?.load()
      const bound = await server.listen(address)
      const everyMs = Math.min(1000, life.idleMs / 8)
      loops.heartbeat = startLoop('heartbeat', heartbeat.beat, { everyMs: 1000, events })
      loops.touches = startLoop('touches', () => tell(touches.flush), { everyMs, events })
      loops.firstUses = startLoop('first-uses', () => tell(touches.flushFirst), {
        everyMs: 1000,
        gapMs: firstUseMs,
        events,
      })
      loops.follow = startLoop('follow', following.catchUp, { everyMs: 1000, events })
      loops.setAside = startLoop('set-aside', () => setAside.pass(), { everyMs: 1000, events })
      if (certificate)
        loops.certificate = startLoop('certificate', () => certificate.refresh(), {
          everyMs: reloadMs,
          events,
        })
      following.start(() => loops.follow?.wake())
      return bound
    },
    /** Who may connect, in words. */
    get sources(): string {
      return sources.summary
    },
    fleet,
    known,
    load,
    tunnels,
    limits,
    lag,
    memory,
    pinning,
    admission: server.admission,

    get connections(): number {
      return server.connections
    },

    get storeAnswers(): boolean {
      return heartbeat.storeAnswers
    },

    /** What keeps a job that comes now from being served. */
    missing(): string[] {
      const missing = []
      if (leaving) missing.push('this gateway is stopping')
      if (fleet.version === 0) missing.push('no fleet is loaded yet')
      if (!heartbeat.storeAnswers) missing.push('the store of pins does not answer')
      else if (!following.wasComplete) missing.push('the pins of the fleet are not read yet')
      if (lag.isLate) missing.push(`this process comes to its work ${Math.round(lag.ms)} ms too late`)
      if (memory.isShort) missing.push(`memory is short: ${Math.round(memory.percent)} % is in use`)
      return missing
    },

    /** Reads the fleet and its pins now, rather than with the next heartbeat. */
    async beat(): Promise<void> {
      await heartbeat.beat()
      await following.catchUp()
    },

    /**
     * Serves on for the grace time, so that load balancers see readyz; then no new connections. Requests on those
     * that are there are still served, and open tunnels end by themselves, until the signal aborts; then they are reset.
     * The last touches and the sign-off are tried once: the store may be away.
     */
    async stop(deadline: AbortSignal): Promise<void> {
      leaving = true
      server.leave()
      await delay(settings.stopGraceMs, undefined, { signal: deadline }).catch(() => undefined)
      await server.stopAccepting(deadline)
      tunnels.closeAll('stop')
      server.destroyAll()
      // They end within this turn of the loop; only then are their facts and last uses known.
      await tunnels.none(AbortSignal.timeout(lastWordsMs))
      setAside.stop()
      for (const loop of Object.values(loops)) await loop.stop()
      tunnels.stop()
      lag.stop()
      memory.stop()
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

type Ways = {
  readonly guard: TargetGuard
  readonly laneTargets: LaneTargets
  readonly resolver: Resolver | null
  readonly signal: AbortSignal
}

/** The name is checked, then every address; one that may not be reached refuses the whole name (design 4). */
async function findTarget(
  target: Target,
  job: Job,
  { guard, laneTargets, resolver, signal }: Ways,
): Promise<readonly Target[]> {
  guard.checkName(target)
  laneTargets.check(job, target)
  if (resolver === null) return [target]
  const addresses = await resolver.resolve(target.host, { jobId: job.id, signal })
  for (const address of addresses) guard.checkAddress(address, target)
  return addresses.map((host) => ({ host, port: target.port }))
}
