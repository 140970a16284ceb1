// Redis as the store asks it: fast to fail, and saying why. Nothing waits while Redis is away, nothing is sent twice, and
// no wait is longer than it may be.

import type { Redis } from 'ioredis'
import { openConnection, readyOrNot, type RedisServers } from './connection.ts'
import { hideSecrets } from './failure.ts'
import { makeGroupWait } from './group-wait.ts'
import { makeLine } from './line.ts'

/** What may be sent to Redis; more than one of them in a call shares its one time limit. */
export type Commands = Redis

export type RedisClient = {
  /**
   * One bounded wait: it ends within `commandTimeoutMs`, whatever it takes inside.
   * @throws GatewayError store_unavailable
   */
  ask<T>(send: (redis: Commands) => Promise<T>): Promise<T>
  /**
   * As `ask`, and what it wrote is at `waitReplicas` replicas; with 0 it is `ask`. Where too few have it, it is written all
   * the same: asked again, it waits again.
   * @throws GatewayError store_unavailable
   */
  askReplicated<T>(send: (redis: Commands) => Promise<T>): Promise<T>
  /** Raised before commands may reach another server than before. */
  readonly connection: number
  close(): Promise<void>
}

type ClientOptions = {
  readonly servers: RedisServers
  /** Any key of the fleet: in a Cluster its slot says which node is ours. */
  readonly key: string
  readonly commandTimeoutMs: number
  /** Replicas that must have what `askReplicated` wrote. */
  readonly waitReplicas: number
}

/** Of the time limit of a call: it may be held for one WAIT, and then needs its own. */
const waitShare = 0.4

// Commands of one turn of the event loop share a write: 10-14 us of CPU each instead of 86.
const more = { enableAutoPipelining: true }

/**
 * Resolves once connected, or once it is clear that Redis is not there now. It keeps trying until closed.
 * @throws TypeError where the URL is not one
 */
export async function openRedisClient({
  servers,
  key,
  commandTimeoutMs,
  waitReplicas,
}: ClientOptions): Promise<RedisClient> {
  const hide = hideSecrets(servers)
  const open = () => openConnection({ servers, key, commandTimeoutMs, more })
  const connection = open()
  const { redis } = connection
  const line = makeLine({ connection, commandTimeoutMs, hide })
  const ask: RedisClient['ask'] = (send) => line.ask(() => send(redis))
  const opened = readyOrNot(connection, commandTimeoutMs)
  if (waitReplicas === 0) {
    await opened
    return {
      ask,
      askReplicated: ask,
      get connection() {
        return connection.number
      },
      close: () => connection.close(),
    }
  }

  const waiting = open()
  const waitingLine = makeLine({ connection: waiting, commandTimeoutMs, hide })
  const waitMs = Math.ceil(commandTimeoutMs * waitShare)
  const askInGroup = makeGroupWait({ connection: waiting, replicas: waitReplicas, waitMs })
  await Promise.all([opened, readyOrNot(waiting, commandTimeoutMs)])
  return {
    ask,
    askReplicated: (send) => waitingLine.ask((call) => askInGroup(send, call)),
    get connection() {
      return connection.number + waiting.number
    },
    async close() {
      await Promise.all([connection.close(), waiting.close()])
    },
  }
}
