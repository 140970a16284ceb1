// Notices of the other gateways, on a connection of their own: one that subscribes can do nothing else. It is
// opened with the first listener, and says nothing of its failures: the commands' connection does.

import { Redis } from 'ioredis'
import type { Feed, Notice } from '../store.ts'
import { closeConnection, reconnectDelayMs } from './client.ts'

export type RedisFeed = Feed & { close(): Promise<void> }

export function makeRedisFeed({ url, channel }: { url: string; channel: string }): RedisFeed {
  let subscriber: Redis | null = null

  function open(): Redis {
    const redis = new Redis(url, {
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
    // Where we may not subscribe, touches tell us all the same, a second later.
    redis.on('ready', () => void redis.subscribe(channel).catch(() => undefined))
    return redis
  }

  return {
    follow(listener) {
      subscriber ??= open()
      subscriber.on('message', (_channel: string, text: string) => {
        const notice = readNotice(text)
        if (notice) listener(notice)
      })
    },

    async close() {
      if (subscriber) await closeConnection(subscriber)
    },
  }
}

/** null for what a newer program may say and this one does not know. */
export function readNotice(text: string): Notice | null {
  try {
    const { released, at } = JSON.parse(text) as { released?: unknown; at?: unknown }
    if (typeof released !== 'string' || typeof at !== 'number') return null
    return { kind: 'released', jobId: released, pinnedAtMs: at }
  } catch {
    return null
  }
}
