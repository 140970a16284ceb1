// healthz: the process lives. readyz: a job that comes now can be served; if not, why.

import type { FastifyInstance } from 'fastify'
import Type from 'typebox'
import { closed } from '../shapes.ts'

export type Health = {
  /** What is missing; empty when ready. */
  readonly missing: () => readonly string[]
}

const tag = { tags: ['health'], security: [] }
const readiness = closed({ ready: Type.Boolean(), missing: Type.Array(Type.String()) })

export function addHealth(app: FastifyInstance, { missing }: Health): void {
  const alive = { ...closed({ status: Type.Literal('ok') }), description: 'It does' }
  app.get(
    '/healthz',
    { schema: { ...tag, summary: 'Whether the process lives', response: { 200: alive } } },
    async () => ({ status: 'ok' }),
  )

  const answers = {
    200: { ...readiness, description: 'Ready' },
    503: { ...readiness, description: 'Not ready, and what is missing' },
  }
  app.get(
    '/readyz',
    { schema: { ...tag, summary: 'Whether a job that comes now can be served', response: answers } },
    async (_, reply) => {
      const reasons = missing()
      return reply
        .code(reasons.length === 0 ? 200 : 503)
        .send({ ready: reasons.length === 0, missing: reasons })
    },
  )
}
