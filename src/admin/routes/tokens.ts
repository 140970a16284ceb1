// Tokens that are good for one job (routing/job-token.ts). Made from a key and the clock alone: no database is needed, and
// nothing is kept, so a token ends with its time, or with its key.

import type { FastifyInstance } from 'fastify'
import Type, { type Static } from 'typebox'
import { ControlError } from '../../errors.ts'
import { mintJobToken } from '../../routing/job-token.ts'
import type { Job } from '../../types.ts'
import type { TokenParts } from '../control-parts.ts'
import { jobId, jobWord } from '../grammar.ts'
import { asking } from '../operation.ts'
import { closed, type TokenShape } from '../shapes.ts'

const hourMs = 3_600_000
const maxTtlMs = 30 * 24 * hourMs

const body = closed({
  job: jobId,
  type: Type.Optional(jobWord),
  institution: Type.Optional(jobWord),
  ttlMs: Type.Optional(
    Type.Integer({
      minimum: 1000,
      maximum: maxTtlMs,
      description: `milliseconds, a whole number from 1000 to ${maxTtlMs} (30 days); ${hourMs} (an hour) where it is left out`,
    }),
  ),
})

export function addTokens(app: FastifyInstance, parts: TokenParts): void {
  const { events, now } = parts
  app.post<{ Body: Static<typeof body> }>(
    '/v1/tokens',
    {
      schema: asking({
        tag: 'tokens',
        summary: 'Make a token with which a container may use its own job and no other',
        description:
          'Nothing in the fleet changes: it takes no Idempotency-Key and leaves no row in the ledger. The token cannot be ' +
          'called back; it ends with its time, or with the key that signed it. A tunnel that is open then stays open.',
        body,
        answer: 'JobToken',
        status: 201,
        refusals: [409],
      }),
    },
    async ({ body: { job: id, type = null, institution = null, ttlMs = hourMs } }, reply) => {
      const [key] = parts.keys
      if (!key) throw noKey()
      const job = { id, type, institution }
      // A token knows whole seconds.
      const expiresAtMs = Math.ceil((now() + ttlMs) / 1000) * 1000
      const expiresAt = new Date(expiresAtMs).toISOString()
      const token = mintJobToken({ job, expiresAtMs }, key)
      events.emit('token_minted', { job, keyId: key.id, expiresAt })
      const answer: TokenShape = { token, expiresAt, keyId: key.id, proxyUser: proxyUserOf(job) }
      return reply.code(201).header('cache-control', 'no-store').send(answer)
    },
  )
}

/** As it stands in a URL. Of the signs that a job may have, only `@` would end the userinfo; `:` ends the user (RFC 7617). */
function proxyUserOf({ id, type, institution }: Job): string {
  if (id.includes(':')) return ''
  const words = [`job=${id}`, type && `type=${type}`, institution && `institution=${institution}`]
  return words.filter(Boolean).join(',').replaceAll('@', '%40')
}

function noKey(): ControlError {
  return new ControlError(
    'conflict',
    'No key is configured to sign job tokens with: set gateway.tokenKeys (GATEWAY_TOKEN_KEYS=<id>:<secret>) here and on ' +
      'all gateways, the same.',
  )
}
