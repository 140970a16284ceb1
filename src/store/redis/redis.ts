// The traffic store in Redis 6.2 or newer: one connection, one script per verb.

import { randomUUID } from 'node:crypto'
import { AnotherStore } from '../../errors.ts'
import { storeLimits } from '../limits.ts'
import type { StoreLimits } from '../limits.ts'
import type { PinLife, TrafficStore } from '../store.ts'
import { openRedisClient } from './client.ts'
import { makeRedisFeed } from './feed.ts'
import { makeRedisHeartbeats } from './heartbeats.ts'
import { makeKeys } from './keys.ts'
import { makeRedisPins, type StoreGuard } from './pins.ts'
import { makeRedisReports } from './reports.ts'
import { makeScripts } from './scripts.ts'
import { makeRedisSnapshots } from './snapshot.ts'

export type RedisStoreOptions = {
  /** As redis-url.ts reads it. */
  readonly url: string
  /** What sentinels ask for; null or absent: nothing. */
  readonly sentinelPassword?: string | null
  /** Replicas that must have a pin before its job is told; 0 or absent: none. */
  readonly waitReplicas?: number
  /** Fleets share a Redis without seeing each other. `[a-z0-9-]{1,32}` */
  readonly fleet: string
  readonly life: PinLife
  /** A call that takes longer throws `store_unavailable`. */
  readonly commandTimeoutMs: number
  readonly limits?: StoreLimits
  /** Reads lua/<name>.lua; a test may hand in a changed text. */
  readonly readLua?: (name: string) => string
}

/**
 * Resolves once Redis answers, or is found not to: then calls throw until it is there.
 * @throws TypeError where `url` is not one
 */
export async function openRedisStore(options: RedisStoreOptions): Promise<TrafficStore> {
  const { url, fleet, life, commandTimeoutMs, limits = storeLimits, readLua } = options
  const { sentinelPassword = null, waitReplicas = 0 } = options
  const servers = { url, sentinelPassword }
  const keys = makeKeys(fleet)
  const client = await openRedisClient({ servers, key: keys.fleet, commandTimeoutMs, waitReplicas })
  const scripts = makeScripts(client, readLua)
  const feed = makeRedisFeed({ servers, channel: keys.feed, commandTimeoutMs })
  /** Which store was found, and over which connection: over another one it may be another. */
  let proven = { identity: '', connection: -1 }

  function guardFor(identity: string): StoreGuard {
    return {
      mark: identity.slice(identity.indexOf(' ') + 1),
      check() {
        if (proven.identity !== identity || proven.connection !== client.connection) throw new AnotherStore()
      },
    }
  }

  return {
    pins: makeRedisPins({ client, scripts, keys, life, limits }),
    snapshots: makeRedisSnapshots({ client, scripts, keys }),
    heartbeats: makeRedisHeartbeats({ client, scripts, keys, limits }),
    reports: makeRedisReports({ client, scripts, keys, limits }),
    feed,
    async identity() {
      const { connection } = client
      const identity = (await scripts.run('identity', keys, { mark: randomUUID() })) as string
      proven = { identity, connection }
      return identity
    },
    pinsIn(identity) {
      return makeRedisPins({ client, scripts, keys, life, limits, guard: guardFor(identity) })
    },
    async ping() {
      await client.ask((redis) => redis.ping())
    },
    async close() {
      await Promise.all([client.close(), feed.close()])
    },
  }
}
