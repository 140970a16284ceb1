// All machines of a fleet, zone by zone and page by page, and why some may be missing: nothing is ever deleted for being
// absent from a list that has problems.

import type { GceCalls, GcePage } from './gce-calls.ts'
import { fleetLabel, instanceOf, type GceReading } from './gce-instance.ts'
import { isProviderError, type Instance, type Listing } from './provider.ts'

type Parts = {
  readonly calls: Pick<GceCalls, 'page'>
  readonly zones: readonly string[]
  readonly reading: GceReading
}

/** @throws ProviderError where no zone answered; the signal's reason */
export async function listFleet(parts: Parts, signal?: AbortSignal): Promise<Listing> {
  const { zones } = parts
  const answers = await Promise.allSettled(zones.map((zone) => listZone(zone, parts, signal)))
  signal?.throwIfAborted()
  const failures = answers.flatMap((answer) =>
    answer.status === 'rejected' ? [answer.reason as unknown] : [],
  )
  const unknown = failures.find((failure) => !isProviderError(failure))
  if (unknown !== undefined || failures.length === zones.length) throw unknown ?? failures[0]
  const listings = answers.map((answer, index) =>
    answer.status === 'fulfilled' ? answer.value : missing(zones[index]!, answer.reason),
  )
  const { instances, problems } = apart(listings.flatMap((listing) => listing.instances))
  return { instances, problems: [...listings.flatMap((listing) => listing.problems), ...problems] }
}

async function listZone(zone: string, { calls, reading }: Parts, signal?: AbortSignal): Promise<Listing> {
  const filter = `labels.${fleetLabel}="${reading.fleet}"`
  const instances: Instance[] = []
  const problems: string[] = []
  const seen = new Set<string>()
  let token: string | null = null
  do {
    const page: GcePage = await calls.page({ zone, filter, token }, signal)
    instances.push(...page.items.map((item) => instanceOf(item, zone, reading)))
    const problem = problemOf(page, { isFirst: token === null })
    if (problem) problems.push(`${zone}: ${problem}`)
    token = page.next
    if (token !== null && seen.has(token)) {
      problems.push(`${zone}: a page leads back to one before it`)
      break
    }
    if (token !== null) seen.add(token)
  } while (token !== null)
  return { instances, problems }
}

/** Where nothing is, Google may say so in a warning; anywhere else that same warning says that something is missing. */
function problemOf({ warning, items, next }: GcePage, { isFirst }: { isFirst: boolean }): string | null {
  if (warning === null) return null
  const isEmptyZone = isFirst && items.length === 0 && next === null
  if (warning === 'NO_RESULTS_ON_PAGE' && isEmptyZone) return null
  return `the list came with a warning, ${warning}`
}

function missing(zone: string, reason: unknown): Listing {
  return {
    instances: [],
    problems: [`${zone}: ${reason instanceof Error ? reason.message : String(reason)}`],
  }
}

/**
 * Two machines under one id (a copy that took the labels along, a name used in two zones): only one can be the upstream,
 * and where one has the id as its name, it is that one.
 */
function apart(instances: readonly Instance[]): Listing {
  const kept = new Map<string, Instance>()
  const problems: string[] = []
  for (const instance of instances) {
    const other = kept.get(instance.id)
    const wins = !other || (other.name !== other.id && instance.name === instance.id)
    const left = wins ? other : instance
    if (wins) kept.set(instance.id, instance)
    if (left) {
      problems.push(
        `${left.zone}: ${left.name} says that it is ${left.id}, as another machine does; take its label lanekeeper-upstream away, or give it another name`,
      )
    }
  }
  return { instances: [...kept.values()], problems }
}
