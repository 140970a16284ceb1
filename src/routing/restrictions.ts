// Which upstreams may serve a lane, in its rendezvous order, and why not the others (design 6). Pure.
// The same answer builds rings and GET /v1/explain. No rule is bent because nothing is left.

import { laneName } from '../lane.ts'
import type {
  Labels,
  Lane,
  Restriction,
  Snapshot,
  Upstream,
  UpstreamSelector,
  UpstreamState,
} from '../types.ts'
import { rendezvousOrder } from './rendezvous.ts'

/** In the order in which they are looked for: first what it is, then what people decided, then what a probe saw. */
export type RefusalReason =
  | Exclude<UpstreamState, 'running'>
  /** A deny names the upstream and the lane. */
  | 'denied'
  /** The upstream is exclusive to other lanes. */
  | 'kept_for_others'
  /** The lane has an exclusive rule, and must use that rule's upstreams. */
  | 'lane_kept_elsewhere'
  | 'quarantined'
  | 'ejected'

export type Refusal = {
  readonly upstream: string
  readonly reason: RefusalReason
  /** The id of the first such restriction, in the snapshot's order; null where none is the reason. */
  readonly restriction: string | null
}

export type Eligibility = {
  readonly eligible: Upstream[]
  /** In the snapshot's order. Every upstream is either here or in `eligible`. */
  readonly refused: Refusal[]
}

/** What of a snapshot decides. */
export type Content = Pick<Snapshot, 'upstreams' | 'restrictions'>

/** The first rule that selects each upstream, of those upstreams that any selects. */
type RuleOf = ReadonlyMap<Upstream, Restriction>

type Rules = {
  readonly denied: RuleOf
  /** By an exclusive rule that the lane matches. */
  readonly own: RuleOf
  /** By an exclusive rule that it does not match. */
  readonly others: RuleOf
  /** The exclusive rule that holds the lane to `own`; null where the lane may use the rest too. */
  readonly binding: Restriction | null
}

export function eligible(lane: Lane, snapshot: Content): Eligibility {
  const rules = rulesFor(lane, snapshot, makeFinder(snapshot.upstreams))
  const left: Upstream[] = []
  const refused: Refusal[] = []
  for (const upstream of snapshot.upstreams) {
    const refusal = refusalOf(upstream, rules)
    if (refusal) refused.push(refusal)
    else left.push(upstream)
  }
  return { eligible: rendezvousOrder(laneName(lane), left), refused }
}

/** Is anything left for the lane? Made once for many lanes of one snapshot, as `eligible` is not. */
export function makeHasEligible(snapshot: Content): (lane: Lane) => boolean {
  const find = makeFinder(snapshot.upstreams)
  return (lane) => {
    const rules = rulesFor(lane, snapshot, find)
    return snapshot.upstreams.some((upstream) => refusalOf(upstream, rules) === null)
  }
}

/**
 * Does a rule keep this upstream from the lane, whatever state the upstream is in? Made once for many pins of one
 * snapshot. False for an upstream that is not in it.
 */
export function makeIsForbidden(snapshot: Content): (lane: Lane, upstreamId: string) => boolean {
  const find = makeFinder(snapshot.upstreams)
  const byId = new Map(snapshot.upstreams.map((upstream) => [upstream.id, upstream]))
  const byLane = new Map<string, Rules>()
  return (lane, upstreamId) => {
    const upstream = byId.get(upstreamId)
    if (!upstream) return false
    const rules = byLane.get(laneName(lane)) ?? rulesFor(lane, snapshot, find)
    byLane.set(laneName(lane), rules)
    return ruleAgainst(upstream, rules) !== null
  }
}

/** Ids that a rule names and the fleet does not have. */
export function unknownIds(selector: UpstreamSelector, upstreams: readonly Pick<Upstream, 'id'>[]): string[] {
  const known = new Set(upstreams.map(({ id }) => id))
  return 'ids' in selector ? selector.ids.filter((id) => !known.has(id)) : []
}

/** A rule that names a type or institution does not match a job that named none (`*`). */
export function matchesLane(
  { type, institution }: Pick<Restriction, 'type' | 'institution'>,
  lane: Lane,
): boolean {
  return (type === '*' || type === lane.type) && (institution === '*' || institution === lane.institution)
}

