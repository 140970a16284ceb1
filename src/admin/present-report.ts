// What a job said of its upstream, as the admin API tells it. Pure.

import type { JobReport } from '../store/records.ts'
import type { ReportShape } from './shapes.ts'

export function presentReport(report: JobReport & { readonly atMs: number }): ReportShape {
  const { atMs, outcome, upstream, type, institution, actor } = report
  return { at: new Date(atMs).toISOString(), outcome, upstream, type, institution, actor }
}
