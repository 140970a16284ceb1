// The HTTP API for people, probes and scrapers. Every answer that is not a success is an RFC 9457 problem document.
// What it takes and answers stands in schemas (operation.ts), which also make the OpenAPI document.

import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { AddressInfo, Socket } from 'node:net'
import type { Registry } from 'prom-client'
import { ControlError } from '../errors.ts'
import {
  accessOf,
  asksForToken,
  isForThisMachine,
  isFromOtherSite,
  isThisMachine,
  type AdminTokens,
} from './auth.ts'
import { answerClientError } from './client-error.ts'
import { limitConnections } from './connections.ts'
import type { ControlParts } from './control-parts.ts'
import { answerNotFound } from './not-found.ts'
import { addOpenapi, addOpenapiRoute } from './openapi.ts'
import { problem, refusalOf, type Problem } from './problem.ts'
import { addExplain } from './routes/explain.ts'
import { addFleet } from './routes/fleet.ts'
import { addHealth, type Health } from './routes/health.ts'
import { addJobRelease, addJobs, type Jobs } from './routes/jobs.ts'
import { addLedger } from './routes/ledger.ts'
import { addReports } from './routes/reports.ts'
import { addRestrictions } from './routes/restrictions.ts'
import { addSync } from './routes/sync.ts'
import { addTokens } from './routes/tokens.ts'
import { addUpstreamVerbs } from './routes/upstream-verbs.ts'
import { addUpstreams } from './routes/upstreams.ts'
import { validationError } from './validation-message.ts'

/** The tokens are read at each request: a reload may change them. */
type Parts = AdminTokens & {
  readonly metrics: Registry
  readonly health: Health
  readonly jobs: Jobs
  /** Null: this process is a gateway only. */
  readonly control: ControlParts | null
  /** Hears of errors that nobody foresaw; the answer tells nothing of them. */
  readonly failed?: (error: unknown) => void
}

/** A restriction may name 1,000 upstreams by ids of 128 characters, and 1,000 targets by names of 253. */
const maxBodyBytes = 512 * 1024
/** Until the last byte of a request is there. */
const maxRequestMs = 30_000
/** With the embedded database (115) they fit in what file-limits.ts sets aside. */
const maxConnections = 50

export type AdminServer = ReturnType<typeof makeAdminServer>

export function makeAdminServer(parts: Parts) {
  const { metrics, health, jobs, control, failed } = parts
  const sendError = (reply: FastifyReply, error: unknown) => {
    const { problem, retryAfterS } = refusalOf(error)
    if (problem.status === 500) failed?.(error)
    if (retryAfterS !== null) reply.header('retry-after', retryAfterS)
    return sendProblem(reply, problem)
  }
  const app: FastifyInstance = fastify({
    // A request that says "2" where 2 is meant, or a key that nobody knows, is a mistake to be told of.
    ajv: {
      customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: false, verbose: true },
    },
    schemaErrorFormatter: validationError,
    bodyLimit: maxBodyBytes,
    forceCloseConnections: true,
    requestTimeout: maxRequestMs,
    clientErrorHandler: (error, socket) => answerClientError(error, socket as Socket),
    // A job id has up to 128 characters, each of which may be written in three.
    routerOptions: { maxParamLength: 3 * 128 },
    // What the router itself refuses, such as a path that cannot be decoded.
    frameworkErrors: (error, _, reply) => sendError(reply as FastifyReply, error),
  })
  limitConnections(app.server, maxConnections)
  // The schemas of answers are told and tested; fastify's own serializer would drop what they do not know.
  app.setSerializerCompiler(() => (answer) => JSON.stringify(answer))
  // Else a text would pass as a body, and any web page could send one without being asked (CORS).
  app.removeContentTypeParser('text/plain')
  app.addHook('onRequest', async (request, reply) => {
    // The route that was found, not what was written: `/%761/jobs/a` and `http://h/v1/jobs/a` lead there too.
    const path = request.routeOptions.url ?? request.url
    const refusal = path.startsWith('/v1/') ? refusalFor(request, parts) : null
    if (refusal === null) return
    if (refusal.status === 401) reply.header('www-authenticate', 'Bearer')
    return sendProblem(reply, refusal)
  })
  app.addHook('preValidation', async ({ body, routeOptions: { schema } }) => {
    if (!schema?.body && hasContent(body))
      throw new ControlError('bad_request', 'This request takes no body; leave it out.')
  })
  app.setErrorHandler((error, _, reply) => sendError(reply, error))
  answerNotFound(app, { gatewayOnly: control === null, send: sendProblem })
  addOpenapi(app)
  app.register(async (routes) => {
    addHealth(routes, health)
    addMetrics(routes, metrics)
    addOpenapiRoute(routes)
    addJobs(routes, jobs)
    if (control) addControlRoutes(routes, jobs, control)
  })

  return {
    app,
    /** @throws the listen error, such as EADDRINUSE */
    async listen(address: { host: string; port: number }): Promise<AddressInfo> {
      await app.listen(address)
      return app.server.address() as AddressInfo
    },
    close: () => app.close(),
  }
}

