// Waiting for upstreams: each is looked at by itself until it is where it was sent, or can come there no more.

import type { Api } from './api.ts'
import type { ProgressLine } from './progress.ts'
import type { Upstream } from './shapes.ts'
import { cell } from './table.ts'
import { endOf, progressOf, type End, type Goal } from './upstream-progress.ts'
import { waitFor, type Waiting } from './wait.ts'

type Reader = Pick<Api, 'get'>

type Sight = {
  readonly upstream: Upstream
  readonly lines: readonly ProgressLine[]
  readonly end: End | null
}

/** One look at one upstream. */
export type Watch = (api: Reader, id: string, dateMs: number) => Promise<Sight>

export type Ended = { readonly upstream: Upstream; readonly end: End }

export function until(goal: Goal): Watch {
  return async (api, id, dateMs) => {
    const upstream = await read(api, id)
    const end = endOf(goal, upstream)
    return { upstream, end, lines: [{ ...progressOf(upstream, dateMs), isOver: end !== null }] }
  }
}

/** The new one first: once that runs, the old one is drained and deleted. */
export const untilReplaced: Watch = async (api, id, dateMs) => {
  const old = await read(api, id)
  const fresh = old.replacedBy ? await read(api, old.replacedBy) : null
  const lines = [fresh, old].flatMap((upstream) => (upstream ? [progressOf(upstream, dateMs)] : []))
  return { upstream: old, end: replacementEnd(old, fresh), lines }
}

/** Pure. */
export function replacementEnd(old: Upstream, fresh: Upstream | null): End | null {
  if (fresh === null)
    return {
      isReached: false,
      text: `is not being replaced any more${old.problem ? `: ${cell(old.problem)}` : ''}`,
    }
  const up = endOf('running', fresh)
  if (up === null) return null
  if (old.state === 'deleted')
    return { isReached: up.isReached, text: `is deleted; ${cell(fresh.id)} ${up.text}` }
  return up.isReached ? null : { isReached: false, text: `is not replaced: ${cell(fresh.id)} ${up.text}` }
}

/** @returns those that came to an end, in their order; where the time was over first, not all of them */
export async function waitForUpstreams(
  api: Reader,
  ids: readonly string[],
  watch: Watch,
  waiting: Waiting,
): Promise<readonly Ended[]> {
  const seen = new Map<string, Sight>()
  const isOpen = (id: string) => !seen.get(id)?.end
  await waitFor(async () => {
    const dateMs = waiting.clock.date()
    const looks = ids.filter(isOpen).map(async (id) => [id, await watch(api, id, dateMs)] as const)
    for (const [id, sight] of await Promise.all(looks)) seen.set(id, sight)
    const lines = ids.flatMap((id) => seen.get(id)!.lines)
    return { lines, result: ids.some(isOpen) ? null : seen }
  }, waiting)
  return ids.flatMap((id) => {
    const sight = seen.get(id)
    return sight?.end ? [{ upstream: sight.upstream, end: sight.end }] : []
  })
}

function read(api: Reader, id: string): Promise<Upstream> {
  return api.get<Upstream>(`/v1/upstreams/${encodeURIComponent(id)}`, 'id')
}
