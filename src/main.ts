// Starts the program in order and stops it in reverse. The only file that may import everything.

import { randomBytes, randomInt } from 'node:crypto'
import { hostname, networkInterfaces } from 'node:os'
import type { ControlParts } from './admin/control-parts.ts'
import { makeAdminServer } from './admin/server.ts'
import type { Config } from './config.ts'
import { makeControl, type Control } from './control/control.ts'
import { isGatewayError } from './errors.ts'
import { makeEvents, type Events } from './events.ts'
import { makeDnsLookup } from './gateway/dns-lookup.ts'
import { makeGateway, type Gateway } from './gateway/gateway.ts'
import { makeResolver } from './gateway/resolver.ts'
import { logFacts, makeLog, type Log } from './log.ts'
import { exposeReadings, makeMetrics } from './metrics.ts'
import { makeLocalProvider } from './provider/local.ts'
import type { Provider } from './provider/provider.ts'
import { makeStaticProvider } from './provider/static.ts'
import { makeTargetGuard } from './routing/target-guard.ts'
import { storeLimits } from './store/limits.ts'
import { openRecordStore, openTrafficStore } from './store/open.ts'
import type { RecordStore } from './store/records.ts'
import type { TrafficStore } from './store/store.ts'
import type { Target } from './types.ts'

export type Lanekeeper = {
  readonly gatewayUrl: string | null
  readonly adminUrl: string
  /** Who may connect, where that is less than everybody who reaches the port. */
  readonly notice: string | null
  /** Resolves when a job that comes now would be served. */
  readonly ready: Promise<void>
  /** @param deadline  when it aborts, tunnels still open are reset */
  stop(deadline: AbortSignal): Promise<void>
}

/** Monotonic milliseconds: the wall clock may jump. */
const now = () => performance.now()

/**
 * Starts also while Redis or PostgreSQL is away. What fails after the ports are open rejects `ready` (ProviderError, say).
 * @throws the listen error of a port, such as EADDRINUSE
 */
export async function startLanekeeper(config: Config): Promise<Lanekeeper> {
  const events = makeEvents()
  const log = makeLog(config['log.level'])
  logFacts(events, log)
  const metrics = makeMetrics(events)
  const undo: (() => Promise<void>)[] = []
  try {
    // First what refuses to start where another process has the data folder.
    const records = config.role === 'gateway' ? null : await openRecords(config)
    if (records) undo.push(() => records.close())
    const store = await openStore(config)
    undo.push(() => store.close())
    const listeners: Target[] = []
    const gateway = config.role === 'control' ? null : buildGateway(config, store, events, listeners)
    const control = records && buildControl(config, store, records, events)
    if (gateway) exposeReadings(metrics, readingsOf(gateway))
    const missing = () => whatIsMissing(gateway, control)
    const admin = makeAdminServer({
      token: config['admin.token'],
      metrics,
      health: { missing },
      jobs: jobsOf(store, gateway, control, events),
      control: control && controlPartsOf(control, store, records),
      failed: (error) => log.error({ err: error }, 'the admin API met an error of its own'),
    })

    // The gateway listens first: a job that comes too early waits in the backlog or gets a clear 503, not a refusal.
    const gatewayAddress =
      gateway && (await gateway.listen({ host: config['gateway.host'], port: config['gateway.port'] }))
    if (gateway) undo.push(() => gateway.stop(AbortSignal.abort()))
    const adminAddress = await admin.listen({ host: config['admin.host'], port: config['admin.port'] })
    undo.push(() => admin.close())
    for (const address of [gatewayAddress, adminAddress])
      if (address) listeners.push({ host: address.address, port: address.port })
    if (control) undo.push(() => control.stop())
    const ready = control ? control.start() : Promise.resolve()
    return {
      gatewayUrl: gatewayAddress && urlOf(gatewayAddress.address, gatewayAddress.port),
      adminUrl: urlOf(adminAddress.address, adminAddress.port),
      notice:
        gateway && gatewayAddress && !isLoopback(gatewayAddress.address)
          ? `gateway takes ${gateway.sources}`
          : null,
      ready: ready.then(() => untilReady(gateway, missing)),
      stop: (deadline) => stop({ gateway, control, admin, store, records, log, ready }, deadline),
    }
  } catch (error) {
    for (const step of undo.reverse()) await step().catch(() => undefined)
    throw error
  }
}

type Running = {
  readonly gateway: Gateway | null
  readonly control: Control | null
  readonly admin: { close(): Promise<void> }
  readonly store: TrafficStore
  readonly records: RecordStore | null
  readonly log: Log
  readonly ready: Promise<void>
}

