// Restrictions: rules that tie lanes to upstreams, and to targets (design 6).

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import Type, { type Static } from 'typebox'
import { ControlError } from '../../errors.ts'
import type { Outcome, RestrictionRecord } from '../../store/records.ts'
import { targetPatternOf } from '../../target-pattern.ts'
import { restrictionKinds, type Restriction, type UpstreamSelector } from '../../types.ts'
import type { Asked, ControlParts, RestrictionOptions } from '../control-parts.ts'
import { id, labels, laneWord, oneOf, yesOrNo } from '../grammar.ts'
import { changeOnce } from '../idempotent.ts'
import { changing, listOf, reading } from '../operation.ts'
import { pageQuery, presentPage, readPage } from '../paging.ts'
import { presentRestriction } from '../present-restriction.ts'
import { closed } from '../shapes.ts'

const tag = 'restrictions'
const params = { id }
type Params = { readonly id: string }
const pageQueryShape = closed(pageQuery)

const maxIds = 1000
const selectorText = `{"ids": [1 to ${maxIds} upstream ids]} or {"labels": {1 to 32 labels}}`
const selector = Type.Unsafe<UpstreamSelector>(
  Type.Union(
    [
      closed({ ids: Type.Array(id, { minItems: 1, maxItems: maxIds }) }),
      closed({ labels: labels({ min: 1 }) }),
    ],
    { description: selectorText },
  ),
)
const maxTargets = 1000
const targetText = 'a name, *.name for every name below it, an address or a CIDR'
const targets = Type.Unsafe<readonly string[] | null>({
  type: ['array', 'null'],
  items: Type.String({ maxLength: 256, description: targetText }),
  minItems: 1,
  maxItems: maxTargets,
  description: `a list of 1 to ${maxTargets} targets, each ${targetText}; null: anything`,
})
const restrictionBody = closed({
  id: Type.Optional(id),
  kind: oneOf(...restrictionKinds),
  type: Type.Optional(laneWord),
  institution: Type.Optional(laneWord),
  upstreams: Type.Optional(selector),
  overflow: Type.Optional(Type.Boolean({ description: 'true or false; true goes with kind exclusive only' })),
  targets: Type.Optional(targets),
  report: Type.Optional(
    Type.Boolean({ description: 'true or false; true: what targets would refuse is only told in the log' }),
  ),
})
type Body = Static<typeof restrictionBody>

const optionsQuery = { force: Type.Optional(yesOrNo), evict: Type.Optional(yesOrNo) }
type OptionsQuery = { readonly [option in 'force' | 'evict']?: 'true' | 'false' }

