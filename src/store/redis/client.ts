// One connection to Redis that fails fast and says why. Nothing waits while Redis is away, nothing is sent
// twice, and every failure of the driver becomes `store_unavailable` here, once.

import { once } from 'node:events'
import { Redis } from 'ioredis'
import type { RedisOptions } from 'ioredis'
import { codeOf, hideSecrets, storeUnavailable } from './failure.ts'
import { PrimaryConnector } from './primary-connector.ts'

/** What may be sent to Redis; more than one of them in a call shares its one time limit. */
export type Commands = Redis

export type RedisClient = {
  /**
   * One bounded wait: it ends within `commandTimeoutMs`, whatever it takes inside.
   * @throws GatewayError store_unavailable
   */
  ask<T>(send: (redis: Commands) => Promise<T>): Promise<T>
  /** As `ask`, and what it wrote is at `waitReplicas` replicas; with 0 it is `ask`. @throws GatewayError store_unavailable */
  askReplicated<T>(send: (redis: Commands) => Promise<T>): Promise<T>
  /** Raised before commands may reach another server than before. */
  readonly connection: number
  close(): Promise<void>
}

/** Which Redis, and how it lets us in. */
export type RedisServers = {
  /** `redis://`, `redis+sentinel://` or `redis+cluster://` (redis-url.ts). */
  readonly url: string
  /** What sentinels ask for; null or absent: nothing. */
  readonly sentinelPassword?: string | null
}

type ClientOptions = RedisServers & {
  readonly commandTimeoutMs: number
  /** Replicas that must have what `askReplicated` wrote. */
  readonly waitReplicas?: number
}

const longestReconnectDelayMs = 1000
const farewellMs = 250

/**
 * Resolves once connected, or once it is clear that Redis is not there now. It keeps trying until closed.
 * @throws TypeError where `url` is not one
 */
export async function openRedisClient({ url, commandTimeoutMs }: ClientOptions): Promise<RedisClient> {
  checkUrl(url)
  const hide = hideSecrets(url)
  const redis = new Redis(url, failFast(commandTimeoutMs))

  /** Why there is no connection; a command is then told only that there is none. */
  let disconnectedBy: unknown = null
  let connection = 0
  redis.on('error', (error: unknown) => {
    disconnectedBy = error
  })
  redis.on('ready', () => {
    disconnectedBy = null
  })
  redis.on('connecting', () => {
    connection += 1
  })
  await readyOrNot(redis, commandTimeoutMs)

  async function ask<T>(send: (redis: Commands) => Promise<T>): Promise<T> {
    try {
      return await send(redis)
    } catch (error) {
      throw storeUnavailable(disconnectedBy ?? error, hide)
    }
  }

  return {
    ask,
    askReplicated: ask,
    get connection() {
      return connection
    },

    close: () => closeConnection(redis),
  }
}

export async function closeConnection(redis: Redis): Promise<void> {
  if (redis.status === 'end') return
  const connected = redis.status !== 'reconnecting'
  redis.disconnect()
  if (connected) await once(redis, 'end')
}

export function reconnectDelayMs(attempt: number): number {
  return Math.min(50 * 2 ** Math.min(attempt - 1, 10), longestReconnectDelayMs)
}

function checkUrl(url: string): void {
  // The driver's own error would show the URL, password included.
  if (URL.canParse(url) && /^rediss?:$/.test(new URL(url).protocol)) return
  throw new TypeError(
    'The URL of Redis must look like redis://host:6379 or rediss://user:password@host:6379.',
  )
}

/** With the driver's defaults, the first failure with Redis down took 73 s, and a script could run twice. */
function failFast(commandTimeoutMs: number) {
  return {
    commandTimeout: commandTimeoutMs,
    // Silence with commands outstanding: drop the connection, so that the next commands fail at once.
    socketTimeout: commandTimeoutMs,
    connectTimeout: 4 * commandTimeoutMs,
    disconnectTimeout: farewellMs,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    retryStrategy: reconnectDelayMs,
    // A primary became a replica; PrimaryConnector waits for one that takes writes.
    reconnectOnError: (error) => codeOf(error) === 'READONLY',
    maxLoadingRetryTime: longestReconnectDelayMs,
    Connector: PrimaryConnector,
    // Commands of one turn of the event loop share a write: 10-14 us of CPU each instead of 86.
    enableAutoPipelining: true,
    // RESP2 is all that we need, and every Redis, Valkey and proxy in between speaks it.
    protocol: 2,
    disableClientInfo: true,
  } satisfies RedisOptions
}

async function readyOrNot(redis: Redis, patienceMs: number): Promise<void> {
  const over = new AbortController()
  const signal = AbortSignal.any([over.signal, AbortSignal.timeout(patienceMs)])
  await Promise.race([once(redis, 'ready', { signal }), once(redis, 'close', { signal })]).catch(() => null)
  over.abort()
}
