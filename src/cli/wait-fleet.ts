// Waiting until the fleet has the size that was asked for: as many running, none on its way in or out.

import type { Api } from './api.ts'
import type { ProgressLine } from './progress.ts'
import type { Fleet, Upstream } from './shapes.ts'
import { count } from './table.ts'
import { progressOf, type End } from './upstream-progress.ts'
import { waitFor, type Waiting } from './wait.ts'

/** Of those on their way in or out, so many of each state have a line. */
const shownOfEach = 20
const moving = ['provisioning', 'draining', 'deleting'] as const

/** @returns null where the time was over first */
export async function waitForSize(
  api: Pick<Api, 'get' | 'list'>,
  wanted: number,
  waiting: Waiting,
): Promise<{ readonly fleet: Fleet; readonly end: End } | null> {
  return waitFor(async () => {
    const fleet = await api.get<Fleet>('/v1/fleet', 'states')
    const end = endOfSizing(fleet, wanted)
    const ways = moving.filter((state) => fleet.states[state] > 0)
    const pages = await Promise.all(
      ways.map((state) => api.list<Upstream>('/v1/upstreams', { state }, shownOfEach)),
    )
    const dateMs = waiting.clock.date()
    const upstreams = pages.flatMap(({ items }) => items.map((upstream) => progressOf(upstream, dateMs)))
    return { lines: [sizeLine(fleet, wanted), ...upstreams], result: end && { fleet, end } }
  }, waiting)
}

/** Pure. */
export function endOfSizing({ wanted: wantedNow, states }: Fleet, wanted: number): End | null {
  if (wantedNow !== wanted)
    return { isReached: false, text: `is to have ${sizeOf(wantedNow)} now: somebody changed that meanwhile` }
  const isSettled = states.running === wanted && moving.every((state) => states[state] === 0)
  return isSettled ? { isReached: true, text: `has ${count(wanted, 'upstream')} running` } : null
}

/** `5 upstreams`, `as many upstreams as there are` */
export function sizeOf(wanted: number | null): string {
  return wanted === null ? 'as many upstreams as there are' : count(wanted, 'upstream')
}

function sizeLine({ states }: Fleet, wanted: number): ProgressLine {
  const others = ([...moving, 'failed'] as const).filter((state) => states[state] > 0)
  const rest = others.map((state) => `, ${states[state]} ${state}`).join('')
  return { subject: 'fleet', text: `${states.running} of ${wanted} running${rest}` }
}
