// The fleet as a whole: how many upstreams there are in each state, and how many the provider is to keep.

import type { FastifyInstance } from 'fastify'
import Type, { type Static } from 'typebox'
import type { ControlParts, FleetSize } from '../control-parts.ts'
import { nullable } from '../grammar.ts'
import { changeOnce } from '../idempotent.ts'
import { changing, reading } from '../operation.ts'
import { presentFleet } from '../present-fleet.ts'
import { closed } from '../shapes.ts'

const tag = 'fleet'
const path = '/v1/fleet'
const maxUpstreams = 10_000
const size = Type.Integer({
  minimum: 0,
  maximum: maxUpstreams,
  description: `a whole number from 0 to ${maxUpstreams}`,
})
const wish = closed({ wanted: nullable(size) })

export function addFleet(app: FastifyInstance, { fleet, records }: ControlParts): void {
  app.get(
    path,
    { schema: reading({ tag, summary: 'How many upstreams there are, and are wanted', answer: 'Fleet' }) },
    async () => presentFleet(await fleet.size()),
  )

  app.put<{ Body: Static<typeof wish> }>(
    path,
    {
      schema: changing({
        tag,
        summary: 'Say how many upstreams the provider is to keep; null: as many as there are',
        description:
          'What is missing is made; where there are too many, the emptiest are drained and deleted.',
        body: wish,
        answer: 'Fleet',
        status: 202,
        location: 'where to see how far it is',
      }),
    },
    (request, reply) => {
      const { wanted } = request.body
      return changeOnce<FleetSize>(
        { request, reply, keys: records.keys },
        (asked) => fleet.resize(wanted, asked),
        (outcome) => ({ status: 202, location: path, body: presentFleet(outcome) }),
      )
    },
  )
}
