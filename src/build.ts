// Settings -> the parts of the program, each with the few values that it needs. Beside main.ts the only file that knows
// all of them.

import { randomBytes, randomInt, randomUUID } from 'node:crypto'
import { hostname, networkInterfaces } from 'node:os'
import type { ControlParts } from './admin/control-parts.ts'
import type { Config } from './config.ts'
import { makeControl, type Control } from './control/control.ts'
import { makeProbe } from './control/probe.ts'
import { isGatewayError } from './errors.ts'
import type { Events } from './events.ts'
import { makeDnsLookup } from './gateway/dns-lookup.ts'
import { makeGateway, type Gateway } from './gateway/gateway.ts'
import { ownHeap } from './gateway/heap-guard.ts'
import { seenByOthers } from './gateway/heartbeat.ts'
import { makeResolver } from './gateway/resolver.ts'
import type { GatewaySettings } from './gateway/settings.ts'
import { makeGceProvider } from './provider/gce.ts'
import { makeLocalProvider } from './provider/local.ts'
import { makeMeasuredProvider } from './provider/measured.ts'
import type { Provider } from './provider/provider.ts'
import { makeStaticProvider } from './provider/static.ts'
import type { Live } from './reload.ts'
import { makeTargetGuard } from './routing/target-guard.ts'
import { storeLimits } from './store/limits.ts'
import { openRecordStore, openTrafficStore } from './store/open.ts'
import type { RecordStore } from './store/records.ts'
import type { TrafficStore } from './store/store.ts'
import type { Target, Upstream } from './types.ts'

/** Monotonic milliseconds: the wall clock may jump. */
const now = () => performance.now()
/** Milliseconds since 1970 as this process counts them: pins in memory outlive a jump of the wall clock as those in Redis do. */
const steadyClock = () => performance.timeOrigin + performance.now()

/** @throws Error where another process has the data folder */
export function openRecords(config: Config): Promise<RecordStore> {
  return openRecordStore({
    databaseUrl: config['database.url'],
    dataDir: config.dataDir,
    fleet: config.fleet,
    poolSize: config['database.poolSize'],
    timeouts: {
      connectMs: config['database.connectTimeoutMs'],
      statementMs: config['database.statementTimeoutMs'],
      lockMs: config['database.lockTimeoutMs'],
    },
  })
}

export function openStore(config: Config): Promise<TrafficStore> {
  return openTrafficStore({
    redisUrl: config['redis.url'],
    sentinelPassword: config['redis.sentinelPassword'],
    waitReplicas: config['redis.waitReplicas'],
    fleet: config.fleet,
    life: lifeOf(config),
    limits: { ...storeLimits, maxLanes: config['pins.maxLanes'], maxPins: config['pins.max'] },
    commandTimeoutMs: config['redis.commandTimeoutMs'],
    now: steadyClock,
  })
}

export function buildGateway(
  live: Live,
  store: TrafficStore,
  events: Events,
  listeners: readonly Target[],
): Gateway {
  const { config } = live
  return makeGateway({
    gatewayId: processName(),
    store,
    resolver:
      config['targets.resolve'] === 'upstream'
        ? null
        : makeResolver({
            lookup: makeDnsLookup({ family: config['targets.family'], hostsPath: '/etc/hosts' }),
            timeoutMs: config['targets.resolveTimeoutMs'],
            now,
          }),
    makeGuard: (fleet, gateways) =>
      makeTargetGuard({
        get ports() {
          return live.config['targets.ports']
        },
        get deny() {
          return live.config['targets.deny']
        },
        get allowPrivate() {
          return live.config['targets.allowPrivate']
        },
        ownListeners: () => listeners,
        localAddresses,
        gateways,
        fleet,
      }),
    listeners: () => seenByOthers(listeners, localAddresses()),
    credentialsOf: credentialsOf(live),
    events,
    heap: ownHeap(),
    now,
    wallClock: Date.now,
    settings: live.table(gatewaySettings),
  })
}

