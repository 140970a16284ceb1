// The fleet in words, short enough for one line. Pure.

import type { LedgerEntry, LedgerStep, Upstream } from './admin-api.ts'

const columns = 100

/** Where an upstream is on its way; another text is news. */
export function lifeInWords(upstream: Upstream): string {
  const { state, zone, host, port, egressIp, ejected, problem, drain } = upstream
  if (problem !== null && state === 'provisioning') return `provisioning, and has a problem: ${problem}`
  if (state === 'provisioning' && host === null) return `provisioning: being made in ${zone}`
  if (state === 'provisioning') return `provisioning: made at ${host}:${port}, being probed`
  if (state === 'running' && ejected) return 'ejected: its probes fail, so it gets no new jobs'
  if (state === 'running') return `running: targets see ${egressIp}`
  if (state === 'draining' && drain?.drainedAt != null) return 'drained, and to be deleted'
  if (state === 'deleting') return 'deleting: its machine is to go'
  return state
}

/** What is left on an upstream that is drained. */
export function restInWords({ pins, tunnels }: Upstream): string {
  if (pins === 0 && tunnels === 0) return 'none left; every gateway has to say so'
  return `${number(pins ?? 0, 'job')}, ${number(tunnels ?? 0, 'tunnel')} left`
}

/** `1 job`, `2 jobs` */
export function number(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

/** `  v12  control     lane-demo-ab12cd34 running -> draining (for the demo)` */
export function ledgerLine({ version, actor, reason, steps }: LedgerEntry): string {
  const what = steps.map(stepInWords).join('; ')
  const why = reason === null ? '' : ` (${reason})`
  return cut(`${`v${version}`.padStart(5)}  ${actor.padEnd(10)}  ${what}${why}`)
}

function stepInWords(step: LedgerStep): string {
  const { kind, id, by } = step
  if (kind === 'upstream_added') return `${step.upstream?.id} ordered`
  if (kind === 'upstream_deleted') return `${id} ${by === 'provider' ? 'gone' : 'deleted'}`
  if (kind === 'size_wanted') return `wanted ${textOf(step.from)} -> ${textOf(step.to)}`
  if (kind === 'upstream_changed') return `${id} ${changeInWords(fieldsOf(step.from), fieldsOf(step.to))}`
  return kind.replaceAll('_', ' ')
}

type Fields = { readonly [field: string]: unknown }

function changeInWords(from: Fields, to: Fields): string {
  if (to['state'] !== undefined && to['state'] !== from['state'])
    return `${textOf(from['state'])} -> ${textOf(to['state'])}`
  if (to['ejected'] !== undefined) return to['ejected'] === true ? 'ejected' : 'taken back'
  if (from['host'] === '') return `made at ${textOf(to['host'])}`
  const [drainBefore, drain] = [fieldsOf(from['drain']), fieldsOf(to['drain'])]
  if (drain['drainedAtMs'] && !drainBefore['drainedAtMs']) return 'drained'
  if (drain['thenDelete'] === true && drainBefore['thenDelete'] === false) return 'to be deleted'
  return `changed: ${Object.keys(to).join(', ')}`
}

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {}
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value ?? null)
}

function cut(line: string): string {
  return line.length <= columns ? line : `${line.slice(0, columns - 1)}…`
}
