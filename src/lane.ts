// The lane of a job, and its one spelling. Imports types.

import type { Job, Lane } from './types.ts'

export function laneOf(job: Pick<Job, 'type' | 'institution'>): Lane {
  return { type: job.type ?? '*', institution: job.institution ?? '*' }
}

/** How a lane is written in keys, logs and tables: `payment:bank-a`, `*:*`. Unambiguous: neither part holds a `:`. */
export function laneName(lane: Lane): string {
  return `${lane.type}:${lane.institution}`
}

/** `laneName` read back. */
export function laneNamed(name: string): Lane {
  const [type = '*', institution = '*'] = name.split(':')
  return { type, institution }
}

/** A later request of a job may leave its type and institution out or repeat them (design 5). */
export function saysTheSame(asked: Job, pinned: Job): boolean {
  const isSame = (part: 'type' | 'institution') => asked[part] === null || asked[part] === pinned[part]
  return isSame('type') && isSame('institution')
}
