// Upstreams: look at them, and new ones.

import type { FastifyInstance } from 'fastify'
import Type, { type Static } from 'typebox'
import { ControlError } from '../../errors.ts'
import { upstreamStates } from '../../types.ts'
import { makeUpstreamChange } from '../change-upstream.ts'
import type { ControlParts } from '../control-parts.ts'
import { id, oneOf } from '../grammar.ts'
import { newUpstreamBody, readNewUpstream, type NewUpstreamBody } from '../new-upstream.ts'
import { changing, listOf, reading } from '../operation.ts'
import { pageQuery, presentPage, readPage } from '../paging.ts'
import { presentUpstream } from '../present-upstream.ts'
import { closed } from '../shapes.ts'

const tag = 'upstreams'
const params = { id }

const listQuery = { ...pageQuery, state: Type.Optional(oneOf(...upstreamStates)) }
const listQueryShape = closed(listQuery)

export function addUpstreams(app: FastifyInstance, control: ControlParts): void {
  const { upstreams, records, load } = control
  const change = makeUpstreamChange(control)

  app.get<{ Querystring: Static<typeof listQueryShape> }>(
    '/v1/upstreams',
    {
      schema: reading({
        tag,
        summary: 'Upstreams by id; without `state` all but the deleted ones',
        query: listQuery,
        answer: listOf('Upstream'),
      }),
    },
    async ({ query }) => {
      const [page, loadNow] = await Promise.all([
        records.upstreams.list({ ...readPage(query), state: query.state ?? null }),
        load(),
      ])
      return presentPage(page, (record) => presentUpstream(record, loadNow))
    },
  )

  app.get<{ Params: { readonly id: string } }>(
    '/v1/upstreams/:id',
    {
      schema: reading({
        tag,
        summary: 'One upstream, also a deleted one',
        params,
        answer: 'Upstream',
        refusals: [404],
      }),
    },
    async ({ params: { id } }) => {
      const [record, loadNow] = await Promise.all([records.upstreams.read(id), load()])
      if (record) return presentUpstream(record, loadNow)
      throw new ControlError('not_found', `There is no upstream "${id}", and there never was.`)
    },
  )

  app.post<{ Body: NewUpstreamBody }>(
    '/v1/upstreams',
    {
      schema: changing({
        tag,
        summary: 'Register an upstream that others made (201), or order one from the provider (202)',
        description:
          'With `address` it is registered; `zone` does not go with it. Without `address` the provider is to make one, ' +
          'with `labels` and in `zone` where they are given: the answer tells how it is called, and Location how far it ' +
          'is. Either takes jobs once it has answered its probes (state running).',
        body: newUpstreamBody,
        answer: 'ChangedUpstream',
        status: [201, 202],
        location: 'the new upstream',
      }),
    },
    async (request, reply) => {
      const asked = readNewUpstream(request.body)
      const at = ({ id }: { readonly id: string }) => id
      return asked.way === 'register'
        ? change({ request, reply, at, status: 201, verb: (how) => upstreams.register(asked.upstream, how) })
        : change({ request, reply, at, status: 202, verb: (how) => upstreams.create(asked.order, how) })
    },
  )
}
