// What the other gateways do with pins, on a connection of its own: one that subscribes can do nothing else. It is opened
// with the first follower, and says nothing of its failures: the commands' connection does.

import type { Feed, Follower, Notice, Touch } from '../store.ts'
import type { RedisServers } from './connection.ts'
import { pinOf, type PinRecord } from './pin-record.ts'
import { openSubscriber, type Subscriber } from './subscriber.ts'

export type RedisFeed = Feed & { close(): Promise<void> }

type FeedOptions = {
  readonly servers: RedisServers
  readonly channel: string
  readonly commandTimeoutMs: number
}

export function makeRedisFeed({ servers, channel, commandTimeoutMs }: FeedOptions): RedisFeed {
  const followers: Follower[] = []
  let subscriber: Subscriber | null = null
  let isSubscribed = false

  function open(): Subscriber {
    return openSubscriber({
      servers,
      channel,
      commandTimeoutMs,
      onSubscribed: subscribed,
      onLost: lost,
      onMessage(text) {
        const notice = readNotice(text)
        if (notice) for (const follower of followers) follower.heard(notice)
      },
    })
  }

  function subscribed(): void {
    isSubscribed = true
    for (const follower of followers) follower.subscribed()
  }

  function lost(): void {
    if (!isSubscribed) return
    isSubscribed = false
    for (const follower of followers) follower.lost()
  }

  return {
    follow(follower) {
      followers.push(follower)
      subscriber ??= open()
      if (isSubscribed) follower.subscribed()
    },

    async close() {
      await subscriber?.close()
    },
  }
}

/** What lua/feed.lua tells. */
type Told = {
  released?: unknown
  at?: unknown
  pinned?: unknown
  pin?: unknown
  until?: unknown
  touched?: unknown
  beat?: unknown
  n?: unknown
}

/** null for what a newer program may say and this one does not know. */
export function readNotice(text: string): Notice | null {
  try {
    const told = JSON.parse(text) as Told
    return readReleased(told) ?? readPinned(told) ?? readTouched(told) ?? readBeat(told)
  } catch {
    return null
  }
}

function readReleased({ released, at }: Told): Notice | null {
  if (typeof released !== 'string' || typeof at !== 'number') return null
  return { kind: 'released', jobId: released, pinnedAtMs: at }
}

function readPinned({ pinned, pin, until }: Told): Notice | null {
  if (typeof pinned !== 'string' || typeof until !== 'number') return null
  return { kind: 'pinned', pin: pinOf(pinned, pin as PinRecord, until) }
}

function readTouched({ touched }: Told): Notice | null {
  if (!Array.isArray(touched)) return null
  return { kind: 'touched', touches: touched.flatMap(readTouch) }
}

function readTouch(touch: unknown): Touch[] {
  if (!Array.isArray(touch)) return []
  const [jobId, upstreamId, used] = touch as unknown[]
  if (typeof jobId !== 'string' || typeof upstreamId !== 'string') return []
  return [{ jobId, upstreamId, used: used === true }]
}

function readBeat({ beat, n }: Told): Notice | null {
  if (typeof beat !== 'string' || typeof n !== 'number') return null
  return { kind: 'beat', gatewayId: beat, beats: n }
}
