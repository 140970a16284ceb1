// What a soak stands on, all real but the cloud, and everything that talks over a network does so through a fault proxy of
// its own: gateways and control to Redis, control to PostgreSQL. Each VM of the cloud is a Tinyproxy with an address of its own.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { startComputeEngine, type ComputeEngine } from '../fixtures/compute-engine.ts'
import { startFaultProxy, type FaultProxy } from '../fixtures/fault-proxy.ts'
import { startPostgres, type PostgresServer } from '../fixtures/postgres.ts'
import { startRecordedTarget, type RecordedTarget } from '../fixtures/recorded-target.ts'
import { startRedis, type RedisServer } from '../fixtures/redis.ts'
import { until } from '../fixtures/until.ts'
import { startCloudLog } from './cloud-log.ts'
import { makeKeptProcess, type KeptProcess } from './kept-process.ts'
import type { Recorder } from './recorder.ts'

/** Longer than any outage here, so that none is an excuse; short enough that pins expire within a run. */
export const idleMs = 40_000
export const token = 'soak-token-8c1f0e'
export const jobMark = 'soak-job-'

const settings = {
  // A busy machine must not look like one whose store is away all the time; outages last far longer.
  redis: { commandTimeoutMs: 1000, downByType: { report: 'hash' } },
  database: { connectTimeoutMs: 2000, statementTimeoutMs: 4000, lockTimeoutMs: 2000 },
  gateway: { stopGraceMs: 500, stopDeadlineMs: 8000, tokens: [] },
  upstreams: { connectTimeoutMs: 2000, replyTimeoutMs: 5000, refuseMs: 3000 },
  probes: { everyMs: 2000, timeoutMs: 4000, ejectMs: 4000, ejectMaxMs: 10_000 },
  sync: { everyMs: 5000, graceMs: 10_000 },
  drains: { deadlineMs: 30_000, silentMs: 130_000 },
  pins: { idleMs, flexTypes: ['flexible'] },
}

const zones = ['europe-west1-b']

export type World = Awaited<ReturnType<typeof startWorld>>

export async function startWorld(
  recorder: Recorder,
  counts: { readonly gateways: number; readonly controls: number },
) {
  const stops: (() => Promise<unknown>)[] = []
  const keep = <Part>(part: Part, stop: (part: Part) => Promise<unknown>): Part => {
    stops.unshift(() => stop(part))
    return part
  }
  const engine: ComputeEngine = keep(await startComputeEngine({ zones }), (one) => one.close())
  const cloud = keep(await startCloudLog(engine.url, (call) => recorder.write('calls', call)), (one) =>
    one.close(),
  )
  const postgres: PostgresServer = keep(await startPostgres(), (one) => one.stop())
  const database = new URL(await postgres.createDatabase())
  const store = await startStore(keep)
  const target: RecordedTarget = keep(
    await startRecordedTarget((text) => recorder.write('seen', { where: 'target', text })),
    (one) => one.close(),
  )
  const { project, template, port } = engine
  const file = join(recorder.folder, 'settings.yaml')
  const gce = { endpoint: `http://127.0.0.1:${cloud.port}`, project, template, port, zones }
  writeFileSync(file, JSON.stringify({ ...settings, gce }))
  const common = {
    PROVIDER: 'gce',
    TARGET_PORTS: '*',
    ALLOW_PRIVATE_TARGETS: 'true',
    LOG_LEVEL: 'debug',
    LANEKEEPER_CONFIG: file,
    GATEWAY_TOKENS: `main:${token}`,
  }

  const proxies = new Map<string, FaultProxy>()
  const toDatabase: FaultProxy[] = []
  async function startKept(name: string, role: 'gateway' | 'control'): Promise<KeptProcess> {
    const toStore = keep(await startFaultProxy({ host: '127.0.0.1', port: store.port() }), (one) =>
      one.stop(),
    )
    proxies.set(name, toStore)
    const env: Record<string, string> = { ...common, REDIS_URL: `redis://127.0.0.1:${toStore.port}` }
    if (role === 'control') {
      const proxy = keep(await startFaultProxy({ host: '127.0.0.1', port: postgres.port }), (one) =>
        one.stop(),
      )
      toDatabase.push(proxy)
      const url = new URL(database)
      url.port = String(proxy.port)
      env.DATABASE_URL = url.href
    }
    const kept = await makeKeptProcess({ name, role, folder: recorder.folder, env })
    await kept.start()
    return keep(kept, (one) => one.stop('SIGKILL'))
  }

  async function stop(): Promise<void> {
    for (const end of stops.splice(0))
      await end().catch((error: unknown) => console.log(`at the end: ${String(error)}`))
  }

  try {
    const names = (role: string, count: number) =>
      Array.from({ length: count }, (_, index) => `${role}${index + 1}`)
    const controls = await Promise.all(
      names('control', counts.controls).map((name) => startKept(name, 'control')),
    )
    const gateways = await Promise.all(
      names('gateway', counts.gateways).map((name) => startKept(name, 'gateway')),
    )
    return {
      engine,
      postgres,
      store: { ...store, proxies: proxies as ReadonlyMap<string, FaultProxy>, turnTo: turnAll },
      toDatabase: toDatabase as readonly FaultProxy[],
      target,
      gateways,
      controls,
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }

  function turnAll(port: number): void {
    for (const proxy of proxies.values()) proxy.turnTo(port)
  }
}

type Keep = <Part>(part: Part, stop: (part: Part) => Promise<unknown>) => Part

/** A primary and a replica, whose link can be stalled so that the last writes are lost with the primary. */
async function startStore(keep: Keep) {
  let primary: RedisServer = await startRedis()
  let replica: RedisServer | null = null
  let link: FaultProxy | null = null
  keep(null, async () => {
    await Promise.all([primary.stop(), replica?.stop(), link?.stop()])
  })

  async function follow(): Promise<void> {
    await link?.stop()
    await replica?.stop()
    link = await startFaultProxy({ host: '127.0.0.1', port: primary.port })
    replica = await startRedis({ settings: { 'repl-diskless-sync-delay': '0' } })
    await ask(replica.port, 'REPLICAOF', '127.0.0.1', String(link.port))
    const raw = new Redis({ port: replica.port, host: '127.0.0.1', lazyConnect: true })
    raw.on('error', () => {})
    try {
      await until(
        'the replica follows',
        async () => (await raw.info('replication')).includes('master_link_status:up'),
        {
          withinMs: 30_000,
          everyMs: 50,
        },
      )
    } finally {
      raw.disconnect()
    }
  }

  async function ask(port: number, ...words: [string, ...string[]]): Promise<void> {
    const raw = new Redis({ port, host: '127.0.0.1' })
    raw.on('error', () => {})
    try {
      await raw.call(...words)
    } finally {
      raw.disconnect()
    }
  }

  await follow()
  return {
    port: () => primary.port,
    pid: () => primary.pid,
    follow,
    flush: () => ask(primary.port, 'FLUSHALL'),
    forgetScripts: () => ask(primary.port, 'SCRIPT', 'FLUSH'),
    stallLink: () => link?.stall(),
    async kill(): Promise<void> {
      await primary.stop()
    },
    /** On the same port, with nothing in it. */
    async startEmpty(): Promise<void> {
      primary = await startRedis({ port: primary.port })
    },
    /** @returns the port of the new primary */
    async promote(): Promise<number> {
      await ask(replica!.port, 'REPLICAOF', 'NO', 'ONE')
      primary = replica!
      replica = null
      return primary.port
    },
  }
}
