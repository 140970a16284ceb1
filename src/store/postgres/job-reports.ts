// What jobs say of their upstreams.

import type { JobReport, JobReports } from '../records.ts'
import type { Db } from './db.ts'
import { queries } from './queries.ts'

type ReportRow = Omit<JobReport, 'jobId' | 'atMs'> & { readonly job_id: string; readonly at: Date }

const keptMs = 30 * 24 * 3_600_000

export function makeJobReports({ db, fleet }: { db: Db; fleet: string }): JobReports {
  return {
    async add(reports) {
      const rows = reports.map(({ jobId, atMs, ...same }, position) => ({
        ...same,
        position,
        job_id: jobId,
        at: atMs === null ? null : new Date(atMs).toISOString(),
      }))
      await db.query(queries['add-job-reports'], [fleet, JSON.stringify(rows)])
    },

    async list(jobId, limit) {
      const rows = await db.query<ReportRow>(queries['list-job-reports'], [fleet, jobId, limit])
      return rows.map(({ job_id: id, at, ...same }) => ({ ...same, jobId: id, atMs: at.getTime() }))
    },

    async sweep() {
      return (await db.query(queries['sweep-job-reports'], [fleet, keptMs])).length
    },
  }
}
