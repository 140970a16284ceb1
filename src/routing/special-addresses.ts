// Which addresses are no ordinary public ones: the special-purpose registries of IANA (RFC 6890) and what else is
// routed nowhere. Pure. Of IPv6 only global unicast is public, less the blocks in it that are special or carry an
// IPv4 address: a translator on the way would reach that one, so all of them are refused, whatever it is.

import { isMapped, isWithin, mapped, readAddress, readRange, type Address, type Range } from '../ip-range.ts'

type Special = { readonly name: string; readonly range: Range }

/**
 * https://www.iana.org/assignments/iana-ipv4-special-registry, less the anycast services that anybody may use
 * (192.31.196.0/24, 192.52.193.0/24, 192.175.48.0/24); multicast is RFC 5771's.
 */
const ipv4Ranges = specials({
  '0.0.0.0/8': 'this network',
  '10.0.0.0/8': 'private use',
  '100.64.0.0/10': 'shared address space',
  '127.0.0.0/8': 'loopback',
  '169.254.0.0/16': 'link-local',
  '172.16.0.0/12': 'private use',
  '192.0.0.0/24': 'IETF protocol assignments',
  '192.0.2.0/24': 'documentation',
  '192.88.99.0/24': '6to4 relay anycast',
  '192.168.0.0/16': 'private use',
  '198.18.0.0/15': 'benchmarking',
  '198.51.100.0/24': 'documentation',
  '203.0.113.0/24': 'documentation',
  '224.0.0.0/4': 'multicast',
  '255.255.255.255': 'limited broadcast',
  '240.0.0.0/4': 'reserved',
})

/** https://www.iana.org/assignments/iana-ipv6-special-registry; the narrower one first. */
const ipv6Ranges = specials({
  '::': 'unspecified',
  '::1': 'loopback',
  '::/96': 'IPv4-compatible',
  '::ffff:0:0:0/96': 'IPv4-translated',
  '64:ff9b::/96': 'IPv4/IPv6 translation',
  '64:ff9b:1::/48': 'IPv4/IPv6 translation',
  '100::/64': 'discard only',
  '100:0:0:1::/64': 'dummy prefix',
  '2001::/32': 'Teredo',
  '2001::/23': 'IETF protocol assignments',
  '2001:db8::/32': 'documentation',
  '2002::/16': '6to4',
  '3fff::/20': 'documentation',
  '5f00::/16': 'segment routing',
  'fc00::/7': 'unique local',
  'fe80::/10': 'link-local',
  'fec0::/10': 'site-local',
  'ff00::/8': 'multicast',
})
const globalUnicast = readRange('2000::/3')

/**
 * @param spelling  an address literal as node:net takes it
 * @returns the name of the special range that it is in; null where it is an ordinary public address
 */
export function prohibitedRange(spelling: string): string | null {
  const address = readAddress(spelling)
  return address === null ? 'not an address' : specialRange(address)
}

/** The same of an address that was read already. */
export function specialRange(address: Address): string | null {
  if (isMapped(address)) return nameIn(ipv4Ranges, address)
  const name = nameIn(ipv6Ranges, address)
  if (name !== null) return name
  if (!isWithin(address, globalUnicast)) return 'not global unicast'
  return isIsatap(address) ? 'ISATAP' : null
}

/** The IPv4 address that a translator or a tunnel's end would read out of an IPv6 one; null where there is none. */
export function embeddedIPv4(address: Address): Address | null {
  const [first, second, , last] = address
  if (isIsatap(address) || lastWordRanges.some((range) => isWithin(address, range))) return mapped(last)
  if (isWithin(address, sixToFour)) return mapped((((first & 0xffff) << 16) | (second >>> 16)) >>> 0)
  // Obscured, so that no device on the way rewrites it (RFC 4380 section 4).
  return isWithin(address, teredo) ? mapped(~last >>> 0) : null
}

const lastWordRanges = ['::/96', '::ffff:0:0:0/96', '64:ff9b::/96', '64:ff9b:1::/48'].map(readRange)
const sixToFour = readRange('2002::/16')
const teredo = readRange('2001::/32')

/** By the interface id, in whatever network (RFC 5214 section 6.1). */
function isIsatap(address: Address): boolean {
  return address[2] === 0x0000_5efe || address[2] === 0x0200_5efe
}

function specials(names: { readonly [range: string]: string }): readonly Special[] {
  return Object.entries(names).map(([range, name]) => ({ name, range: readRange(range) }))
}

function nameIn(ranges: readonly Special[], address: Address): string | null {
  for (const { name, range } of ranges) if (isWithin(address, range)) return name
  return null
}
