// What jobs say of their upstreams, until it is written down.

import type { StoreLimits } from '../limits.ts'
import type { Reports, WaitingReport } from '../store.ts'

type Parts = { readonly now: () => number; readonly limits: StoreLimits }

export function makeMemoryReports({ now, limits }: Parts): Reports {
  const reports = new Map<string, WaitingReport>()

  return {
    async add(report) {
      if (reports.size >= limits.waitingReports) return false
      reports.set(report.id, { ...report, atMs: now() })
      return true
    },

    async waiting(limit) {
      return [...reports.values()].slice(0, limit)
    },

    async remove(ids) {
      for (const id of ids) reports.delete(id)
    },
  }
}
