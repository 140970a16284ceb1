// May the rules be changed so? A rule that selects nothing is a slip of the pen; one that leaves a lane in use without
// any upstream stops its jobs with 503. Both are refused with the reason, unless somebody insists. Pure.

import { ControlError } from '../errors.ts'
import { laneName } from '../lane.ts'
import { makeHasEligible, selects, unknownIds, type Content } from '../routing/restrictions.ts'
import type { Lane, Restriction } from '../types.ts'

const namedAtMost = 5

/** A rule of kind `targets` ties its lanes to no upstream, on purpose. @throws ControlError names_nothing */
export function refuseNamingNothing(
  { id, kind, upstreams: selector }: Restriction,
  { upstreams }: Content,
): void {
  if (kind === 'targets') return
  const unknown = unknownIds(selector, upstreams)
  if (unknown.length > 0) {
    throw new ControlError(
      'names_nothing',
      `Restriction "${id}" names upstreams that are not in the fleet: ${listed(unknown)}. An id is never used again, so ` +
        'it can never select one; mend the ids, or force it.',
    )
  }
  if (upstreams.some((upstream) => selects(selector, upstream))) return
  throw new ControlError(
    'names_nothing',
    `Restriction "${id}" selects no upstream: none has the labels ${JSON.stringify('labels' in selector ? selector.labels : {})}. ` +
      'Mend the labels, or force it if upstreams with them are still to come.',
  )
}

/**
 * Looks only at lanes that had an upstream before. Ejection passes by itself, so an ejected upstream counts as
 * there; a quarantine does not.
 * @param lanes  in which jobs were pinned lately
 * @throws ControlError lane_without_upstream
 */
export function refuseStranding(lanes: readonly Lane[], before: Content, after: Content): void {
  const had = makeHasEligible(withoutEjection(before))
  const has = makeHasEligible(withoutEjection(after))
  const stranded = lanes.filter((lane) => had(lane) && !has(lane)).map(laneName)
  if (stranded.length === 0) return
  throw new ControlError(
    'lane_without_upstream',
    `No upstream would be left for ${stranded.length === 1 ? 'a lane' : `${stranded.length} lanes`} in use: ${listed(stranded)}. ` +
      'Its jobs would get 503; choose other upstreams, or force it.',
  )
}

function withoutEjection({ upstreams, restrictions }: Content): Content {
  return { upstreams: upstreams.map((upstream) => ({ ...upstream, ejected: false })), restrictions }
}

function listed(names: readonly string[]): string {
  const more = names.length - namedAtMost
  return names.slice(0, namedAtMost).join(', ') + (more > 0 ? ` and ${more} more` : '')
}
