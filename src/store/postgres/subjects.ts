// What the steps of a change are about: the ids by which people look for a row of the ledger. Pure.

import type { Step } from '../records.ts'

/** The id of an upstream or restriction; null for a step that is about the whole fleet. */
export function subjectOf(step: Step): string | null {
  switch (step.kind) {
    case 'upstream_added':
      return step.upstream.id
    case 'upstream_changed':
    case 'upstream_deleted':
      return step.id
    case 'restriction_added':
    case 'restriction_replaced':
    case 'restriction_removed':
      return step.restriction.id
    default:
      return null
  }
}

/** Each once. */
export function subjectsOf(steps: readonly Step[]): string[] {
  const ids = steps.map(subjectOf).filter((id) => id !== null)
  return [...new Set(ids)]
}
