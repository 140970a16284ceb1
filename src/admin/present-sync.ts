// What the last comparison with the provider's list came to, as the admin API tells it. Pure.

import type { SyncReport } from '../store/records.ts'
import type { SyncReportShape } from './shapes.ts'

export function presentSyncReport(report: SyncReport): SyncReportShape {
  const { pass, holder, startedAtMs, endedAtMs, outcome, problems, listed, recorded } = report
  return {
    pass,
    holder,
    startedAt: new Date(startedAtMs).toISOString(),
    endedAt: new Date(endedAtMs).toISOString(),
    outcome,
    problems: [...problems],
    listed,
    recorded,
    corrected: report.corrected.map(({ id, action, detail }) => ({ id, action, detail })),
    left: report.left.map(({ id, detail }) => ({ id, detail })),
  }
}
