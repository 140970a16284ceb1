// What the story of a fleet came to, as checks that can fail. Pure.

import type { LedgerCheck, Upstream } from './admin-api.ts'
import { number } from './fleet-words.ts'
import type { Check } from './report.ts'
import type { Job } from './steady-load.ts'

export type FleetFacts = {
  readonly jobs: readonly Job[]
  /** All upstreams that ever were. */
  readonly upstreams: readonly Upstream[]
  /** As its tombstone tells. */
  readonly drained: Upstream
  readonly killed: string
  /** At the end. */
  readonly listed: readonly Upstream[]
  readonly wanted: number | null
  /** What the cloud has at the end. */
  readonly machines: readonly { readonly name: string; readonly status: string }[]
  readonly ledger: LedgerCheck
}

/** `cut`: its tunnel stood when the machine died. */
const killedStory = /^(ok )*(cut )?(upstream_failed )+pin_lost$/
const mostNamed = 3

export function checkFleet(facts: FleetFacts): Check[] {
  const { jobs, killed, drained, ledger } = facts
  const wanderers = jobs.filter((job) => !keptItsAddress(job, facts.upstreams))
  const failing = jobs.filter(hasFailed)
  const hit = failing.filter(({ upstreams }) => upstreams.has(killed))
  const strangers = failing.filter((job) => !hit.includes(job))
  const odd = hit.filter(({ outcomes }) => !killedStory.test(outcomes.join(' ')))
  const shut = drained.drain?.shut
  return [
    {
      what: 'no job changed its IP',
      holds: jobs.length > 0 && wanderers.length === 0,
      seen: wanderers.length === 0 ? `${jobs.length} jobs, ${requestsOf(jobs)} requests` : named(wanderers),
    },
    {
      what: 'no request failed but those of jobs pinned to the killed one',
      holds: strangers.length === 0,
      seen: strangers.length === 0 ? `${jobs.length - hit.length} other jobs` : told(strangers),
    },
    {
      what: 'these got 502 upstream_failed, then pin_lost',
      holds: hit.length > 0 && odd.length === 0,
      seen: odd.length === 0 ? hitInWords(hit) : told(odd),
    },
    {
      what: 'the drained one was deleted with nothing left on it',
      holds: drained.state === 'deleted' && drained.drain?.drainedAt != null && !shut,
      seen: shut ? `its deadline closed ${shut.pins} jobs, ${shut.tunnels} tunnels` : drained.state,
    },
    sameAsCloud(facts),
    {
      what: 'the ledger is whole',
      holds: ledger.ok,
      seen: ledger.ok ? `${ledger.entries} rows` : `broken at version ${ledger.version}: ${ledger.problem}`,
    },
  ]
}

export function hasFailed({ outcomes }: Job): boolean {
  return outcomes.some((outcome) => outcome !== 'ok')
}

export function count(jobs: readonly Job[], outcome: string): number {
  return jobs.flatMap(({ outcomes }) => outcomes).filter((one) => one === outcome).length
}

function sameAsCloud({ listed, wanted, machines }: FleetFacts): Check {
  const running = listed.filter(({ state }) => state === 'running').map(({ id }) => id)
  const there = machines.filter(({ status }) => status === 'RUNNING').map(({ name }) => name)
  const isSame = running.toSorted().join() === there.toSorted().join()
  const isAll = listed.length === running.length && machines.length === there.length
  return {
    what: 'the cloud has exactly what runs, and as many as are wanted',
    holds: isSame && isAll && running.length === wanted,
    seen: `${machines.length} there, ${running.length} of ${listed.length} running, ${wanted} wanted`,
  }
}

/** The one that Lanekeeper says its upstream has. A job that never had an answer has none. */
function keptItsAddress({ upstreams, addresses }: Job, all: readonly Upstream[]): boolean {
  const [upstream, ...others] = upstreams
  const told = all.find(({ id }) => id === upstream)?.egressIp
  return others.length === 0 && [...addresses].every((address) => address === told)
}

function requestsOf(jobs: readonly Job[]): number {
  return jobs.reduce((sum, { outcomes }) => sum + outcomes.length, 0)
}

function hitInWords(hit: readonly Job[]): string {
  const times = ['cut', 'upstream_failed', 'pin_lost'].map((outcome) => count(hit, outcome))
  return `${number(hit.length, 'job')}: ${times[0]} cut, ${times[1]} and ${times[2]} refused`
}

function named(jobs: readonly Job[]): string {
  return firstOf(jobs, ({ id, upstreams, addresses }) => `${id}: ${[...upstreams, ...addresses].join(' ')}`)
}

function told(jobs: readonly Job[]): string {
  return firstOf(jobs, ({ id, outcomes }) => `${id}: ${outcomes.join(' ')}`)
}

function firstOf(jobs: readonly Job[], text: (job: Job) => string): string {
  const more = jobs.length > mostNamed ? [`and ${jobs.length - mostNamed} more`] : []
  return [...jobs.slice(0, mostNamed).map(text), ...more].join(', ')
}
