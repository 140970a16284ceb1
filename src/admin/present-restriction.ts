// A restriction as people and programs see it in the admin API (design 11). Pure.

import type { RestrictionRecord } from '../store/records.ts'
import type { RestrictionShape } from './shapes.ts'

export function presentRestriction(record: RestrictionRecord): RestrictionShape {
  const { id, kind, type, institution, upstreams, overflow, targets = null, report = false, source } = record
  return {
    id,
    kind,
    type,
    institution,
    upstreams,
    overflow,
    targets,
    report,
    source,
    createdAt: new Date(record.createdAtMs).toISOString(),
    updatedAt: new Date(record.updatedAtMs).toISOString(),
  }
}
