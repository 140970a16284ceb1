// What is done to an upstream: set it aside and take it back, drain it, replace it, delete it.

import type { FastifyInstance } from 'fastify'
import Type, { type Static } from 'typebox'
import { makeUpstreamChange } from '../change-upstream.ts'
import type { ControlParts } from '../control-parts.ts'
import { deadlineMs, deadlineMsWord, id, nullable, yesOrNo } from '../grammar.ts'
import { changing } from '../operation.ts'
import { closed } from '../shapes.ts'

const tag = 'upstreams'
const params = { id }
type Params = { readonly id: string }

const drainBody = nullable(closed({ deadlineMs: Type.Optional(deadlineMs) }))
const removal = { force: Type.Optional(yesOrNo), deadlineMs: Type.Optional(deadlineMsWord) }
const removalShape = closed(removal)

/** These are done when they are answered. */
const verbsAtOnce = {
  quarantine: 'Take an upstream out of every ring until it is released; jobs pinned to it go on',
  release: 'End the quarantine of an upstream',
  cancel: 'End a drain: the upstream takes jobs again. Refused (conflict) once it is being deleted',
} as const

/** What the rest have in common: it has only begun when it is answered. */
const begins = {
  tag,
  params,
  answer: 'ChangedUpstream',
  status: 202,
  location: 'the upstream that tells how far it is',
  refusals: [404],
} as const

export function addUpstreamVerbs(app: FastifyInstance, control: ControlParts): void {
  const { upstreams } = control
  const change = makeUpstreamChange(control)

  for (const verb of ['quarantine', 'release', 'cancel'] as const) {
    app.post<{ Params: Params }>(
      `/v1/upstreams/:id/${verb}`,
      {
        schema: changing({
          tag,
          summary: verbsAtOnce[verb],
          params,
          answer: 'ChangedUpstream',
          refusals: [404],
        }),
      },
      (request, reply) =>
        change({ request, reply, verb: (asked) => upstreams[verb](request.params.id, asked) }),
    )
  }

  app.post<{ Params: Params; Body: Static<typeof drainBody> }>(
    '/v1/upstreams/:id/drain',
    {
      schema: changing({
        ...begins,
        summary: 'Take an upstream out of every ring and let its jobs finish; again: another deadline',
        description:
          'It is drained (`drain.drainedAt`) once no gateway may give it jobs and none is left, or at the deadline, which ' +
          'closes what is left. Without `deadlineMs` the configured one (drains.deadlineMs).',
        body: drainBody,
      }),
    },
    (request, reply) => {
      const { id } = request.params
      const options = { deadlineMs: request.body?.deadlineMs ?? null }
      return change({
        request,
        reply,
        verb: (asked) => upstreams.drain(id, options, asked),
        status: 202,
        at: (record) => record.id,
      })
    },
  )

  app.post<{ Params: Params }>(
    '/v1/upstreams/:id/recycle',
    {
      schema: changing({
        ...begins,
        summary:
          'Replace an upstream by a fresh one: the new one first, then the old one is drained and deleted',
        description: 'Answers the old one; `replacedBy` and Location name the new one.',
      }),
    },
    (request, reply) => {
      const { id } = request.params
      return change({
        request,
        reply,
        verb: (asked) => upstreams.recycle(id, asked),
        status: 202,
        at: (record) => record.replacedBy ?? record.id,
      })
    },
  )

  app.delete<{ Params: Params; Querystring: Static<typeof removalShape> }>(
    '/v1/upstreams/:id',
    {
      schema: changing({
        ...begins,
        summary: 'Take an upstream out of the fleet for good: drained first, then deleted',
        description:
          '`deadlineMs` is that of the drain. With `force` there is none: it is deleted at once, and jobs that are pinned ' +
          'to it get 502 pin_lost.',
        query: removal,
      }),
    },
    (request, reply) => {
      const { id } = request.params
      const { force, deadlineMs } = request.query
      const options = {
        force: force === 'true',
        deadlineMs: deadlineMs === undefined ? null : Number(deadlineMs),
      }
      return change({
        request,
        reply,
        verb: (asked) => upstreams.remove(id, options, asked),
        status: 202,
        at: (record) => record.id,
      })
    },
  )
}
