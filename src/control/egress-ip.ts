// Under which address the world sees an upstream, read from what a page said that was fetched through it. Pure.

import { isIP } from 'node:net'

/** Where services that tell callers their address put it. */
const names = ['ip', 'origin', 'address', 'query'] as const

/**
 * @param body  the address alone, or a JSON object that holds it as ip, origin, address or query
 * @returns its one spelling (RFC 5952; an IPv4-mapped one as IPv4); null where it says none
 */
export function egressIpIn(body: string): string | null {
  const text = body.trim()
  return canonicalIp(text) ?? (text.startsWith('{') ? namedIn(text) : null)
}

function namedIn(text: string): string | null {
  const said = parsed(text)
  if (typeof said !== 'object' || said === null) return null
  for (const name of names) {
    const ip = canonicalIp((said as { readonly [name: string]: unknown })[name])
    if (ip !== null) return ip
  }
  return null
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function canonicalIp(value: unknown): string | null {
  if (typeof value !== 'string') return null
  if (isIP(value) === 4) return value
  // A zone names an interface of whoever spoke.
  if (isIP(value) !== 6 || value.includes('%')) return null
  const spelling = new URL(`http://[${value}]`).hostname.slice(1, -1)
  return mappedIPv4(spelling) ?? spelling
}

/** A server that listens on both families sees IPv4 callers so. */
function mappedIPv4(spelling: string): string | null {
  const [, high, low] = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(spelling) ?? []
  if (high === undefined || low === undefined) return null
  const bytes = [high, low].flatMap((word) => [parseInt(word, 16) >> 8, parseInt(word, 16) & 255])
  return bytes.join('.')
}
