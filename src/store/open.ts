// Chooses the stores. Gateways meet in Redis where one is configured, else in plain Maps in this process. Records are
// in a PostgreSQL server where one is configured, else in PGlite under the data folder.

import { join } from 'node:path'
import { storeLimits, type StoreLimits } from './limits.ts'
import { openMemoryStore } from './memory/memory.ts'
import type { Db, DbTimeouts } from './postgres/db.ts'
import { openPg } from './postgres/pg.ts'
import { makeRecordStore } from './postgres/records.ts'
import type { RecordStore } from './records.ts'
import { openRedisStore } from './redis/redis.ts'
import type { PinLife, TrafficStore } from './store.ts'

type TrafficChoice = {
  /** As redis-url.ts reads it; null for the embedded store, which ends with the process. */
  readonly redisUrl: string | null
  /** What sentinels ask for; null or absent: nothing. */
  readonly sentinelPassword?: string | null
  /** Replicas that must have a pin before its job is told; 0 or absent: none. */
  readonly waitReplicas?: number
  readonly fleet: string
  readonly life: PinLife
  readonly commandTimeoutMs: number
  /** The embedded store's clock, in milliseconds since 1970. Redis has its own. */
  readonly now: () => number
  readonly limits?: StoreLimits
}

/** Opens also while Redis is down: calls throw `store_unavailable` until it is there. */
export async function openTrafficStore({
  redisUrl,
  now,
  limits = storeLimits,
  ...choice
}: TrafficChoice): Promise<TrafficStore> {
  if (redisUrl === null) return openMemoryStore({ life: choice.life, now, limits })
  return openRedisStore({ ...choice, url: redisUrl, limits })
}

type RecordChoice = {
  /** `postgres://user:password@host:5432/database`; null for the embedded store, which stays in `dataDir`. */
  readonly databaseUrl: string | null
  readonly dataDir: string
  readonly fleet: string
  readonly timeouts: DbTimeouts
  /** Connections to the server at most; the embedded store has one. */
  readonly poolSize: number
}

/**
 * Opens also while the server is away: calls throw `database_unavailable` until it is there.
 * @throws TypeError where the URL is not one; Error where the data folder cannot be used, or another process has it
 */
export async function openRecordStore({ fleet, ...choice }: RecordChoice): Promise<RecordStore> {
  return makeRecordStore({ db: await openDb(choice), fleet })
}

async function openDb({
  databaseUrl,
  dataDir,
  timeouts,
  poolSize,
}: Omit<RecordChoice, 'fleet'>): Promise<Db> {
  if (databaseUrl !== null) return openPg({ url: databaseUrl, timeouts, poolSize })
  // With a server there is no use for its code, nor for its memory.
  const { openPglite } = await import('./postgres/pglite.ts')
  return openPglite({ folder: join(dataDir, 'postgres'), timeouts })
}
