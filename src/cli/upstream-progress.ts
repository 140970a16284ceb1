// How far an upstream is on its way, in one line; and whether it has come to where it was sent. Pure.

import type { ProgressLine } from './progress.ts'
import type { Drain, Upstream } from './shapes.ts'
import { cell, count } from './table.ts'
import { addressOf } from './words.ts'

export type Goal = 'running' | 'drained' | 'deleted'

/** `text` goes on from the upstream's name. */
export type End = { readonly isReached: boolean; readonly text: string }

type Words = { readonly text: string; readonly ticking?: string }

/** @param dateMs  now, as Unix milliseconds */
export function progressOf(upstream: Upstream, dateMs: number): ProgressLine {
  return { subject: upstream.id, ...wordsFor(upstream, dateMs) }
}

function wordsFor(upstream: Upstream, dateMs: number): Words {
  const { state, host, drain = null } = upstream
  if (state === 'draining' && drain) return drainingWords(upstream, drain, dateMs)
  if (state === 'provisioning') {
    const step = host === null ? 'waiting for its machine' : 'waiting for good probes'
    return withProblem(`provisioning: ${step}`, upstream, dateMs)
  }
  return withProblem(cell(state), upstream, dateMs)
}

function drainingWords(upstream: Upstream, drain: Drain, dateMs: number): Words {
  if (drain.drainedAt !== null)
    return { text: `drained${closedBy(drain)}${drain.thenDelete ? ', to be deleted' : ''}` }
  return {
    text: `draining  ${whatIsLeft(upstream)}`,
    ticking: `, ${timeLeft(Date.parse(drain.deadline) - dateMs)} to the deadline`,
  }
}

function whatIsLeft({ pins, tunnels }: Upstream): string {
  if (pins === null || tunnels === null) return 'jobs not known while Redis is away'
  if (pins === 0 && tunnels === 0) return 'no jobs left, waiting for every gateway to say so'
  return `${count(pins, 'job')}, ${count(tunnels, 'tunnel')} left`
}

function closedBy({ shut }: Drain): string {
  if (shut === null) return ''
  return `; its deadline closed ${count(shut.pins, 'job')}, ${count(shut.tunnels, 'tunnel')}`
}

/** The bracket closes behind what ticks. */
function withProblem(text: string, { problem = null, retryAt = null }: Upstream, dateMs: number): Words {
  if (problem === null) return { text }
  const next =
    retryAt === null ? '' : `; next try in ${Math.max(0, Math.ceil((Date.parse(retryAt) - dateMs) / 1000))} s`
  return { text: `${text} (${cell(problem)}`, ticking: `${next})` }
}

/** `14:32`, `1:02:03` */
export function timeLeft(ms: number): string {
  const left = Math.max(0, Math.ceil(ms / 1000))
  const [hours, minutes, seconds] = [Math.floor(left / 3600), Math.floor(left / 60) % 60, left % 60]
  const two = (number: number) => String(number).padStart(2, '0')
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`
}

/** @returns null while it is on its way */
export function endOf(goal: Goal, upstream: Upstream): End | null {
  return ends[goal](upstream)
}

const ends: { readonly [G in Goal]: (upstream: Upstream) => End | null } = {
  running(upstream) {
    const { state } = upstream
    if (state === 'provisioning') return null
    if (state === 'running') return reached(`is running${where(upstream)}`)
    return failed(`${state === 'failed' ? 'has failed' : `is ${cell(state)}, not running`}${why(upstream)}`)
  },

  drained(upstream) {
    const { state, drain } = upstream
    if (state === 'deleting' || state === 'deleted') return reached(`is ${phrases[state]}`)
    if (state === 'draining') return drain?.drainedAt ? reached(`is drained${closedBy(drain)}`) : null
    return failed(cancelled(upstream, 'drain'))
  },

  deleted(upstream) {
    const { state, drain } = upstream
    if (state === 'deleted') return reached(`is ${phrases.deleted}`)
    if (state === 'draining' && drain?.drainedAt && !drain.thenDelete)
      return failed('is drained and stays so: somebody changed its drain, which ends in no deletion now')
    if (state === 'draining' || state === 'deleting') return null
    return failed(cancelled(upstream, 'deletion'))
  },
}

const phrases = { deleting: 'being deleted', deleted: 'deleted' }

function cancelled(upstream: Upstream, asked: string): string {
  return upstream.state === 'running'
    ? `is running again: somebody cancelled its ${asked}`
    : `is ${cell(upstream.state)}, and its ${asked} has ended${why(upstream)}`
}

function why({ problem = null }: Upstream): string {
  return problem === null ? '' : `: ${cell(problem)}`
}

function where(upstream: Upstream): string {
  const address = addressOf(upstream)
  const egress = upstream.egressIp === null ? '' : `, egress IP ${cell(upstream.egressIp)}`
  return address === null ? '' : ` at ${cell(address)}${egress}`
}

function reached(text: string): End {
  return { isReached: true, text }
}

function failed(text: string): End {
  return { isReached: false, text }
}
