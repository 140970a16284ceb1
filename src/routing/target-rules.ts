// What a lane may reach, by the restrictions that carry targets (design 6). A lane that matches none reaches whatever the
// guard allows. Names are matched as names, addresses as addresses, and never one by the other: what a name resolves to
// is its owner's word, and may be another bank's. Pure.

import { GatewayError } from '../errors.ts'
import { readAddress } from '../ip-range.ts'
import { laneName } from '../lane.ts'
import { targetPatternOf } from '../target-pattern.ts'
import type { Lane, Restriction, Target } from '../types.ts'
import { quoted } from './quoted.ts'
import { matchesLane } from './restrictions.ts'
import { makeTargetPatterns } from './target-names.ts'
import { formatTarget } from './target.ts'

/** `restrictions`: the ids of the rules that say so, in the snapshot's order. */
export type TargetVerdict =
  | { readonly kind: 'allowed' }
  | { readonly kind: 'refused'; readonly restrictions: readonly string[] }
  /** Let through: rules that only report would refuse it. */
  | { readonly kind: 'reported'; readonly restrictions: readonly string[] }

/** What the rules say of a lane, for people. Null: anything. */
export type LaneTargets = {
  readonly allowed: readonly string[] | null
  /** Anything else is reported. Null where targets are enforced: then the rules that report do not speak. */
  readonly reported: readonly string[] | null
  /** The ids of the rules that say so. */
  readonly restrictions: readonly string[]
}

export type TargetRules = {
  /** @param host  as in a Target: a lower-case name, or an address literal */
  judge(lane: Lane, host: string): TargetVerdict
  about(lane: Lane): LaneTargets
}

/** Lanes are named by clients, so not all are kept; the others are worked out each time. */
const keptLanes = 10_000

const allowed: TargetVerdict = { kind: 'allowed' }

/**
 * Made once per snapshot. Measured 2026-11-21 on a shared core, a rule of 1,000 patterns: 0.2 to 0.4 us for a name or a
 * listed address, 2.5 us for an address that none of 333 ranges holds.
 */
export function makeTargetRules(restrictions: readonly Restriction[]): TargetRules {
  const rules = restrictions.filter(({ targets }) => targets).map(makeRule)
  const kept = new Map<string, OfLane>()

  function ofLane(lane: Lane): OfLane {
    const name = laneName(lane)
    const known = kept.get(name)
    if (known) return known
    const found = rulesOf(lane, rules)
    if (kept.size < keptLanes) kept.set(name, found)
    return found
  }

  return {
    judge(lane, host) {
      if (rules.length === 0) return allowed
      const { speaking, otherwise } = ofLane(lane)
      return speaking.length === 0 || speaking.some((rule) => rule.has(host)) ? allowed : otherwise
    },

    about(lane) {
      const { speaking, otherwise } = rulesOf(lane, rules)
      const targets = [...new Set(speaking.flatMap((rule) => rule.targets))]
      return {
        allowed: otherwise.kind === 'refused' ? targets : null,
        reported: otherwise.kind === 'reported' ? targets : null,
        restrictions: speaking.map(({ id }) => id),
      }
    },
  }
}

/** @param restrictions  as in the verdict */
export function targetRefused(lane: Lane, target: Target, restrictions: readonly string[]): GatewayError {
  const [first, ...more] = restrictions
  const rules = `restriction ${first}${more.length > 0 ? ` and ${more.length} more` : ''}`
  const detail =
    `Jobs of lane ${laneName(lane)} may not reach ${quoted(formatTarget(target))}: ${rules} names what they may. ` +
    'Ask for one of those targets, or have this one added to the rule. See /v1/explain.'
  return new GatewayError('target_denied', { detail, lane: laneName(lane) })
}

type Rule = {
  readonly restriction: Restriction
  readonly id: string
  readonly targets: readonly string[]
  readonly has: (host: string) => boolean
}

/** The rules that decide for a lane, and the verdict on what none of them names. */
type OfLane = { readonly speaking: readonly Rule[]; readonly otherwise: TargetVerdict }

function rulesOf(lane: Lane, rules: readonly Rule[]): OfLane {
  const matching = rules.filter(({ restriction }) => matchesLane(restriction, lane))
  const enforcing = matching.filter(({ restriction }) => !restriction.report)
  const speaking = enforcing.length > 0 ? enforcing : matching
  const ids = speaking.map(({ id }) => id)
  if (ids.length === 0) return { speaking, otherwise: allowed }
  return { speaking, otherwise: { kind: enforcing.length > 0 ? 'refused' : 'reported', restrictions: ids } }
}

function makeRule(restriction: Restriction): Rule {
  const targets = restriction.targets ?? []
  let matches: ((host: string) => boolean) | null = null
  return {
    restriction,
    id: restriction.id,
    targets,
    // Read when first asked for: a snapshot may bring a thousand patterns in each of a thousand rules.
    has(host) {
      matches ??= makeMatcher(targets)
      return matches(host)
    },
  }
}

/** What cannot be read (of a newer control, say) names nothing. */
function makeMatcher(targets: readonly string[]): (host: string) => boolean {
  const { hasName, hasAddress } = makeTargetPatterns(
    targets.flatMap((target) => targetPatternOf(target) ?? []),
  )
  return (host) => {
    const address = readAddress(host)
    return address === null ? hasName(host) : hasAddress(address)
  }
}
