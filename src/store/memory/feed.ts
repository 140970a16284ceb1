// Notices within the process.

import type { Feed, Follower, Notice } from '../store.ts'

export type MemoryFeed = Feed & { tell(notice: Notice): void }

export function makeMemoryFeed(): MemoryFeed {
  const followers: Follower[] = []
  return {
    follow(follower) {
      followers.push(follower)
      follower.subscribed()
    },

    tell(notice) {
      for (const follower of followers) follower.heard(notice)
    },
  }
}