function gatewaySettings(config: Config): GatewaySettings {
  return {
    tokens: config['gateway.tokens'],
    tokenKeys: config['gateway.tokenKeys'],
    allowSources: config['gateway.allowSources'],
    maxTunnels: config['gateway.maxTunnels'],
    tunnelsPerJob: config['gateway.tunnelsPerJob'],
    tunnelsPerToken: config['gateway.tunnelsPerToken'],
    maxConnections: config['gateway.maxConnections'],
    maxLagMs: config['gateway.maxLagMs'],
    maxHeapPercent: config['gateway.maxHeapPercent'],
    connectionsPerSource: config['gateway.connectionsPerSource'],
    headsPerSource: config['gateway.headsPerSource'],
    tls: tlsFiles(config),
    via: config['gateway.via'],
    headTimeoutMs: config['gateway.headTimeoutMs'],
    headBytes: config['gateway.headBytes'],
    headLines: config['gateway.headLines'],
    keepAliveMs: config['gateway.keepAliveMs'],
    stopGraceMs: config['gateway.stopGraceMs'],
    earlyBytes: config['tunnels.earlyBytes'],
    tunnelIdleMs: config['tunnels.idleMs'],
    tunnelMaxLifeMs: config['tunnels.maxLifeMs'],
    connectTimeoutMs: config['upstreams.connectTimeoutMs'],
    replyTimeoutMs: config['upstreams.replyTimeoutMs'],
    tunnelsPerUpstream: config['upstreams.maxTunnels'],
    failedConnects: config['upstreams.failedConnects'],
    refuseMs: config['upstreams.refuseMs'],
    knownPins: config['pins.known'],
    flexTypes: config['pins.flexTypes'],
    storeDown: config['redis.down'],
    storeDownByType: config['redis.downByType'],
    life: lifeOf(config),
  }
}

export function buildControl(live: Live, store: TrafficStore, records: RecordStore, events: Events): Control {
  const [probes, sync] = [live.table(probeSettings), live.table(syncSettings)]
  return makeControl({
    provider: makeMeasuredProvider(openProvider(live), { events, now }),
    settings: live.table((config) => ({
      wanted: wantedSize(config),
      launchMs: config['launches.timeoutMs'],
      drainMs: config['drains.deadlineMs'],
      silentMs: config['drains.silentMs'],
      probes,
      sync,
    })),
    get restrictions() {
      return live.config.restrictions
    },
    probe: makeProbe({
      get url() {
        return live.config['probes.url']
      },
      get timeoutMs() {
        return live.config['probes.timeoutMs']
      },
      credentialsOf: credentialsOf(live),
      now,
    }),
    store,
    records,
    events,
    holder: processName(),
    newSuffix: () => Array.from({ length: 8 }, () => randomInt(36).toString(36)).join(''),
    newRequestId: randomUUID,
    now,
    wallClock: Date.now,
  })
}

function probeSettings(config: Config) {
  return {
    everyMs: config['probes.everyMs'],
    good: config['probes.good'],
    bad: config['probes.bad'],
    ejectMs: config['probes.ejectMs'],
    ejectMaxMs: config['probes.ejectMaxMs'],
  }
}

function syncSettings(config: Config) {
  return {
    everyMs: config['sync.everyMs'],
    absences: config['sync.absences'],
    graceMs: config['sync.graceMs'],
  }
}

function tlsFiles(config: Config) {
  const certificate = config['gateway.tls.certificate']
  const key = config['gateway.tls.key']
  if (certificate === null || key === null) return null
  return { certificate, key, clientCa: config['gateway.tls.clientCa'] }
}

/** Null: the configuration leaves it to operators. */
function wantedSize(config: Config): number | null {
  return { local: config['local.upstreams'], gce: config['gce.upstreams'], static: null }[config.provider]
}

