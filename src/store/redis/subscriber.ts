// Hears one channel of Redis, on a connection of its own: one that subscribes can do nothing else.

import { Redis } from 'ioredis'
import { closeConnection, reconnectDelayMs, type RedisServers } from './client.ts'

export type SubscriberOptions = {
  readonly servers: RedisServers
  readonly channel: string
  /** After each subscription, the first and those after a loss: what was published in between was not heard. */
  readonly onSubscribed: () => void
  /** Once for each `onSubscribed`, when that subscription breaks. */
  readonly onLost: () => void
  readonly onMessage: (text: string) => void
}

export type Subscriber = { close(): Promise<void> }

/**
 * Tries until it is closed, also where Redis is down at first, and says nothing of its failures: the commands' connection does.
 * @throws TypeError where the URL is not one
 */
export function openSubscriber({
  servers,
  channel,
  onSubscribed,
  onLost,
  onMessage,
}: SubscriberOptions): Subscriber {
  let isSubscribed = false
  const redis = new Redis(servers.url, {
    enableOfflineQueue: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    retryStrategy: reconnectDelayMs,
    // Silence is normal here, so only TCP can tell that the other side is gone.
    keepAlive: 30_000,
    protocol: 2,
    disableClientInfo: true,
  })
  redis.on('error', () => {})
  redis.on('ready', () => void redis.subscribe(channel).then(subscribed, () => undefined))
  redis.on('close', lost)
  redis.on('message', (_channel: string, text: string) => onMessage(text))

  function subscribed(): void {
    isSubscribed = true
    onSubscribed()
  }

  function lost(): void {
    if (!isSubscribed) return
    isSubscribed = false
    onLost()
  }

  return { close: () => closeConnection(redis) }
}
