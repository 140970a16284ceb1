// Who may use the admin API: the bearer tokens (RFC 6750), and where none is configured, nobody's browser on behalf of
// a page of another site.

import { isIP } from 'node:net'
import { isLoopback } from '../ip-range.ts'
import { findToken } from '../routing/token.ts'

export type AdminTokens = {
  /** For everything. */
  readonly token: string | null
  /** For looking only. */
  readonly readToken: string | null
}
export type Access = 'change' | 'look' | 'none'

/** Where neither token is configured, none is asked for. */
export function accessOf(authorization: string | undefined, { token, readToken }: AdminTokens): Access {
  if (!asksForToken({ token, readToken })) return 'change'
  const given = /^bearer +(\S+)$/i.exec(authorization ?? '')?.[1] ?? ''
  const tokens = [
    ...(token === null ? [] : [{ name: 'change' as const, token }]),
    ...(readToken === null ? [] : [{ name: 'look' as const, token: readToken }]),
  ]
  return findToken(given, tokens)?.name ?? 'none'
}

export function asksForToken({ token, readToken }: AdminTokens): boolean {
  return token !== null || readToken !== null
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

/**
 * A page can point a name of its own at 127.0.0.1 (DNS rebinding), and is of no other site then. Where no token is asked for,
 * only who means this machine is answered: by address, or as localhost. Programs may send no Host.
 */
export function isForThisMachine(host: string | undefined): boolean {
  if (host === undefined) return true
  const name = host.toLowerCase().replace(/:\d*$/, '').replace(/\.$/, '')
  return name === 'localhost' || name.endsWith('.localhost') || isIP(name.replace(/^\[(.*)\]$/, '$1')) !== 0
}

/** @param address  of the other side, as node:net says it */
export function isThisMachine(address: string | undefined): boolean {
  return isLoopback((address ?? '').replace(/^::ffff:/i, ''))
}
