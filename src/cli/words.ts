// The words for what the API says in codes: a state, a rule, a reason, a step of the ledger. Pure. What a newer
// server says in a code that is not known here is shown as it stands.

import { upstreamChange } from './upstream-change.ts'
import type { Restriction, Selector, Step, Upstream } from './shapes.ts'
import { cell, count } from './table.ts'

/** `running (quarantined, ejected)`, `draining (3 jobs left)` */
export function stateOf(
  upstream: Pick<Upstream, 'state' | 'quarantined' | 'ejected' | 'pins' | 'drain'>,
): string {
  const { state, quarantined, ejected } = upstream
  const marks = [
    ...(state === 'draining' ? [whatIsLeft(upstream)] : []),
    ...(quarantined ? ['quarantined'] : []),
    ...(ejected ? ['ejected'] : []),
  ]
  return marks.length === 0 ? state : `${state} (${marks.join(', ')})`
}

function whatIsLeft({ pins, drain }: Pick<Upstream, 'pins' | 'drain'>): string {
  if (drain?.drainedAt) return 'drained'
  return pins === null ? 'nobody knows how many jobs are left' : `${count(pins, 'job')} left`
}

/** As a person writes it: IPv6 in brackets. Null while it has none. */
export function addressOf({ host, port }: Pick<Upstream, 'host' | 'port'>): string | null {
  if (host === null || host === '') return null
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** `up-1,up-2` or `pool=payments` */
export function selectorOf(selector: Selector): string {
  return cell('ids' in selector ? selector.ids : selector.labels)
}

const targetsShown = 3

/** `bank.example,*.bank.example`, `a,b,c and 7 more, report only`; null for any. `show` tells them all. */
export function targetsOf({ targets, report }: Pick<Restriction, 'targets' | 'report'>): string | null {
  if (!targets) return null
  const more = targets.length - targetsShown
  const shown = `${cell(targets.slice(0, targetsShown))}${more > 0 ? ` and ${more} more` : ''}`
  return `${shown}${report ? ', report only' : ''}`
}

/** `exclusive payment/bank-a on pool=payments, with overflow`, `targets payment/* to *.bank.example` */
export function ruleOf(rule: Restriction): string {
  const { kind, upstreams, overflow } = rule
  const on = kind === 'targets' ? '' : ` on ${selectorOf(upstreams)}${overflow ? ', with overflow' : ''}`
  const targets = targetsOf(rule)
  const to = targets === null ? '' : `${on === '' ? '' : ','} to ${targets}`
  return `${kind} ${laneOf(rule)}${on}${to}`
}

export function laneOf({ type, institution }: { type: string | null; institution: string | null }): string {
  return `${type ?? '*'}/${institution ?? '*'}`
}

const reasons: { readonly [reason: string]: string } = {
  provisioning: 'is still being made',
  draining: 'is draining',
  deleting: 'is being deleted',
  deleted: 'is deleted',
  failed: 'has failed',
  denied: 'a deny keeps this lane off it',
  kept_for_others: 'is exclusive to other lanes',
  lane_kept_elsewhere: 'the lane has upstreams of its own',
  quarantined: 'is quarantined by a person',
  ejected: 'is ejected by probes',
}

/** Why an upstream does not serve a lane. */
export function reasonOf(reason: string): string {
  return Object.hasOwn(reasons, reason) ? reasons[reason]! : reason.replaceAll('_', ' ')
}

type Sentence = (step: Step) => string

const sentences: { readonly [kind: string]: Sentence } = {
  upstream_added: ({ upstream }) => {
    const { id, egressIp, ...place } = upstream as Upstream
    const address = addressOf(place)
    if (address === null) return `ordered upstream ${id}`
    return `added upstream ${id} at ${address}${egressIp ? `, egress IP ${egressIp}` : ''}`
  },
  upstream_changed: ({ id, from, to }) => upstreamChange(String(id), from ?? {}, to ?? null),
  upstream_deleted: ({ id, by }) =>
    by === 'provider' ? `upstream ${id} is gone from its provider` : `deleted upstream ${id}`,
  restriction_added: ({ restriction }) => {
    const rule = restriction as Restriction
    return `added restriction ${rule.id}: ${ruleOf(rule)}`
  },
  restriction_replaced: ({ from, restriction }) => {
    const rule = restriction as Restriction
    return `replaced restriction ${rule.id}: ${ruleOf(rule)}; it was ${ruleOf(from as Restriction)}`
  },
  restriction_removed: ({ restriction }) => {
    const rule = restriction as Restriction
    return `removed restriction ${rule.id}: ${ruleOf(rule)}`
  },
  eviction_asked: () => 'asked to release the jobs that no longer fit',
  jobs_evicted: ({ asked, jobs }) =>
    `released ${jobs} job${jobs === 1 ? '' : 's'} that no longer fit version ${asked}`,
  size_wanted: ({ from, to, configured }) =>
    from === to
      ? `noted that the configured size is ${sizeOf(configured)}`
      : `changed how many upstreams are wanted from ${sizeOf(from)} to ${sizeOf(to)}`,
  version_raised: ({ above }) => `raised the version above ${above}, which the store of pins had`,
}

/** What was changed, as a sentence without its subject. Never throws, whatever the ledger holds. */
export function stepOf(step: Step): string {
  const sentence = Object.hasOwn(sentences, step.kind) ? sentences[step.kind] : undefined
  try {
    if (sentence) return sentence(step)
  } catch {
    // A field is not as it is today: shown as it stands, below.
  }
  const { kind, ...fields } = step
  const rest = cell(fields)
  return `${kind.replaceAll('_', ' ')}${rest === '-' ? '' : ` ${rest}`}`
}

/** No target: as many as there are. */
function sizeOf(wanted: unknown): string {
  return wanted === null || wanted === undefined ? 'any number' : String(wanted)
}
