// What the commands that change upstreams have in common: ask for each, tell what was answered, and with --wait follow
// them to their end.

import type { Api } from './api.ts'
import { askEach, tellFailures, type Ask } from './ask-each.ts'
import type { Surroundings } from './command.ts'
import type { ValuesOf } from './flags.ts'
import type { Changed, Upstream } from './shapes.ts'
import { cell, count } from './table.ts'
import { waitForUpstreams, type Watch } from './wait-upstreams.ts'
import { tellLate, waitFlags, waitingFor, withPatientApi } from './waiting.ts'
import { author, changeFlags, tell } from './with-api.ts'

type Call = {
  readonly flags: ValuesOf<typeof changeFlags> & ValuesOf<typeof waitFlags>
  readonly io: Surroundings
}

type How = {
  /** What was answered, for people. */
  readonly said: (upstream: Changed<Upstream>) => string
  readonly watch: Watch
  /** Whether the others are asked for where one is refused. */
  readonly goesOn: boolean
}

/** @returns the exit code: 1 where one of them was refused, or did not come to where it was sent */
export function changeUpstreams(call: Call, asks: readonly Ask[], how: How): Promise<number> {
  return withPatientApi(call, async (api) => {
    const answered = (upstream: Changed<Upstream>) => {
      if (call.flags.wait) call.io.err(how.said(upstream))
      else tell(call, upstream, () => how.said(upstream))
    }
    const asked = await askEach(api, asks, author(call.flags), { goesOn: how.goesOn, answered })
    const refused = tellFailures(asked, call)
    if (!call.flags.wait) return refused
    return Math.max(refused, await follow(call, api, asked.answers, how.watch))
  })
}

async function follow(call: Call, api: Api, upstreams: readonly Upstream[], watch: Watch): Promise<number> {
  const ids = upstreams.map(({ id }) => id)
  if (ids.length === 0) return 0
  const ended = await waitForUpstreams(api, ids, watch, waitingFor(call))
  for (const { upstream, end } of ended) {
    const sentence = `Upstream ${cell(upstream.id)} ${end.text}.`
    if (end.isReached || call.flags.json) tell(call, upstream, () => sentence)
    if (!end.isReached) call.io.err(sentence)
  }
  const late = ids.length - ended.length
  if (late > 0) return tellLate(call, `${count(late, 'upstream')}:`, 'lanekeeper upstreams list')
  return ended.every(({ end }) => end.isReached) ? 0 : 1
}
