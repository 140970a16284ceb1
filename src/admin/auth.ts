// The bearer token of the admin API (RFC 6750).

import { matchesToken } from '../routing/token.ts'

/** @param token  null asks for none */
export function isAuthorized(authorization: string | undefined, token: string | null): boolean {
  if (token === null) return true
  const given = /^bearer +(\S+)$/i.exec(authorization ?? '')?.[1] ?? ''
  return matchesToken(given, [token])
}
