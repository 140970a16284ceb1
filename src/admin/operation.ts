// What one route takes and answers, as fastify checks it and as the OpenAPI document tells it.

import Type, { type TProperties } from 'typebox'
import type { FastifySchema } from 'fastify'
import type { components } from './components.ts'
import { actor, idempotencyKey, reason } from './grammar.ts'
import { closed } from './shapes.ts'

type Component = keyof typeof components
type Success = 200 | 201 | 202

type Said = {
  readonly tag: string
  readonly summary: string
  readonly description?: string
  readonly params?: TProperties
  readonly query?: TProperties
  readonly body?: object
  readonly answer: Component | object
  /** 200 unless told otherwise. */
  readonly status?: Success | readonly Success[]
  /** What the header of that name leads to; it has none where this is left out. */
  readonly location?: string
  /** Beside those that every route of its kind has. */
  readonly refusals?: readonly (keyof typeof refusalTexts)[]
}

const refusalTexts = {
  400: 'bad_request: the detail names the field and what is allowed',
  401: 'unauthorized: the bearer token is missing or wrong',
  403: 'forbidden: the token may only look; or no token is configured, and a page of another site has sent it',
  404: 'not_found',
  409: 'conflict, names_nothing, lane_without_upstream or idempotency_in_flight',
  413: 'bad_request: the body is too large',
  415: 'bad_request: the body is not JSON',
  422: 'idempotency_mismatch: the Idempotency-Key was used for another request',
  500: 'internal_error',
  503: 'database_unavailable or store_unavailable; the detail says what still works',
}
type Status = keyof typeof refusalTexts

const changeHeaders = Type.Object({
  'Idempotency-Key': Type.Optional(idempotencyKey),
  'X-Actor': Type.Optional(actor),
})

const replayed = {
  'Idempotency-Replayed': {
    type: 'string',
    enum: ['true'],
    description: 'present where the answer was given before',
  },
}
const retryAfter = { 'Retry-After': { type: 'string', description: 'seconds' } }

/** A GET: query parameters that nobody knows are refused. */
export function reading(said: Said): FastifySchema {
  return operation(said, { refusals: [400, 401, 403, 500, 503], headers: {} })
}

/** A POST, PUT or DELETE: takes `reason`, Idempotency-Key and X-Actor beside its own. */
export function changing({ query = {}, ...said }: Said): FastifySchema {
  const refusals: Status[] = [400, 401, 403, 409, 413, 415, 422, 500, 503]
  return {
    ...operation(
      { ...said, query: { ...query, reason: Type.Optional(reason) } },
      { refusals, headers: replayed },
    ),
    headers: changeHeaders,
  }
}

/** A POST that answers something new and changes nothing here, so it may be repeated. */
export function asking(said: Said): FastifySchema {
  return operation(said, { refusals: [400, 401, 403, 413, 415, 500], headers: {} })
}

export function listOf(component: Component) {
  return closed({
    items: Type.Array(Type.Ref(`${component}#`)),
    next: Type.Unsafe<string | null>({
      type: ['string', 'null'],
      description: 'give it as `after` to go on',
    }),
  })
}

function operation(said: Said, every: { refusals: readonly Status[]; headers: object }): FastifySchema {
  const { tag, summary, description, params, query, body, answer, status = 200, refusals = [] } = said
  const location = said.location && { Location: { type: 'string', description: said.location } }
  const headers = { ...every.headers, ...location }
  const right = {
    ...success(answer),
    description: summary,
    ...(Object.keys(headers).length > 0 && { headers }),
  }
  const statuses = [...new Set([...every.refusals, ...refusals])].sort()
  return {
    tags: [tag],
    summary,
    ...(description === undefined ? {} : { description }),
    ...(params && { params: closed(params) }),
    querystring: closed(query ?? {}),
    ...(body && { body }),
    response: {
      ...Object.fromEntries([status].flat().map((one) => [one, right])),
      ...Object.fromEntries(statuses.map((refusal) => [refusal, problemAnswer(refusal)])),
    },
  }
}

function success(answer: Said['answer']): object {
  return typeof answer === 'string' ? Type.Ref(`${answer}#`) : answer
}

export function problemAnswer(status: Status): object {
  return {
    description: refusalTexts[status],
    ...([409, 503].includes(status) && { headers: retryAfter }),
    content: { 'application/problem+json': { schema: { $ref: 'Problem#' } } },
  }
}