/** Upstreams end after the last tunnel, the store after the last touch, readyz says no until the very end. */
async function stop(
  { gateway, control, admin, store, records, log, ready }: Running,
  deadline: AbortSignal,
): Promise<void> {
  log.info('stopping')
  control?.cancelStart()
  await ready.catch(() => undefined)
  await gateway?.stop(deadline)
  await control?.stop()
  await admin.close()
  await records?.close()
  await store.close()
}

/** Brings the tables of PostgreSQL (or of the embedded database) up to date. @throws ControlError database_unavailable */
export async function migrateDatabase(config: Config): Promise<void> {
  const records = await openRecords(config)
  try {
    await records.migrate()
  } finally {
    await records.close()
  }
}

/** @throws Error where another process has the data folder */
function openRecords(config: Config): Promise<RecordStore> {
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

function openStore(config: Config): Promise<TrafficStore> {
  return openTrafficStore({
    redisUrl: config['redis.url'],
    fleet: config.fleet,
    life: lifeOf(config),
    limits: { ...storeLimits, maxLanes: config['pins.maxLanes'] },
    commandTimeoutMs: config['redis.commandTimeoutMs'],
    now: Date.now,
  })
}

function buildGateway(
  config: Config,
  store: TrafficStore,
  events: Events,
  listeners: readonly Target[],
): Gateway {
  const credentials = config.credentials
  return makeGateway({
    gatewayId: `${hostname().slice(0, 40)}-${randomBytes(4).toString('hex')}`,
    store,
    resolver:
      config['targets.resolve'] === 'upstream'
        ? null
        : makeResolver({
            lookup: makeDnsLookup({ family: config['targets.family'], hostsPath: '/etc/hosts' }),
            timeoutMs: config['targets.resolveTimeoutMs'],
            now,
          }),
    makeGuard: (fleet) =>
      makeTargetGuard({
        ports: config['targets.ports'],
        allowPrivate: config['targets.allowPrivate'],
        ownListeners: () => listeners,
        localAddresses,
        fleet,
      }),
    credentialsOf: (upstream) =>
      upstream.credentials === null ? null : (credentials[upstream.credentials] ?? null),
    events,
    now,
    settings: {
      tokens: config['gateway.tokens'],
      allowSources: config['gateway.allowSources'],
      maxTunnels: config['gateway.maxTunnels'],
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
      life: lifeOf(config),
    },
  })
}

function buildControl(config: Config, store: TrafficStore, records: RecordStore, events: Events): Control {
  return makeControl({
    provider: openProvider(config),
    wanted: config.provider === 'local' ? config['local.upstreams'] : null,
    labels: config['local.labels'],
    restrictions: config.restrictions,
    store,
    records,
    events,
    newSuffix: () => Array.from({ length: 8 }, () => randomInt(36).toString(36)).join(''),
  })
}

function controlPartsOf(control: Control, store: TrafficStore, records: RecordStore): ControlParts {
  return {
    records,
    upstreams: control.upstreams,
    restrictions: control.restrictions,
    snapshot: () => store.snapshots.read(),
    load: () => control.load().catch(nullWhereAway),
  }
}

function nullWhereAway(error: unknown): null {
  if (isGatewayError(error, 'store_unavailable')) return null
  throw error
}

function openProvider(config: Config): Provider {
  if (config.provider === 'static') return makeStaticProvider(config['static.upstreams'])
  return makeLocalProvider({
    dataDir: config.dataDir,
    sourceAddresses: config['local.sourceAddresses'],
    tinyproxy: config['local.tinyproxy'],
    maxClients: config['local.maxClients'],
  })
}

function lifeOf(config: Config) {
  return { idleMs: config['pins.idleMs'], maxLifeMs: config['pins.maxLifeMs'] }
}

function jobsOf(store: TrafficStore, gateway: Gateway | null, control: Control | null, events: Events) {
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

function readingsOf(gateway: Gateway) {
  return {
    openTunnels: () => gateway.load.own,
    knownPins: () => gateway.known.size,
    connections: () => gateway.connections,
    fleetVersion: () => gateway.fleet.version,
    storeUp: () => gateway.storeAnswers,
  }
}

function whatIsMissing(gateway: Gateway | null, control: Control | null): string[] {
  const missing = gateway?.missing() ?? []
  if (control && control.publisher.version === 0) missing.push('the fleet is not published yet')
  return missing
}

/** A gateway learns of the first snapshot by its heartbeat; asked for more often until it is there. */
async function untilReady(gateway: Gateway | null, missing: () => readonly string[]): Promise<void> {
  while (missing().length > 0) {
    await gateway?.beat()
    if (missing().length > 0) await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.')
}

function localAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((addresses) =>
    (addresses ?? []).map(({ address }) => address),
  )
}

function urlOf(address: string, port: number): string {
  return `http://${address.includes(':') ? `[${address}]` : address}:${port}`
}
