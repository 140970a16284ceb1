// Starts the program in order and stops it in reverse. With build.ts the only file that may import everything.

import { makeAdminServer } from './admin/server.ts'
import {
  buildControl,
  buildGateway,
  controlPartsOf,
  jobsOf,
  openRecords,
  openStore,
  readingsOf,
} from './build.ts'
import type { Config } from './config.ts'
import type { Control } from './control/control.ts'
import { makeEvents } from './events.ts'
import { checkOpenFiles, openFilesLimit } from './gateway/file-limits.ts'
import type { Gateway } from './gateway/gateway.ts'
import { isLoopback } from './ip-range.ts'
import { logFacts, makeLog, type Log } from './log.ts'
import { exposeReadings, makeMetrics } from './metrics.ts'
import { makeLive, makeReload } from './reload.ts'
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
  /** Takes in another configuration, as far as that needs no restart. Where anything is wrong with it, nothing; never throws. */
  reload(read: () => Config): void
  /** @param atOnce  when it aborts, or the time of `gateway.stopDeadlineMs` is over, tunnels still open are reset */
  stop(atOnce: AbortSignal): Promise<void>
}

/**
 * Starts also while Redis or PostgreSQL is away. What fails after the ports are open rejects `ready` (ProviderError, say).
 * @throws the listen error of a port, such as EADDRINUSE; Error where the limit of open files is too low
 */
export async function startLanekeeper(config: Config): Promise<Lanekeeper> {
  checkFiles(config)
  const events = makeEvents()
  const live = makeLive(config)
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
    const gateway = config.role === 'control' ? null : buildGateway(live, store, events, listeners)
    const control = records && buildControl(live, store, records, events)
    if (gateway) exposeReadings(metrics, readingsOf(gateway))
    const missing = () => whatIsMissing(gateway, control)
    const admin = makeAdminServer({
      get token() {
        return live.config['admin.token']
      },
      get readToken() {
        return live.config['admin.readToken']
      },
      metrics,
      health: { missing, impaired: () => whatIsImpaired(gateway, control) },
      jobs: jobsOf(store, gateway, control, events),
      control: control && controlPartsOf(live, { control, store, records, events }),
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
    const scheme = config['gateway.tls.certificate'] === null ? 'http' : 'https'
    return {
      gatewayUrl: gatewayAddress && urlOf(gatewayAddress.address, gatewayAddress.port, scheme),
      adminUrl: urlOf(adminAddress.address, adminAddress.port),
      notice:
        gateway && gatewayAddress && !isLoopback(gatewayAddress.address)
          ? `gateway takes ${gateway.sources}`
          : null,
      ready: ready.then(() => untilReady(gateway, missing)),
      reload: makeReload({
        live,
        check: checkFiles,
        taken() {
          log.level = live.config['log.level']
          control?.reload()
        },
        events,
      }),
      stop(atOnce) {
        const deadline = AbortSignal.any([atOnce, AbortSignal.timeout(live.config['gateway.stopDeadlineMs'])])
        return stop({ gateway, control, admin, store, records, log, ready }, deadline)
      },
    }
  } catch (error) {
    for (const step of undo.reverse()) await step().catch(() => undefined)
    throw error
  }
}

/** @throws Error that says what to do, where a process may not have as many files open as its limits promise */
function checkFiles(config: Config): void {
  if (config.role === 'control') return
  checkOpenFiles(openFilesLimit(), {
    maxConnections: config['gateway.maxConnections'],
    maxTunnels: config['gateway.maxTunnels'],
  })
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

function whatIsMissing(gateway: Gateway | null, control: Control | null): string[] {
  const missing = gateway?.missing() ?? []
  const problem = control?.database.problem ?? null
  // Jobs need no database: a gateway serves by the fleet that is published already.
  if (!gateway && problem !== null) missing.push(problem)
  if (control && control.publisher.version === 0 && problem === null)
    missing.push('the fleet is not published yet')
  return missing
}

/** What keeps no job from being served. */
function whatIsImpaired(gateway: Gateway | null, control: Control | null): string[] {
  const problem = control?.database.problem ?? null
  return gateway && problem !== null ? [problem] : []
}

/** A gateway learns of the first snapshot by its heartbeat; asked for more often until it is there. */
async function untilReady(gateway: Gateway | null, missing: () => readonly string[]): Promise<void> {
  while (missing().length > 0) {
    await gateway?.beat()
    if (missing().length > 0) await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

function urlOf(address: string, port: number, scheme = 'http'): string {
  return `${scheme}://${address.includes(':') ? `[${address}]` : address}:${port}`
}
