// Which addresses may connect at all (design 5): a list; or everybody, where tokens or client certificates are asked
// for; or, with none of these and bound beyond loopback, loopback and private ranges only.

import { BlockList, isIP } from 'node:net'
import { addRange } from '../ip-range.ts'

/** RFC 1918, RFC 6598 (carrier-grade NAT, which clouds use for containers), RFC 4193, link-local and loopback. */
const privateRanges = [
  '127.0.0.0/8',
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '100.64.0.0/10',
  '169.254.0.0/16',
  '::1',
  'fc00::/7',
  'fe80::/10',
]

export type Sources = {
  allows(address: string | undefined): boolean
  /** For the line at start. */
  readonly summary: string
}

type Rules = {
  readonly allow: readonly string[]
  readonly tokenRequired: boolean
  readonly clientCertificates?: boolean
}

/** @param rules  read at each use: a reload may change them; who is in stays */
export function makeSources(rules: Rules): Sources {
  let { allow, tokenRequired } = rules
  let sources = sourcesBy(rules)

  function current(): Sources {
    if (rules.allow === allow && rules.tokenRequired === tokenRequired) return sources
    ;({ allow, tokenRequired } = rules)
    sources = sourcesBy(rules)
    return sources
  }

  return {
    allows: (address) => current().allows(address),
    get summary() {
      return current().summary
    },
  }
}

function sourcesBy({ allow, tokenRequired, clientCertificates = false }: Rules): Sources {
  const shown = [tokenRequired && 'a token', clientCertificates && 'a client certificate'].filter(Boolean)
  if (allow.length === 0 && shown.length > 0)
    return { allows: () => true, summary: `any source, with ${shown.join(' and ')}` }
  const ranges = allow.length > 0 ? allow : privateRanges
  const list = new BlockList()
  for (const range of ranges) addRange(list, range)
  return {
    // BlockList sees ::ffff:10.1.2.3 as the IPv4 address that it is (facts, section 6).
    allows: (address) => address !== undefined && list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4'),
    summary:
      allow.length > 0
        ? `sources ${allow.join(', ')}`
        : 'loopback and private sources only (no gateway.tokens or tokenKeys, no gateway.allowSources)',
  }
}
