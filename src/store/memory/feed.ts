// Notices within the process.

import type { Feed, Notice } from '../store.ts'

export type MemoryFeed = Feed & { tell(notice: Notice): void }

export function makeMemoryFeed(): MemoryFeed {
  const listeners: ((notice: Notice) => void)[] = []
  return {
    follow(listener) {
      listeners.push(listener)
    },

    tell(notice) {
      for (const listener of listeners) listener(notice)
    },
  }
}
