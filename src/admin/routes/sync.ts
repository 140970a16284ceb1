// The provider's list against our records (design 9): ask for a pass, and what the last one came to.

import type { FastifyInstance } from 'fastify'
import Type, { type Static } from 'typebox'
import { ControlError } from '../../errors.ts'
import { authorOf } from '../author.ts'
import type { ControlParts } from '../control-parts.ts'
import { nullable } from '../grammar.ts'
import { actOnce } from '../idempotent.ts'
import { changing, reading } from '../operation.ts'
import { presentSyncReport } from '../present-sync.ts'
import { closed } from '../shapes.ts'

const tag = 'sync'
const path = '/v1/sync'
const options = nullable(
  closed({
    confirm: Type.Optional(
      Type.Boolean({
        description: 'true or false; true: what is gone leaves the fleet, however much that is',
      }),
    ),
  }),
)

export function addSync(app: FastifyInstance, { sync, records }: ControlParts): void {
  app.get(
    path,
    {
      schema: reading({
        tag,
        summary: 'What the last sync found, corrected and left alone',
        answer: 'SyncReport',
        refusals: [404],
      }),
    },
    async () => {
      const report = await sync.report()
      if (report) return presentSyncReport(report)
      throw new ControlError(
        'not_found',
        'No sync has been done yet; POST /v1/sync (lanekeeper sync) asks for one now.',
      )
    },
  )

  app.post<{ Body: Static<typeof options> }>(
    path,
    {
      schema: changing({
        tag,
        summary: "Compare the provider's list with the records, as soon as can be",
        description:
          'A pass that would take more than one AND more than a fifth of the running upstreams out of the fleet stops, ' +
          'unless it is confirmed.',
        body: options,
        answer: closed({ pass: Type.String({ description: 'its report has the same' }) }),
        status: 202,
        location: 'where its report will be',
      }),
    },
    (request, reply) =>
      actOnce({ request, reply, keys: records.keys }, async () => {
        const { pass } = await sync.ask({ confirm: request.body?.confirm ?? false }, authorOf(request))
        return { status: 202, location: path, body: { pass } }
      }),
  )
}
