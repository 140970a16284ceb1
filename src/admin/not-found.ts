// What is asked for and is not there: another method of a path that is (405), or no path of ours (404).

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { quoted } from '../routing/quoted.ts'
import { problem, type Problem } from './problem.ts'

type Route = { readonly parts: readonly string[]; readonly methods: readonly string[] }

/** Before any route: it hears of each one that is added after it. */
export function answerNotFound(
  app: FastifyInstance,
  { gatewayOnly, send }: { gatewayOnly: boolean; send: (reply: FastifyReply, body: Problem) => FastifyReply },
): void {
  const routes: Route[] = []
  app.addHook('onRoute', ({ url, method }) => {
    routes.push({ parts: url.split('/'), methods: [method].flat() })
  })
  app.setNotFoundHandler((request: FastifyRequest, reply: FastifyReply) => {
    const path = request.url.split('?')[0]!
    if (gatewayOnly && path.startsWith('/v1/'))
      return send(reply, problem(404, 'not_found', 'This process is a gateway only; ask a control process.'))
    const found = routes.filter(({ parts }) => matches(path.split('/'), parts))
    if (found.length === 0) return send(reply, problem(404, 'not_found', `There is no ${quoted(path)} here.`))
    const methods = [...new Set(found.flatMap(({ methods }) => methods))].sort().join(', ')
    reply.header('allow', methods)
    return send(reply, problem(405, 'bad_request', `This path takes ${methods}, not ${request.method}.`))
  })
}

function matches(path: readonly string[], parts: readonly string[]): boolean {
  return (
    path.length === parts.length &&
    parts.every((part, at) => part === path[at] || (part.startsWith(':') && path[at] !== ''))
  )
}
