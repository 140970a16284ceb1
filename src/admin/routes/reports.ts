// What operators say of a job's upstream, and what was said before.

import type { FastifyInstance } from 'fastify'
import Type, { type Static } from 'typebox'
import { authorOf } from '../author.ts'
import { jobId, oneOf } from '../grammar.ts'
import { reportOutcomes } from '../../types.ts'
import { repeatOnce } from '../idempotent.ts'
import { changing, listOf, reading } from '../operation.ts'
import { limitQuery, readLimit } from '../paging.ts'
import { presentReport } from '../present-report.ts'
import { closed } from '../shapes.ts'
import type { ControlParts } from '../control-parts.ts'
import type { Jobs } from './jobs.ts'

const tag = 'jobs'
const params = { id: jobId }
type Params = { readonly id: string }
const limitQueryShape = closed(limitQuery)
const report = closed({ outcome: oneOf(...reportOutcomes) })

type Parts = {
  readonly pins: Jobs['pins']
  readonly records: Pick<ControlParts['records'], 'keys' | 'reports'>
}

export function addReports(app: FastifyInstance, { pins, records: { keys, reports } }: Parts): void {
  app.post<{ Params: Params; Body: Static<typeof report> }>(
    '/v1/jobs/:id/report',
    {
      schema: changing({
        tag,
        summary: 'Say how a job fared on its upstream',
        params,
        body: report,
        answer: closed({ accepted: Type.Literal(true) }),
        status: 202,
      }),
    },
    (request, reply) => {
      const { id } = request.params
      const { outcome } = request.body
      const { actor } = authorOf(request)
      return repeatOnce({ request, reply, keys }, async (reportId) => {
        const pin = await pins.read(id)
        const { type = null, institution = null } = pin?.job ?? {}
        const upstream = pin?.upstreamId ?? null
        const said = { jobId: id, type, institution, upstream, outcome, actor, atMs: null }
        await reports.add([{ ...said, id: reportId }])
        return { status: 202, location: null, body: { accepted: true } }
      })
    },
  )

  app.get<{ Params: Params; Querystring: Static<typeof limitQueryShape> }>(
    '/v1/jobs/:id/reports',
    {
      schema: reading({
        tag,
        summary: 'Reports of a job, newest first; there is no next page',
        params,
        query: limitQuery,
        answer: listOf('Report'),
      }),
    },
    async ({ params: { id }, query: { limit } }) => ({
      items: (await reports.list(id, readLimit(limit))).map(presentReport),
      next: null,
    }),
  )
}