/** Before anything of the body is read. */
function refusalFor({ method, headers, socket }: FastifyRequest, rights: AdminTokens): Problem | null {
  const access = accessOf(headers.authorization, rights)
  if (access === 'none') {
    const detail = 'The admin API asks for its bearer token: Authorization: Bearer <ADMIN_TOKEN>.'
    return problem(401, 'unauthorized', detail)
  }
  const looks = method === 'GET' || method === 'HEAD'
  if (access === 'look' && !looks)
    return forbidden(`This token (ADMIN_READ_TOKEN) may only look; ${method} asks for ADMIN_TOKEN.`)
  if (asksForToken(rights)) return null
  // A gateway alone may be bound beyond loopback without a token, for its probes and metrics: not to tell of jobs.
  if (!isThisMachine(socket.remoteAddress))
    return forbidden('Where no ADMIN_TOKEN is set, only this machine itself is answered here. Set one.')
  if (!isForThisMachine(headers.host))
    return forbidden(
      'Where no ADMIN_TOKEN is set, this machine is answered as localhost or by its address, not under another name.',
    )
  if (!looks && isFromOtherSite(headers))
    return forbidden(
      'This request comes from a page of another site. Where no ADMIN_TOKEN is set, that is refused.',
    )
  return null
}

function forbidden(detail: string): Problem {
  return problem(403, 'forbidden', detail)
}

function addControlRoutes(app: FastifyInstance, jobs: Jobs, control: ControlParts): void {
  const { records } = control
  addUpstreams(app, control)
  addUpstreamVerbs(app, control)
  addRestrictions(app, control)
  addExplain(app, control)
  addJobRelease(app, jobs, records.keys)
  addReports(app, { pins: jobs.pins, records })
  addLedger(app, records.ledger)
  addFleet(app, control)
  addSync(app, control)
  addTokens(app, control.tokens)
}

function addMetrics(app: FastifyInstance, metrics: Registry): void {
  const answer = {
    description: 'Metrics in the text format of Prometheus',
    content: { 'text/plain': { schema: { type: 'string' } } },
  }
  app.get(
    '/metrics',
    { schema: { tags: ['health'], summary: 'Metrics', security: [], response: { 200: answer } } },
    async (_, reply) => reply.type(metrics.contentType).send(await metrics.metrics()),
  )
}

/** Clients that always send JSON send `{}` here. */
function hasContent(body: unknown): boolean {
  return !(body === undefined || body === null || JSON.stringify(body) === '{}')
}

function sendProblem(reply: FastifyReply, body: Problem): FastifyReply {
  return reply.code(body.status).type('application/problem+json').send(body)
}
