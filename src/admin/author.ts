// Who acts, and why, for the ledger. Whoever holds the token is believed.

import type { FastifyRequest } from 'fastify'
import type { Author } from '../store/records.ts'

/** Both forms were checked by the schema of the route. */
export function authorOf({ headers, query }: Pick<FastifyRequest, 'headers' | 'query'>): Author {
  const actor = headers['x-actor']
  const { reason } = query as { readonly reason?: string }
  return { actor: typeof actor === 'string' ? `admin:${actor}` : 'admin', reason: reason ?? null }
}