/** No labels select nothing, as no ids do: a rule that lost its selector must not take in the whole fleet. */
export function selects(selector: UpstreamSelector, upstream: Pick<Upstream, 'id' | 'labels'>): boolean {
  if ('ids' in selector) return selector.ids.includes(upstream.id)
  const wanted = Object.entries(selector.labels)
  return wanted.length > 0 && wanted.every(([label, value]) => upstream.labels[label] === value)
}

function refusalOf(upstream: Upstream, rules: Rules): Refusal | null {
  const refuse = (reason: RefusalReason) => ({ upstream: upstream.id, reason, restriction: null })
  if (upstream.state !== 'running') return refuse(upstream.state)
  const against = ruleAgainst(upstream, rules)
  if (against) return against
  if (upstream.quarantined) return refuse('quarantined')
  return upstream.ejected ? refuse('ejected') : null
}

/** What the rules alone say. */
function ruleAgainst(upstream: Upstream, { denied, own, others, binding }: Rules): Refusal | null {
  const refuse = (reason: RefusalReason, { id }: Restriction) => ({
    upstream: upstream.id,
    reason,
    restriction: id,
  })
  const deny = denied.get(upstream)
  if (deny) return refuse('denied', deny)
  if (own.has(upstream)) return null
  const other = others.get(upstream)
  if (other) return refuse('kept_for_others', other)
  return binding ? refuse('lane_kept_elsewhere', binding) : null
}

function rulesFor(lane: Lane, { restrictions }: Content, find: Finder): Rules {
  const exclusive = restrictions.filter(({ kind }) => kind === 'exclusive')
  const matching = exclusive.filter((rule) => matchesLane(rule, lane))
  return {
    denied: ruleOf(
      restrictions.filter((rule) => rule.kind === 'deny' && matchesLane(rule, lane)),
      find,
    ),
    own: ruleOf(matching, find),
    others: ruleOf(
      exclusive.filter((rule) => !matchesLane(rule, lane)),
      find,
    ),
    binding: matching.find((rule) => binds(rule, find)) ?? null,
  }
}

/**
 * Each matching rule holds the lane by itself, so one without overflow holds it whatever the others say. Quarantine
 * is a person's choice and no outage: it does not set the lane free.
 */
function binds(rule: Restriction, find: Finder): boolean {
  return !rule.overflow || find(rule.upstreams).some(({ state, ejected }) => state === 'running' && !ejected)
}

function ruleOf(rules: readonly Restriction[], find: Finder): RuleOf {
  const found = new Map<Upstream, Restriction>()
  const done = new Set<readonly Upstream[]>()
  for (const rule of rules) {
    const selected = find(rule.upstreams)
    if (done.has(selected)) continue
    done.add(selected)
    for (const upstream of selected) if (!found.has(upstream)) found.set(upstream, rule)
  }
  return found
}

type Finder = (selector: UpstreamSelector) => readonly Upstream[]

/** The same as `selects` over all upstreams, by an index; the same selector gets the same array again. */
function makeFinder(upstreams: readonly Upstream[]): Finder {
  const byId = new Map(upstreams.map((upstream) => [upstream.id, upstream]))
  const byLabel = indexByLabel(upstreams)
  const byLabels = new Map<string, readonly Upstream[]>()

  function withLabels(labels: Labels): readonly Upstream[] {
    const holders = Object.entries(labels).map((pair) => byLabel.get(labelKey(pair)) ?? [])
    const [fewest = []] = holders.sort((a, b) => a.length - b.length)
    return holders.length > 1 ? fewest.filter((upstream) => selects({ labels }, upstream)) : fewest
  }

  return (selector) => {
    if ('ids' in selector) return selector.ids.flatMap((id) => byId.get(id) ?? [])
    const key = JSON.stringify(selector.labels)
    const found = byLabels.get(key) ?? withLabels(selector.labels)
    byLabels.set(key, found)
    return found
  }
}

function indexByLabel(upstreams: readonly Upstream[]): ReadonlyMap<string, readonly Upstream[]> {
  const byLabel = new Map<string, Upstream[]>()
  for (const upstream of upstreams) {
    for (const pair of Object.entries(upstream.labels)) {
      const holders = byLabel.get(labelKey(pair))
      if (holders) holders.push(upstream)
      else byLabel.set(labelKey(pair), [upstream])
    }
  }
  return byLabel
}

/** The length keeps `a=b` with value `c` apart from `a` with value `b=c`. */
function labelKey([label, value]: [string, string]): string {
  return `${label.length}:${label}=${value}`
}
