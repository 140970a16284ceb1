// lanekeeper fleet ...: how large the fleet is, and how large it is to be.

import type { Api } from '../api.ts'
import { command, type Surroundings } from '../command.ts'
import { argument, UsageError, wholeNumber, type ValuesOf } from '../flags.ts'
import type { Fleet } from '../shapes.ts'
import { record } from '../table.ts'
import { sizeOf, waitForSize } from '../wait-fleet.ts'
import { tellLate, waitFlags, waitingFor, withPatientApi } from '../waiting.ts'
import { apiFlags, author, changeFlags, tell, withApi } from '../with-api.ts'

const path = '/v1/fleet'
const most = 10_000
const flags = { ...changeFlags, ...waitFlags }

const show = command({
  name: 'fleet show',
  does: 'show how many upstreams are wanted, and how many there are in each state',
  args: {},
  flags: apiFlags,
  examples: ['lanekeeper fleet show'],
  run: (call) =>
    withApi(call, async (api) => {
      const fleet = await api.get<Fleet>(path, 'states')
      return tell(call, fleet, () => inRows(fleet))
    }),
})

const size = command({
  name: 'fleet size',
  does: 'say how many upstreams the provider is to keep; auto: as many as there are',
  about: [
    'What is missing is made; where there are too many, the emptiest are drained and deleted. Upstreams that are created or',
    'deleted later move the wanted size along.',
  ],
  args: { size: argument(`a number from 0 to ${most}, or auto`, wantedSize) },
  flags,
  examples: ['lanekeeper fleet size 12 --wait --reason payday', 'lanekeeper fleet size auto'],
  exits: { 1: 'failed: refused, no answer, or with --wait: it did not come to its end (in time)' },
  run: (call) =>
    withPatientApi(call, async (api) => {
      const wanted = call.args.size
      const body = { wanted }
      const fleet = await api.change<Fleet>({
        method: 'PUT',
        path,
        body,
        knownBy: 'states',
        ...author(call.flags),
      })
      const said = `The fleet is to have ${sizeOf(wanted)} (version ${fleet.version}); ${fleet.states.running} running now.`
      // Without a target there is nothing to come to.
      if (!call.flags.wait || wanted === null) return tell(call, fleet, () => said)
      call.io.err(said)
      return follow(call, api, wanted)
    }),
})

export const fleetCommands = [show, size]

async function follow(
  call: { readonly flags: ValuesOf<typeof flags>; readonly io: Surroundings },
  api: Api,
  wanted: number,
): Promise<number> {
  const found = await waitForSize(api, wanted, waitingFor(call))
  if (found === null) return tellLate(call, 'The fleet is', 'lanekeeper fleet show')
  const { fleet, end } = found
  const sentence = `The fleet ${end.text}.`
  if (end.isReached || call.flags.json) tell(call, fleet, () => sentence)
  if (end.isReached) return 0
  call.io.err(sentence)
  return 1
}

function wantedSize(word: string): number | null {
  if (word === 'auto') return null
  try {
    return wholeNumber(0, most)(word)
  } catch (error) {
    if (error instanceof UsageError)
      throw new UsageError(`must be a number from 0 to ${most}, or auto, found "${word}"`)
    throw error
  }
}

function inRows({ wanted, states, ...rest }: Fleet): string {
  return record({ wanted: wanted ?? 'auto (as many as there are)', ...states, ...rest })
}
