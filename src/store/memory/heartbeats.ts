// One report per gateway, newest only.

import type { StoreLimits } from '../limits.ts'
import type { Heartbeats, StoredReport } from '../store.ts'
import type { MemoryFeed } from './feed.ts'
import type { Fleet } from './snapshot.ts'

type Parts = {
  readonly fleet: Fleet
  readonly feed: MemoryFeed
  readonly now: () => number
  readonly limits: StoreLimits
}

export function makeMemoryHeartbeats({ fleet, feed, now, limits }: Parts): Heartbeats {
  const reports = new Map<string, StoredReport>()

  function forgetSilent(nowMs: number): void {
    for (const { id, sentAtMs } of reports.values()) {
      if (sentAtMs <= nowMs - limits.reportKeptMs) reports.delete(id)
    }
  }

  return {
    async beat({ beats, ...report }) {
      const nowMs = now()
      const { id: gatewayId, tunnels, pins } = report
      if (beats !== undefined) feed.tell({ kind: 'beat', gatewayId, beats })
      reports.set(report.id, { ...report, tunnels: { ...tunnels }, pins: { ...pins }, sentAtMs: nowMs })
      forgetSilent(nowMs)
      const others = [...reports.values()].filter(({ id }) => id !== report.id)
      return { version: fleet.version(), nowMs, others }
    },

    async signOff(gatewayId) {
      reports.delete(gatewayId)
    },

    async list() {
      return [...reports.values()]
    },
  }
}
