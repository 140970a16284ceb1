// A connection to the Redis of a URL, made again whenever it is lost, until it is closed. Always to a primary: the one
// server, the one that sentinels name, or the one that has our keys in a Cluster. Nothing is queued while there is none.

import { once } from 'node:events'
import { Redis } from 'ioredis'
import type { RedisOptions } from 'ioredis'
import { startDeadline } from '../../deadline.ts'
import { readRedisUrl, type RedisAddress } from '../../redis-url.ts'
import { codeOf } from './failure.ts'
import { askNode } from './cluster.ts'
import { findingConnector, type Finder } from './finding-connector.ts'
import { PrimaryConnector } from './primary-connector.ts'
import { askSentinel } from './sentinels.ts'

/** Which Redis, and how it lets us in. */
export type RedisServers = {
  /** As redis-url.ts reads it. */
  readonly url: string
  /** What sentinels ask for; null or absent: nothing. */
  readonly sentinelPassword?: string | null
}

export type ConnectionOptions = {
  readonly servers: RedisServers
  /** Any key or channel of the fleet: in a Cluster its slot says which node is ours. */
  readonly key: string
  /** Several of it make a handshake, or the answer of one sentinel. */
  readonly commandTimeoutMs: number
  readonly more?: Partial<RedisOptions>
}

export type Connection = {
  readonly redis: Redis
  /** Raised before commands may reach another server than before. */
  readonly number: number
  readonly isReady: boolean
  /** Why it was lost, or cannot be made. A command is then told only that there is none. */
  readonly lostBy: unknown
  /** Bytes that this connection has brought so far. */
  readonly bytesRead: number
  onReady(listener: () => void): void
  /** Gives it up at once, and makes another one. */
  drop(): void
  close(): Promise<void>
}

const longestReconnectDelayMs = 1000

/**
 * Answers at once and connects behind that.
 * @throws TypeError where the URL is not one
 */
export function openConnection({ servers, key, commandTimeoutMs, more }: ConnectionOptions): Connection {
  const address = addressOf(servers)
  const redis = new Redis({
    ...failFast(commandTimeoutMs),
    ...whereTo(address, servers.sentinelPassword ?? null, key, commandTimeoutMs),
    ...more,
    replyMapping: 'legacy',
  })
  let number = 0
  let ends = 0
  let lostBy: unknown = null
  let isClosed = false
  let again: NodeJS.Timeout | undefined
  let cancelHandshake = () => {}

  redis.on('connecting', () => {
    number += 1
  })
  redis.on('error', (error: unknown) => {
    lostBy = error
  })
  redis.on('connect', () => {
    cancelHandshake()
    cancelHandshake = startDeadline(4 * commandTimeoutMs, drop)
  })
  redis.on('ready', () => {
    cancelHandshake()
    lostBy = null
    ends = 0
  })
  redis.on('close', () => cancelHandshake())
  // The driver gives up where the primary cannot be found.
  redis.on('end', () => {
    ends += 1
    if (!isClosed) again = setTimeout(() => redis.connect().catch(() => {}), reconnectDelayMs(ends))
  })

  function drop(): void {
    redis.disconnect(true)
    redis.stream?.destroy()
  }

  return {
    redis,
    get number() {
      return number
    },
    get isReady() {
      return redis.status === 'ready' && redis.stream.writable
    },
    get lostBy() {
      return lostBy
    },
    get bytesRead() {
      return redis.stream?.bytesRead ?? 0
    },
    onReady(listener) {
      redis.on('ready', listener)
    },
    drop,
    async close() {
      isClosed = true
      clearTimeout(again)
      cancelHandshake()
      await closeRedis(redis)
    },
  }
}

/** Resolves once connected, or once it is clear that Redis is not there now. */
export async function readyOrNot({ redis }: Connection, patienceMs: number): Promise<void> {
  const over = new AbortController()
  const signal = AbortSignal.any([over.signal, AbortSignal.timeout(patienceMs)])
  const outcomes = ['ready', 'close', 'end'].map((event) => once(redis, event, { signal }))
  await Promise.race(outcomes).catch(() => null)
  over.abort()
  await Promise.allSettled(outcomes)
}

async function closeRedis(redis: Redis): Promise<void> {
  if (redis.status === 'end') return
  const connected = redis.status !== 'reconnecting'
  // Not `once` of node:events, which an error on the way would reject.
  const ended = new Promise<void>((resolve) => redis.once('end', resolve))
  redis.disconnect()
  if (connected) await ended
}

function reconnectDelayMs(attempt: number): number {
  return Math.min(50 * 2 ** Math.min(attempt - 1, 10), longestReconnectDelayMs)
}

function addressOf({ url }: RedisServers): RedisAddress {
  const answer = readRedisUrl(url)
  if ('problem' in answer) throw new TypeError(`The URL of Redis ${answer.problem}.`)
  return answer.address
}

/** With the driver's defaults, the first failure with Redis down took 73 s, and a script could run twice. */
function failFast(commandTimeoutMs: number) {
  return {
    connectTimeout: 4 * commandTimeoutMs,
    disconnectTimeout: 0,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    retryStrategy: reconnectDelayMs,
    maxLoadingRetryTime: longestReconnectDelayMs,
    // RESP2 is all that we need, and every Redis, Valkey and proxy in between speaks it.
    protocol: 2,
    disableClientInfo: true,
  } satisfies RedisOptions
}

/** What a server says that is no longer ours to write to. The next connect finds the one that is, or waits for it. */
const notOurs: readonly (string | null)[] = ['READONLY', 'MASTERDOWN']
const notOurNode: readonly (string | null)[] = [...notOurs, 'MOVED', 'CLUSTERDOWN']

function whereTo(
  { kind, tls, user, password, db, servers, name }: RedisAddress,
  sentinelPassword: string | null,
  key: string,
  commandTimeoutMs: number,
): RedisOptions {
  const login = {
    ...(user === null ? {} : { username: user }),
    ...(password === null ? {} : { password }),
    ...(tls ? { tls: {} } : {}),
  }
  const finding = (of: Pick<Finder, 'login' | 'ask'>) =>
    findingConnector({ servers, patienceMs: 2 * commandTimeoutMs, ...of })
  const reconnectOnError = (codes: typeof notOurs) => (error: Error) => codes.includes(codeOf(error))
  const places = {
    single: () => ({
      ...servers[0]!,
      Connector: PrimaryConnector,
      reconnectOnError: reconnectOnError(notOurs),
    }),
    sentinel: () => ({
      Connector: finding({
        login: sentinelPassword === null ? {} : { password: sentinelPassword },
        ask: (redis) => askSentinel(redis, name),
      }),
      reconnectOnError: reconnectOnError(notOurs),
    }),
    cluster: () => ({
      Connector: finding({ login, ask: (redis, server) => askNode(redis, key, server) }),
      reconnectOnError: reconnectOnError(notOurNode),
    }),
  }
  return { ...login, db, ...places[kind]() }
}
