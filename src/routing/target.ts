// Where a client wants to go: parsed strictly, and written again by us. Pure.
// The client's own bytes never reach an upstream, since Tinyproxy reads them its own way: it connects to what
// stands behind an `@`, takes ports modulo 65536 and 127.1 (hostile inputs, section 0.2). No percent-decoding.

import { GatewayError } from '../errors.ts'
import type { Target } from '../types.ts'
import { parseHost } from './host.ts'
import { quoted } from './quoted.ts'

/** A name of 253, brackets or dots around it, a port; the rest is for a clear answer to what is nearly right. */
const maxAuthorityChars = 300
const maxUrlChars = 8192

/**
 * The target of a CONNECT: `name:port`, `1.2.3.4:port` or `[v6]:port`.
 * @throws GatewayError bad_request (with reason target_too_long: 414)
 * @see RFC 9112 section 3.2.3 (authority-form)
 */
export function parseAuthority(text: string): Target {
  checkLength(text, maxAuthorityChars)
  if (text.includes('/')) throw refuse('A CONNECT takes host:port, not a URL or a path.')
  return readAuthority(text, null)
}

/**
 * An absolute-form request target.
 * @returns `path` in origin-form: begins with `/`, holds the query
 * @throws GatewayError bad_request (with reason target_too_long: 414)
 * @see RFC 9112 section 3.2.2 (absolute-form)
 */
export function parseHttpUrl(text: string): { target: Target; path: string } {
  checkLength(text, maxUrlChars)
  const [, scheme = '', rest] = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/(.*)$/s.exec(text) ?? []
  if (rest === undefined) throw refuse('The request target is not an absolute URL such as http://host/path.')
  if (scheme.toLowerCase() !== 'http') throw otherScheme(scheme)
  if (rest.includes('#')) throw refuse('The URL has a fragment (#); leave it out.')
  if (/[^\x21-\x7e]/.test(rest)) throw refuse('The URL holds a byte that must be percent-encoded.')
  const pathAt = rest.search(/[/?]/)
  if (pathAt < 0) return { target: readAuthority(rest, 80), path: '/' }
  const path = rest.slice(pathAt)
  return { target: readAuthority(rest.slice(0, pathAt), 80), path: path.startsWith('/') ? path : `/${path}` }
}

/** The one spelling of a target; parseAuthority reads it back. */
export function formatTarget({ host, port }: Target): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

function readAuthority(text: string, defaultPort: number | null): Target {
  // Never quoted: what stands before the `@` may be a password.
  if (text.includes('@')) throw refuse('The target has a user part (@); leave it out.')
  const [, host, port] = /^(\[[^\]]*\]|[^:[\]]*)(?::(.*))?$/s.exec(text) ?? []
  if (host === undefined)
    throw refuse(`The target ${quoted(text)} is not host:port (an IPv6 address in brackets).`)
  if (port === undefined && defaultPort === null) throw refuse(`The target ${quoted(text)} has no port.`)
  return { host: parseHost(host), port: port === undefined ? defaultPort! : readPort(port) }
}

function readPort(text: string): number {
  const port = /^[1-9][0-9]{0,4}$/.test(text) ? Number(text) : 0
  if (port >= 1 && port <= 65_535) return port
  // `http://user:pa/ss@host/` has no `@` before its path: only what looks like a port is shown.
  const shown = /^[+-]?\d{0,6}$/.test(text) ? ` ${quoted(text)}` : ''
  throw refuse(`The port${shown} is not a number from 1 to 65535 without leading zeros.`)
}

function checkLength(text: string, max: number): void {
  if (text.length <= max) return
  throw new GatewayError('bad_request', {
    detail: `The request target is ${text.length} bytes long; at most ${max} are taken.`,
    reason: 'target_too_long',
  })
}

function otherScheme(scheme: string): GatewayError {
  return refuse(
    `The scheme ${quoted(scheme)} is not carried in a plain request; use CONNECT host:port for it.`,
  )
}

function refuse(detail: string): GatewayError {
  return new GatewayError('bad_request', { detail })
}
