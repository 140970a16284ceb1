// One job: where it is pinned, and until when.

import type { FastifyInstance } from 'fastify'
import { GatewayError } from '../../errors.ts'
import { presentJob } from '../../routing/present-job.ts'
import type { Pins } from '../../store/store.ts'
import type { Upstream } from '../../types.ts'

export type Jobs = {
  readonly pins: Pick<Pins, 'read'>
  readonly upstream: (id: string) => Upstream | null
  /** Open tunnels of the job in this process. */
  readonly tunnels: (jobId: string) => number
}

export function addJobs(app: FastifyInstance, { pins, upstream, tunnels }: Jobs): void {
  app.get<{ Params: { id: string } }>('/v1/jobs/:id', async ({ params: { id } }) => {
    const pin = await pins.read(id)
    if (!pin)
      throw new GatewayError('not_found', {
        detail: `No job "${id.slice(0, 128)}" is pinned: it has made no request yet, or it is over.`,
      })
    return presentJob(pin, upstream(pin.upstreamId), tunnels(id))
  })
}
