// Upstreams: look at them, register those that others made, set them aside, take them out of the fleet.

import { isIP } from 'node:net'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import Type, { type Static } from 'typebox'
import { ControlError, isGatewayError } from '../../errors.ts'
import { canonicalIPv6 } from '../../routing/host.ts'
import { parseAuthority } from '../../routing/target.ts'
import type { Outcome, UpstreamRecord } from '../../store/records.ts'
import { upstreamStates, type Target } from '../../types.ts'
import type { Asked, ControlParts, RegisteredUpstream } from '../control-parts.ts'
import { credentials, id, labels, name, nullable, oneOf, yesOrNo } from '../grammar.ts'
import { changeOnce } from '../idempotent.ts'
import { changing, listOf, reading } from '../operation.ts'
import { pageQuery, presentPage, readPage } from '../paging.ts'
import { presentUpstream } from '../present-upstream.ts'
import { closed } from '../shapes.ts'

const tag = 'upstreams'
const params = { id }
type Params = { readonly id: string }

const listQuery = { ...pageQuery, state: Type.Optional(oneOf(...upstreamStates)) }
const listQueryShape = closed(listQuery)

const addressText = 'host:port, such as 10.0.0.5:8888, [::1]:8888 or proxy.internal:8888, without credentials'
const address = Type.String({ maxLength: 300, description: addressText })
const egressIpText = 'an IP address such as 203.0.113.7 or 2001:db8::7'
const egressIp = Type.String({ maxLength: 45, description: egressIpText })
const registration = closed({
  address,
  name: Type.Optional(nullable(name)),
  egressIp: Type.Optional(nullable(egressIp)),
  labels: Type.Optional(labels({ min: 0 })),
  credentials: Type.Optional(nullable(credentials)),
})

const removal = { force: Type.Optional(yesOrNo) }
type Removal = { readonly force?: 'true' | 'false' }

export function addUpstreams(app: FastifyInstance, { upstreams, records, load }: ControlParts): void {
  /** The load as it was before the change: the answer is kept in the change's transaction, where nothing can be asked. */
  async function change(
    request: FastifyRequest,
    reply: FastifyReply,
    verb: (asked: Asked<UpstreamRecord>) => Promise<Outcome<UpstreamRecord>>,
    status: 200 | 201 = 200,
  ): Promise<FastifyReply> {
    const loadBefore = await load()
    return changeOnce({ request, reply, keys: records.keys }, verb, ({ version, answer }) => ({
      status,
      location: status === 201 ? `/v1/upstreams/${answer.id}` : null,
      body: { ...presentUpstream(answer, loadBefore), version },
    }))
  }

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

  app.get<{ Params: Params }>(
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

  app.post<{ Body: Static<typeof registration> }>(
    '/v1/upstreams',
    {
      schema: changing({
        tag,
        summary: 'Register an upstream that others made',
        body: registration,
        answer: 'ChangedUpstream',
        status: 201,
      }),
    },
    async (request, reply) => {
      const upstream = readRegistration(request.body)
      return change(request, reply, (asked) => upstreams.register(upstream, asked), 201)
    },
  )

  const verbs = {
    quarantine: 'Take an upstream out of every ring; jobs pinned to it go on',
    release: 'End the quarantine of an upstream',
  } as const
  for (const verb of ['quarantine', 'release'] as const) {
    app.post<{ Params: Params }>(
      `/v1/upstreams/:id/${verb}`,
      { schema: changing({ tag, summary: verbs[verb], params, answer: 'ChangedUpstream', refusals: [404] }) },
      (request, reply) => change(request, reply, (asked) => upstreams[verb](request.params.id, asked)),
    )
  }

  app.delete<{ Params: Params; Querystring: Removal }>(
    '/v1/upstreams/:id',
    {
      schema: changing({
        tag,
        summary: 'Take an upstream out of the fleet',
        description:
          'Refused (in_use) while it may still take jobs or has some: quarantine it and wait until pins and tunnels ' +
          'are 0, or use force.',
        params,
        query: removal,
        answer: 'ChangedUpstream',
        refusals: [404],
      }),
    },
    (request, reply) => {
      const options = { force: request.query.force === 'true' }
      return change(request, reply, (asked) => upstreams.remove(request.params.id, options, asked))
    },
  )
}

function readRegistration(body: Static<typeof registration>): RegisteredUpstream {
  const { host, port } = readAddress(body.address)
  return {
    host,
    port,
    name: body.name ?? null,
    egressIp: readEgressIp(body.egressIp ?? null),
    labels: body.labels ?? {},
    credentials: body.credentials ?? null,
  }
}

/** What was given is not repeated: people paste user:password@host here. */
function readAddress(text: string): Target {
  try {
    return parseAuthority(text)
  } catch (error) {
    if (!isGatewayError(error, 'bad_request')) throw error
    throw new ControlError('bad_request', `Field "address" must be ${addressText}.`)
  }
}

/** In its one spelling, so that it compares. Zone ids name an interface of ours. */
function readEgressIp(text: string | null): string | null {
  if (text === null || isIP(text) === 4) return text
  if (isIP(text) === 6 && !text.includes('%')) return canonicalIPv6(text)
  throw new ControlError('bad_request', `Field "egressIp" must be ${egressIpText}.`)
}
