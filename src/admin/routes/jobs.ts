// One job: where it is pinned, and until when; and its release by an operator. Needs no database, unless the release
// comes with an Idempotency-Key.

import type { FastifyInstance } from 'fastify'
import { ControlError } from '../../errors.ts'
import { presentJob } from '../../routing/present-job.ts'
import type { IdempotencyKeys } from '../../store/records.ts'
import type { Pins } from '../../store/store.ts'
import type { Pin, Upstream } from '../../types.ts'
import { jobId } from '../grammar.ts'
import { actOnce } from '../idempotent.ts'
import { changing, reading } from '../operation.ts'

const tag = 'jobs'
const params = { id: jobId }
type Params = { readonly id: string }

export type Jobs = {
  readonly pins: Pick<Pins, 'read'>
  /** Ends the pin; answers what it was, null where there was none. */
  readonly release: (jobId: string) => Promise<Pin | null>
  readonly upstream: (id: string) => Upstream | null
  /** Open tunnels of the job in this process. */
  readonly tunnels: (jobId: string) => number
}

export function addJobs(app: FastifyInstance, { pins, upstream, tunnels }: Jobs): void {
  app.get<{ Params: Params }>(
    '/v1/jobs/:id',
    { schema: reading({ tag, summary: 'Where a job is pinned', params, answer: 'Job', refusals: [404] }) },
    async ({ params: { id } }) => {
      const pin = await pins.read(id)
      if (!pin) throw notPinned(id)
      return presentJob(pin, upstream(pin.upstreamId), tunnels(id))
    },
  )
}

export function addJobRelease(
  app: FastifyInstance,
  { release, upstream, tunnels }: Jobs,
  keys: IdempotencyKeys,
): void {
  app.delete<{ Params: Params }>(
    '/v1/jobs/:id',
    {
      schema: changing({
        tag,
        summary: 'Release a job; answers it as it was. Its next request pins it anew',
        params,
        answer: 'Job',
        refusals: [404],
      }),
    },
    (request, reply) => {
      const { id } = request.params
      return actOnce({ request, reply, keys }, async () => {
        const tunnelsBefore = tunnels(id)
        const pin = await release(id)
        if (!pin) throw notPinned(id)
        return {
          status: 200,
          location: null,
          body: presentJob(pin, upstream(pin.upstreamId), tunnelsBefore),
        }
      })
    },
  )
}

function notPinned(id: string): ControlError {
  return new ControlError('not_found', `No job "${id}" is pinned: it has made no request yet, or it is over.`)
}
