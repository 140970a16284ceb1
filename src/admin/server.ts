// The HTTP API for people, probes and scrapers. Every answer that is not a success is an RFC 9457 problem document.

import fastify, { type FastifyError, type FastifyInstance, type FastifyReply } from 'fastify'
import type { AddressInfo } from 'node:net'
import type { Registry } from 'prom-client'
import { isGatewayError } from '../errors.ts'
import { problem, type Problem } from './problem.ts'
import { isAuthorized } from './auth.ts'
import { addHealth, type Health } from './routes/health.ts'
import { addJobs, type Jobs } from './routes/jobs.ts'

type Parts = {
  readonly token: string | null
  readonly metrics: Registry
  readonly health: Health
  readonly jobs: Jobs
}

export type AdminServer = ReturnType<typeof makeAdminServer>

export function makeAdminServer({ token, metrics, health, jobs }: Parts) {
  const app: FastifyInstance = fastify({
    // A request that says "2" where 2 is meant, or a key that nobody knows, is a mistake to be told of.
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false } },
    forceCloseConnections: true,
    // A job id has up to 128 characters, each of which may be written in three.
    routerOptions: { maxParamLength: 3 * 128 },
    // What the router itself refuses, such as a path that cannot be decoded.
    frameworkErrors: (error, _, reply) => send(reply as FastifyReply, toProblem(error)),
  })
  app.addHook('onRequest', async (request, reply) => {
    // The route that was found, not what was written: `/%761/jobs/a` and `http://h/v1/jobs/a` lead there too.
    const path = request.routeOptions.url ?? request.url
    if (!path.startsWith('/v1/') || isAuthorized(request.headers.authorization, token)) return
    reply.header('www-authenticate', 'Bearer')
    return send(
      reply,
      problem(
        401,
        'unauthorized',
        'The admin API asks for its bearer token: Authorization: Bearer <ADMIN_TOKEN>.',
      ),
    )
  })
  app.setErrorHandler((error: FastifyError, _, reply) => send(reply, toProblem(error)))
  app.setNotFoundHandler((request, reply) =>
    send(
      reply,
      problem(404, 'not_found', `There is no ${request.method} ${request.url.split('?')[0]} here.`),
    ),
  )
  addHealth(app, health)
  addJobs(app, jobs)
  app.get('/metrics', async (_, reply) => reply.type(metrics.contentType).send(await metrics.metrics()))

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

function send(
  reply: {
    code(status: number): typeof reply
    type(type: string): typeof reply
    send(body: unknown): unknown
  },
  body: Problem,
) {
  return reply.code(body.status).type('application/problem+json').send(body)
}

function toProblem(error: FastifyError): Problem {
  if (isGatewayError(error)) return problem(error.status, error.code, error.fields.detail)
  const status = error.statusCode ?? 500
  if (status < 500) return problem(status, 'bad_request', error.message)
  return problem(500, 'internal_error', 'The admin API met an error of its own; the log says more.')
}