export function addRestrictions(app: FastifyInstance, { restrictions, records }: ControlParts): void {
  async function change(
    request: FastifyRequest,
    reply: FastifyReply,
    { evict }: RestrictionOptions,
    verb: (asked: Asked<RestrictionRecord>) => Promise<Outcome<RestrictionRecord>>,
    status: 200 | 201 = 200,
  ): Promise<FastifyReply> {
    return changeOnce({ request, reply, keys: records.keys }, verb, ({ version, answer }) => ({
      status,
      location: status === 201 ? `/v1/restrictions/${answer.id}` : null,
      body: { ...presentRestriction(answer), version, evicting: evict },
    }))
  }

  app.get<{ Querystring: Static<typeof pageQueryShape> }>(
    '/v1/restrictions',
    {
      schema: reading({
        tag,
        summary: 'Restrictions in the order in which they were added',
        query: pageQuery,
        answer: listOf('Restriction'),
      }),
    },
    async ({ query }) => presentPage(await records.restrictions.list(readPage(query)), presentRestriction),
  )

  app.get<{ Params: Params }>(
    '/v1/restrictions/:id',
    { schema: reading({ tag, summary: 'One restriction', params, answer: 'Restriction', refusals: [404] }) },
    async ({ params: { id } }) => {
      const record = await records.restrictions.read(id)
      if (record) return presentRestriction(record)
      throw new ControlError('not_found', `There is no restriction "${id}".`)
    },
  )

  app.post<{ Body: Body; Querystring: OptionsQuery }>(
    '/v1/restrictions',
    {
      schema: changing({
        tag,
        summary: 'Add a restriction',
        query: optionsQuery,
        body: restrictionBody,
        answer: 'ChangedRestriction',
        status: 201,
        location: 'what was added',
      }),
    },
    async (request, reply) => {
      const rule = { ...readRule(request.body), id: request.body.id ?? null }
      const options = readOptions(request.query)
      return change(request, reply, options, (asked) => restrictions.add(rule, options, asked), 201)
    },
  )

  app.put<{ Params: Params; Body: Body; Querystring: OptionsQuery }>(
    '/v1/restrictions/:id',
    {
      schema: changing({
        tag,
        summary: 'Replace a restriction; it keeps its place in the order',
        params,
        query: optionsQuery,
        body: restrictionBody,
        answer: 'ChangedRestriction',
        refusals: [404],
      }),
    },
    async (request, reply) => {
      const { id } = request.params
      if ((request.body.id ?? id) !== id)
        throw new ControlError('bad_request', `Field "id" must be left out, or "${id}" as in the path.`)
      const rule: Restriction = { ...readRule(request.body), id }
      const options = readOptions(request.query)
      return change(request, reply, options, (asked) => restrictions.replace(rule, options, asked))
    },
  )

  app.delete<{ Params: Params; Querystring: OptionsQuery }>(
    '/v1/restrictions/:id',
    {
      schema: changing({
        tag,
        summary: 'Remove a restriction',
        params,
        query: optionsQuery,
        answer: 'RemovedRestriction',
        refusals: [404],
      }),
    },
    async (request, reply) => {
      const options = readOptions(request.query)
      return changeOnce(
        { request, reply, keys: records.keys },
        (asked: Asked<{ readonly id: string }>) => restrictions.remove(request.params.id, options, asked),
        ({ version, answer: { id } }) => ({
          status: 200,
          location: null,
          body: { id, version, evicting: options.evict },
        }),
      )
    },
  )
}

function readOptions({ force, evict }: OptionsQuery): RestrictionOptions {
  return { force: force === 'true', evict: evict === 'true' }
}

/** What a field may be beside another is said here, the rest by the schema. @throws ControlError bad_request */
function readRule({
  kind,
  type = '*',
  institution = '*',
  overflow = false,
  report = false,
  ...given
}: Body): Omit<Restriction, 'id'> {
  if (kind !== 'exclusive' && overflow)
    throw badField('overflow', `must be false or left out with kind ${kind}`)
  const upstreams = readSelector(kind, given.upstreams)
  const targets = readTargets(kind, given.targets ?? null)
  if (targets) return { kind, type, institution, upstreams, overflow, targets, report }
  if (report) throw badField('report', 'must be false or left out without targets')
  return { kind, type, institution, upstreams, overflow }
}

/** A rule that says only what its lanes may reach ties them to no upstream. */
function readSelector(kind: Body['kind'], given: UpstreamSelector | undefined): UpstreamSelector {
  if (kind !== 'targets' && given) return given
  if (kind !== 'targets') throw badField('upstreams', `must be ${selectorText} with kind ${kind}`)
  if (given) throw badField('upstreams', 'must be left out with kind targets')
  return { ids: [] }
}

function readTargets(kind: Body['kind'], given: readonly string[] | null): readonly string[] | null {
  if (kind === 'targets' && !given) throw badField('targets', 'must be a list with kind targets')
  if (kind === 'deny' && given) throw badField('targets', 'must be null or left out with kind deny')
  if (!given) return null
  return given.map((text, index) => {
    const pattern = targetPatternOf(text)
    if (pattern !== null) return pattern
    throw badField(`targets.${index}`, `must be ${targetText} (a name in Unicode by its xn-- form)`)
  })
}

function badField(field: string, problem: string): ControlError {
  return new ControlError('bad_request', `Field "${field}" ${problem}.`)
}