/** Tells this process from others, on other machines too. Clients see no more of it than what stands behind the last `-`. */
function processName(): string {
  return `${hostname().slice(0, 40)}-${randomBytes(4).toString('hex')}`
}

function credentialsOf(live: Live) {
  return (upstream: Pick<Upstream, 'credentials'>) =>
    upstream.credentials === null ? null : (live.config.credentials[upstream.credentials] ?? null)
}

type Running = {
  readonly control: Control
  readonly store: TrafficStore
  readonly records: RecordStore
  readonly events: Events
}

export function controlPartsOf(live: Live, { control, store, records, events }: Running): ControlParts {
  return {
    records,
    upstreams: control.upstreams,
    restrictions: control.restrictions,
    fleet: control.fleet,
    sync: control.sync,
    tokens: {
      get keys() {
        return live.config['gateway.tokenKeys']
      },
      events,
      now: Date.now,
    },
    snapshot: () => store.snapshots.read(),
    load: () => control.load().catch(nullWhereAway),
  }
}

function nullWhereAway(error: unknown): null {
  if (isGatewayError(error, 'store_unavailable')) return null
  throw error
}

function openProvider(live: Live): Provider {
  const { config } = live
  if (config.provider === 'static') return makeStaticProvider(() => live.config['static.upstreams'])
  if (config.provider === 'gce') return openGceProvider(config)
  return makeLocalProvider({
    dataDir: config.dataDir,
    sourceAddresses: config['local.sourceAddresses'],
    tinyproxy: config['local.tinyproxy'],
    maxClients: config['local.maxClients'],
    labels: config['local.labels'],
  })
}

function openGceProvider(config: Config): Provider {
  return makeGceProvider({
    fleet: config.fleet,
    // The configuration is checked: gce has them.
    project: config['gce.project']!,
    template: config['gce.template']!,
    zones: config['gce.zones'],
    namePrefix: config['gce.namePrefix'],
    port: config['gce.port'],
    address: config['gce.address'],
    labels: config['gce.labels'],
    credentials: config['gce.credentials'],
    operationTimeoutMs: config['gce.operationTimeoutMs'],
    endpoint: config['gce.endpoint'],
  })
}

function lifeOf(config: Config) {
  return { idleMs: config['pins.idleMs'], maxLifeMs: config['pins.maxLifeMs'] }
}

export function jobsOf(
  store: TrafficStore,
  gateway: Gateway | null,
  control: Control | null,
  events: Events,
) {
  async function releaseInStore(jobId: string) {
    const pin = await store.pins.release(jobId)
    if (pin) events.emit('pin_released', { jobId, upstream: pin.upstreamId, by: 'operator' })
    return pin
  }
  return {
    release: (jobId: string) =>
      gateway ? gateway.pinning.release(jobId, 'operator') : releaseInStore(jobId),
    pins: gateway?.pinning ?? store.pins,
    upstream: (id: string) =>
      gateway ? gateway.fleet.upstream(id) : (control?.publisher.upstream(id) ?? null),
    tunnels: (jobId: string) => gateway?.known.get(jobId)?.tunnels ?? 0,
  }
}

export function readingsOf(gateway: Gateway) {
  return {
    openTunnels: () => gateway.load.own,
    knownPins: () => gateway.known.size,
    connections: () => gateway.connections,
    fleetVersion: () => gateway.fleet.version,
    storeUp: () => gateway.storeAnswers,
    lagMs: () => gateway.lag.ms,
    heapPercent: () => gateway.memory.percent,
  }
}

let lastAddresses: readonly string[] = []

/** Those seen last, where the system does not tell: without a file descriptor left it throws. */
function localAddresses(): readonly string[] {
  try {
    const interfaces = Object.values(networkInterfaces())
    lastAddresses = interfaces.flatMap((addresses) => (addresses ?? []).map(({ address }) => address))
  } catch (error) {
    if (lastAddresses.length === 0) throw error
  }
  return lastAddresses
}
