// healthz: the process lives. readyz: a job that comes now can be served; if not, why.

import type { FastifyInstance } from 'fastify'

export type Health = {
  /** What is missing; empty when ready. */
  readonly missing: () => readonly string[]
}

export function addHealth(app: FastifyInstance, { missing }: Health): void {
  app.get('/healthz', async () => ({ status: 'ok' }))
  app.get('/readyz', async (_, reply) => {
    const reasons = missing()
    return reply
      .code(reasons.length === 0 ? 200 : 503)
      .send({ ready: reasons.length === 0, missing: reasons })
  })
}
