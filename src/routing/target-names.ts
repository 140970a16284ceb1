// Targets by their names: those that mean something else in each network, those of metadata servers, and lists of
// patterns, which may hold addresses too. Pure. Names come as parseHost gives them: lower case, no dot at the end.

import { isMapped, isWithin, readAddress, readRange, type Address } from '../ip-range.ts'

/**
 * RFC 6761, 6762 (local), 7686 (onion), 8375 (home.arpa); ICANN's of 2024 (internal) and those that it never
 * delegates (SAC 045: corp, home, lan, localdomain, private, intranet).
 */
const privateSuffixes: ReadonlySet<string> = new Set([
  'localhost',
  'local',
  'internal',
  'localdomain',
  'home.arpa',
  'lan',
  'intranet',
  'corp',
  'home',
  'private',
  'onion',
])

/** @returns what makes it a name of private networks; null where it may stand for anything public */
export function privateName(name: string): string | null {
  if (!name.includes('.')) return 'a single label'
  const suffix = [name, ...suffixesOf(name)].find((suffix) => privateSuffixes.has(suffix))
  return suffix === undefined ? null : `*.${suffix}`
}

/** RFC 6761 section 6.3: these never mean another machine, whoever resolves them. */
export function isLoopbackName(name: string): boolean {
  return name === 'localhost' || name.endsWith('.localhost')
}

/** What clouds call their metadata servers. Where names are resolved here, their addresses are refused anyway. */
const metadataNames: ReadonlySet<string> = new Set([
  'metadata',
  'metadata.google.internal',
  'metadata.goog',
  'metadata.azure.internal',
  'instance-data',
  'instance-data.ec2.internal',
  'metadata.tencentyun.com',
  'metadata.packet.net',
  'metadata.platformequinix.com',
  'api.metadata.cloud.ibm.com',
])

export function isMetadataName(name: string): boolean {
  return metadataNames.has(name)
}

export type TargetPatterns = {
  hasName(name: string): boolean
  hasAddress(address: Address): boolean
}

/**
 * @param patterns  names, `*.name` for every name below it, addresses and CIDRs; in any case
 * @throws where a CIDR is none
 */
export function makeTargetPatterns(patterns: readonly string[]): TargetPatterns {
  const names = new Set<string>()
  const suffixes = new Set<string>()
  const ranges = patterns.filter(isRange).map(readRange)
  for (const pattern of patterns.filter((pattern) => !isRange(pattern))) {
    const name = pattern.toLowerCase().replace(/\.$/, '')
    if (name.startsWith('*.')) suffixes.add(name.slice(2))
    else names.add(name)
  }
  return {
    hasName: (name) =>
      names.has(name) || (suffixes.size > 0 && suffixesOf(name).some((suffix) => suffixes.has(suffix))),
    // By its bits `::/0` holds IPv4 too, as what is mapped; who writes it means IPv6.
    hasAddress: (address) =>
      ranges.some((range) => isMapped(range.base) === isMapped(address) && isWithin(address, range)),
  }
}

function isRange(pattern: string): boolean {
  return pattern.includes('/') || readAddress(pattern) !== null
}

/** `a.b.c`: `b.c` and `c`. At most 126, as a name has at most 253 bytes. */
function suffixesOf(name: string): string[] {
  const suffixes = []
  for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1))
    suffixes.push(name.slice(dot + 1))
  return suffixes
}
