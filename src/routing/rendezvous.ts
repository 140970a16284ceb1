// The order in which a key (a lane, or a job) prefers upstreams. Pure, and the same in every process.
// Rendezvous hashing: each pair has a weight of its own, so that an upstream that comes or goes moves no other.
// Thaler and Ravishankar, https://www.microsoft.com/en-us/research/publication/using-name-based-mappings-to-increase-hit-rates/

import type { Upstream } from '../types.ts'

const fnvOffset = 0x811c9dc5
const fnvPrime = 0x01000193

/** Heaviest first; equal weights by id. */
export function rendezvousOrder(key: string, upstreams: readonly Upstream[]): Upstream[] {
  const prefix = fnv1a(fnvOffset, `${key}\n`)
  return upstreams
    .map((upstream) => ({ upstream, weight: mix(fnv1a(prefix, upstream.id)) }))
    .sort((a, b) => b.weight - a.weight || (a.upstream.id < b.upstream.id ? -1 : 1))
    .map(({ upstream }) => upstream)
}

/** FNV-1a over UTF-16 units, http://www.isthe.com/chongo/tech/comp/fnv/ */
function fnv1a(hash: number, text: string): number {
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), fnvPrime)
  return hash
}

/** MurmurHash3's finaliser: FNV alone hardly moves the high bits when only the last digit of an id differs. */
function mix(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
