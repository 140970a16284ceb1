// The URL of a Redis, which may name many servers, so that `new URL` cannot read it. Pure.
//
//   redis://user:password@host:6379/0                            one server
//   redis+sentinel://user:password@host:26379,host:26379/name/0  the sentinels that know where `name` is
//   redis+cluster://user:password@host:6379,host:6379            some nodes of a Cluster
//
// With `rediss` the servers are spoken to over TLS. User and password are those of the servers, not of sentinels.

import { isIPv6 } from 'node:net'

export type RedisAddress = {
  readonly kind: 'single' | 'sentinel' | 'cluster'
  readonly tls: boolean
  readonly user: string | null
  readonly password: string | null
  readonly db: number
  /** The server itself, sentinels, or some nodes of a Cluster. */
  readonly servers: readonly RedisServer[]
  /** What sentinels call the primary; empty otherwise. */
  readonly name: string
}

export type RedisServer = { readonly host: string; readonly port: number }

const shapes = {
  single: 'redis://user:password@host:6379/0',
  sentinel: 'redis+sentinel://user:password@host:26379,host:26379/name',
  cluster: 'redis+cluster://user:password@host:6379,host:6379',
} as const

class Problem extends Error {}

/** @returns what is wrong without a word of the URL: whatever stands in it may be a piece of a password */
export function readRedisUrl(text: string): { address: RedisAddress } | { problem: string } {
  try {
    return { address: addressOf(text.trim()) }
  } catch (error) {
    if (error instanceof Problem) return { problem: error.message }
    throw error
  }
}

function addressOf(text: string): RedisAddress {
  const [, scheme, rest] = /^(rediss?(?:\+sentinel|\+cluster)?):\/\/(.*)$/is.exec(text) ?? []
  if (scheme === undefined || rest === undefined)
    return refuse(`a URL like ${Object.values(shapes).join(', ')}`)
  const [protocol, kind = 'single'] = scheme.toLowerCase().split('+') as [string, RedisAddress['kind']?]
  // oxlint-disable-next-line no-control-regex
  if (/[\s?#\\\x00-\x1f\x7f]/.test(rest))
    throw new Problem('must be a URL without spaces and without ?, # and \\ (in a password: %3F, %23, %5C)')
  const slash = rest.indexOf('/')
  const authority = slash === -1 ? rest : rest.slice(0, slash)
  const at = authority.lastIndexOf('@')
  return {
    kind,
    tls: protocol === 'rediss',
    ...loginOf(at === -1 ? null : authority.slice(0, at)),
    servers: serversOf(authority.slice(at + 1), kind),
    ...pathOf(slash === -1 ? '' : rest.slice(slash + 1), kind),
  }
}

function refuse(wanted: string): never {
  throw new Problem(`must be ${wanted} (rediss for TLS)`)
}

function loginOf(text: string | null): Pick<RedisAddress, 'user' | 'password'> {
  if (text === null || text === '' || text === ':') return { user: null, password: null }
  const colon = text.indexOf(':')
  const user = decode(colon === -1 ? text : text.slice(0, colon))
  const password = colon === -1 ? '' : decode(text.slice(colon + 1))
  if (password === '') throw new Problem('has a user without a password; write user:password@ or :password@')
  return { user: user === '' ? null : user, password }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new Problem(
      'has a % in its user or password that is not the start of a code such as %40; write %25',
    )
  }
}

function serversOf(text: string, kind: RedisAddress['kind']): readonly RedisServer[] {
  const parts = text.split(',')
  if (kind === 'single' && parts.length > 1)
    throw new Problem('names many servers; write redis+sentinel:// or redis+cluster://')
  return parts.map((part, n) => serverOf(part, kind === 'sentinel' ? 26379 : 6379, `server ${n + 1}`))
}

function serverOf(text: string, usualPort: number, which: string): RedisServer {
  const [, inBrackets, name, port] = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::([^:]*))?$/s.exec(text) ?? []
  if (inBrackets === undefined && name === undefined)
    throw new Problem(`${which} is not host:port (an IPv6 address stands in brackets)`)
  const host = inBrackets ?? name!
  if (host === '') throw new Problem(`${which} has no host`)
  if (inBrackets === undefined ? !isName(host) : !isIPv6(host))
    throw new Problem(
      `${which} has no host that could exist (a password with @, / or : needs %40, %2F or %3A)`,
    )
  if (port !== undefined && !isPort(port)) throw new Problem(`${which} has a port that is not 1 to 65535`)
  return { host, port: port === undefined ? usualPort : Number(port) }
}

function isName(text: string): boolean {
  return text.length <= 253 && /^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?$/.test(text)
}

function isPort(text: string): boolean {
  return /^[1-9]\d{0,4}$/.test(text) && Number(text) <= 65535
}

function pathOf(path: string, kind: RedisAddress['kind']): Pick<RedisAddress, 'db' | 'name'> {
  const parts = path.split('/')
  if (kind !== 'sentinel') return { name: '', db: dbOf(parts, kind) }
  const name = parts[0]!
  // As sentinel.conf has it.
  if (!/^[A-Za-z0-9._-]+$/.test(name))
    throw new Problem('lacks the name by which the sentinels know the primary; write .../name')
  return { name, db: dbOf(parts.slice(1), kind) }
}

function dbOf(parts: readonly string[], kind: RedisAddress['kind']): number {
  const [text = '', ...more] = parts
  if (more.length > 0 || !/^\d{0,5}$/.test(text))
    throw new Problem(`has more behind its servers than it may; write ${shapes[kind]}`)
  if (kind === 'cluster' && Number(text) !== 0)
    throw new Problem('names a database, and a Cluster has only 0')
  return Number(text)
}
