// What jobs have said of their upstreams, from the store that gateways know to the records. Written down first and
// removed then: a crash in between writes it again, which the report's id makes the same row.

import type { JobReports } from '../store/records.ts'
import type { Reports, WaitingReport } from '../store/store.ts'

/** Of one pass; the next follows a second later. */
const atMost = 500

type Parts = { readonly waiting: Reports; readonly records: JobReports }

export function makeReportCollector({ waiting, records }: Parts) {
  return async function pass(): Promise<void> {
    const reports = await waiting.waiting(atMost)
    if (reports.length === 0) return
    await records.add(reports.toSorted((a, b) => a.atMs - b.atMs).map(recordOf))
    await waiting.remove(reports.map(({ id }) => id))
  }
}

function recordOf({ id, job, upstream, outcome, atMs }: WaitingReport) {
  const { id: jobId, type, institution } = job
  return { id, jobId, type, institution, upstream, outcome, atMs, actor: 'job' }
}
