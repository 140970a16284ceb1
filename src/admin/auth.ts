// Who may use the admin API: the bearer token (RFC 6750), and where none is configured, nobody's browser on behalf of
// a page of another site.

import { matchesToken } from '../routing/token.ts'

/** @param token  null asks for none */
export function isAuthorized(authorization: string | undefined, token: string | null): boolean {
  if (token === null) return true
  const given = /^bearer +(\S+)$/i.exec(authorization ?? '')?.[1] ?? ''
  return matchesToken(given, token)
}

type Origin = {
  readonly 'sec-fetch-site'?: string | string[] | undefined
  readonly origin?: string | undefined
  readonly host?: string | undefined
}

/**
 * A page can make a browser POST to loopback, but not hide that it did; programs send neither header.
 * @see Fetch Metadata (https://www.w3.org/TR/fetch-metadata/)
 */
export function isFromOtherSite({ 'sec-fetch-site': site, origin, host }: Origin): boolean {
  if (site !== undefined) return site !== 'same-origin' && site !== 'none'
  return origin !== undefined && !['http', 'https'].some((scheme) => origin === `${scheme}://${host}`)
}
