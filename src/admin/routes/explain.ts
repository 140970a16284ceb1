// Which upstreams a lane may use, in its order, why not the others, and what it may reach: by the snapshot that gateways
// decide by, and with the functions that they use.

import type { FastifyInstance } from 'fastify'
import Type, { type Static } from 'typebox'
import { GatewayError } from '../../errors.ts'
import { eligible } from '../../routing/restrictions.ts'
import { makeTargetRules } from '../../routing/target-rules.ts'
import type { ControlParts } from '../control-parts.ts'
import { laneWord } from '../grammar.ts'
import { reading } from '../operation.ts'
import { closed } from '../shapes.ts'

const query = { type: Type.Optional(laneWord), institution: Type.Optional(laneWord) }
const queryShape = closed(query)

export function addExplain(app: FastifyInstance, { snapshot }: Pick<ControlParts, 'snapshot'>): void {
  app.get<{ Querystring: Static<typeof queryShape> }>(
    '/v1/explain',
    {
      schema: reading({
        tag: 'explain',
        summary:
          'Upstreams that jobs of a lane may be pinned to, why not to the others, and what they may reach',
        query,
        answer: 'Explanation',
      }),
    },
    async ({ query: { type = '*', institution = '*' } }) => {
      const published = await snapshot()
      if (!published) throw new GatewayError('no_upstream', { detail: 'No fleet has been published yet.' })
      const lane = { type, institution }
      const { eligible: left, refused } = eligible(lane, published)
      const targets = makeTargetRules(published.restrictions).about(lane)
      return { ...lane, version: published.version, eligible: left.map(({ id }) => id), refused, targets }
    },
  )
}
