// A change of one upstream, done once for each Idempotency-Key, and answered with the upstream as it then is.

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Outcome, UpstreamRecord } from '../store/records.ts'
import type { Asked, ControlParts } from './control-parts.ts'
import { changeOnce } from './idempotent.ts'
import { presentUpstream } from './present-upstream.ts'

type UpstreamChange = {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly verb: (asked: Asked<UpstreamRecord>) => Promise<Outcome<UpstreamRecord>>
  readonly status?: 200 | 201 | 202
  /** Of which upstream the header Location tells; there is none without. */
  readonly at?: (record: UpstreamRecord) => string
}

export function makeUpstreamChange({ records, load }: Pick<ControlParts, 'records' | 'load'>) {
  /** The load as it was before the change: the answer is kept in the change's transaction, where nothing can be asked. */
  return async ({ request, reply, verb, status = 200, at }: UpstreamChange): Promise<FastifyReply> => {
    const loadBefore = await load()
    return changeOnce({ request, reply, keys: records.keys }, verb, ({ version, answer }) => ({
      status,
      location: at ? `/v1/upstreams/${at(answer)}` : null,
      body: { ...presentUpstream(answer, loadBefore), version },
    }))
  }
}
