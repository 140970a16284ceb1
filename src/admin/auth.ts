// The bearer token of the admin API (RFC 6750).

import { createHash, timingSafeEqual } from 'node:crypto'

/** @param token  null asks for none */
export function isAuthorized(authorization: string | undefined, token: string | null): boolean {
  if (token === null) return true
  const given = /^bearer +(\S+)$/i.exec(authorization ?? '')?.[1] ?? ''
  return timingSafeEqual(digest(given), digest(token))
}

/** Digests have one length, as timingSafeEqual asks. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
