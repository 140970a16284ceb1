// Chooses the store that gateways meet in: Redis where one is configured, else plain Maps in this process.

import { storeLimits, type StoreLimits } from './limits.ts'
import { openMemoryStore } from './memory/memory.ts'
import { openRedisStore } from './redis/redis.ts'
import type { PinLife, TrafficStore } from './store.ts'

type Choice = {
  /** `redis://` or `rediss://`; null for the embedded store, which ends with the process. */
  readonly redisUrl: string | null
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
  fleet,
  life,
  commandTimeoutMs,
  limits = storeLimits,
}: Choice): Promise<TrafficStore> {
  if (redisUrl === null) return openMemoryStore({ life, now, limits })
  return openRedisStore({ url: redisUrl, fleet, life, commandTimeoutMs, limits })
}
