// The data plane of one process, put together: what `main` starts and stops.

import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { Events } from '../events.ts'
import { startLoop, type Loop } from '../loop.ts'
import { readIdentity, type Identity } from '../routing/job.ts'
import type { TargetGuard } from '../routing/target-guard.ts'
import type { TrafficStore } from '../store/store.ts'
import type { Job, Target, Upstream } from '../types.ts'
import { makeCertificate } from './certificate.ts'
import { makeConnect } from './connect.ts'
import { makeConnectFailures } from './connect-failures.ts'
import { connectTcp, dial } from './dial.ts'
import { makeForward } from './forward.ts'
import { checkHead } from './head.ts'
import { makeHeapGuard, type HeapSource } from './heap-guard.ts'
import { makeJobApi } from './job-api.ts'
import { makeLaneTargets, type LaneTargets } from './lane-targets.ts'
import { makeOpenTunnel } from './open-tunnel.ts'
import { makeOwnLag } from './own-lag.ts'
import { makeRequestStory } from './request.ts'
import type { Resolver } from './resolver.ts'
import { makeGatewayServer } from './server.ts'
import { makeSetAsideChecks } from './set-aside-checks.ts'
import type { GatewaySettings } from './settings.ts'
import { makeSources } from './sources.ts'
import { makeStoreSide } from './store-side.ts'
import { makeTargetWaits } from './target-waits.ts'
import { makeTunnelLimits } from './tunnel-limits.ts'
import { makeTunnels } from './tunnels.ts'
import { makeUpgrade } from './upgrade.ts'
import { makeUpstreamLoad } from './upstream-load.ts'
import { refuseLoop } from './via.ts'

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
  /** Told to stop. */
  let leaving = false

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
  const storeSide = makeStoreSide({
    gatewayId,
    settings,
    store,
    load,
    refused: () => ({ ids: [...load.full, ...failures.refused()], full: load.full }),
    listeners,
    events,
    now,
  })
  const { fleet, known, pinning } = storeSide
  const isThere = (upstreamId: string) => fleet.upstream(upstreamId) !== null
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
    () => storeSide.otherListeners,
  )
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

  return {
    /** From here on it also beats and touches. @throws the listen error, such as EADDRINUSE, or that of a TLS file */
    async listen(address: { host: string; port: number }): Promise<AddressInfo> {
      await certificate?.load()
      const bound = await server.listen(address)
      storeSide.start()
      loops.setAside = startLoop('set-aside', () => setAside.pass(), { everyMs: 1000, events })
      if (certificate)
        loops.certificate = startLoop('certificate', () => certificate.refresh(), {
          everyMs: reloadMs,
          events,
        })
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
      return storeSide.storeAnswers
    },

    /** What keeps a job that comes now from being served. */
    missing(): string[] {
      const missing = storeSide.missing()
      if (leaving) missing.unshift('this gateway is stopping')
      if (lag.isLate) missing.push(`this process comes to its work ${Math.round(lag.ms)} ms too late`)
      if (memory.isShort) missing.push(`memory is short: ${Math.round(memory.percent)} % is in use`)
      return missing
    },

    /** Reads the fleet and its pins now, rather than with the next heartbeat. */
    beat: storeSide.beat,

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
      await storeSide.stop()
    },
  }
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
