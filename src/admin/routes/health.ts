// healthz: the process lives. readyz: a job that comes now can be served, and a control can work; if not, why.

import type { FastifyInstance } from 'fastify'
import Type from 'typebox'
import { closed } from '../shapes.ts'

export type Health = {
  /** What is missing; empty when ready. */
  readonly missing: () => readonly string[]
  /** What does not work, and keeps no job from being served. */
  readonly impaired?: () => readonly string[]
}

const tag = { tags: ['health'], security: [] }
const readiness = closed({
  ready: Type.Boolean(),
  missing: Type.Array(Type.String()),
  impaired: Type.Optional(
    Type.Array(Type.String(), { description: 'what does not work, and keeps no job from being served' }),
  ),
})

export function addHealth(app: FastifyInstance, { missing, impaired = () => [] }: Health): void {
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
      const gone = missing()
      const ready = gone.length === 0
      const others = impaired()
      const answer = { ready, missing: gone, ...(others.length > 0 && { impaired: others }) }
      return reply.code(ready ? 200 : 503).send(answer)
    },
  )
}
