// What a change makes of the fleet's version, of an eviction that is asked, and of the wanted size. Pure.

import type { Head, Step } from '../records.ts'

type Sizes = Pick<Head, 'wantedSize' | 'configuredSize'>

/** One more; where the store of pins was ahead, one above that. The only gaps in the ledger are such. */
export function nextVersion(version: number, steps: readonly Step[]): number {
  return Math.max(version, ...steps.map((step) => (step.kind === 'version_raised' ? step.above : 0))) + 1
}

/** @param version  of this change */
export function nextEviction(asked: number | null, version: number, steps: readonly Step[]): number | null {
  return steps.reduce((wish, step) => {
    if (step.kind === 'eviction_asked') return version
    if (step.kind === 'jobs_evicted' && wish !== null && wish <= step.asked) return null
    return wish
  }, asked)
}

export function nextSizes({ wantedSize, configuredSize }: Sizes, steps: readonly Step[]): Sizes {
  const last = steps.findLast((step) => step.kind === 'size_wanted')
  return last ? { wantedSize: last.to, configuredSize: last.configured } : { wantedSize, configuredSize }
}

/** @throws Error where the steps cannot be meant: `decide` was told the version */
export function checkRaise({ version }: Pick<Head, 'version'>, steps: readonly Step[]): void {
  for (const step of steps)
    if (step.kind === 'version_raised' && !(Number.isSafeInteger(step.above) && step.above >= version))
      throw new Error(`version_raised above ${step.above}, but the fleet is at ${version}`)
}
