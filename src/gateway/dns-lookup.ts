// The look-up behind the resolver: the hosts file, then DNS by c-ares. Not getaddrinfo: it tells no TTL and
// holds one of libuv's four threads for as long as a slow name server takes.

import { Resolver } from 'node:dns/promises'
import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { isOwnWant, wantOfFiles } from './own-want.ts'
import type { Address, Lookup } from './resolver.ts'

export type Family = '4' | '6' | 'any'

/** Edits of the hosts file are seen this soon. */
const hostsTtlMs = 10_000

type Options = {
  readonly family: Family
  readonly hostsPath: string
  /** `address:port`; the machine's own unless given. */
  readonly servers?: readonly string[]
}

export function makeDnsLookup({ family, hostsPath, servers }: Options): Lookup {
  const wanted = family === 'any' ? [4, 6] : [Number(family)]

  return async (host, signal) => {
    const listed =
      (await readHosts(hostsPath)).get(host)?.filter((address) => wanted.includes(isIP(address))) ?? []
    if (listed.length > 0) return listed.map((address) => ({ address, ttlMs: hostsTtlMs }))
    const resolver = new Resolver()
    if (servers) resolver.setServers(servers)
    signal.addEventListener('abort', () => resolver.cancel(), { once: true })
    const answers = await Promise.allSettled(wanted.map((version) => query(resolver, host, version)))
    const found = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []))
    const failure = answers.find((answer) => answer.status === 'rejected')
    if (found.length === 0 && failure) throw reasonOf(failure.reason)
    // Half an answer: the other family is asked for again soon, or one lost packet would hide it for all of the TTL.
    return answers.some(isLost) ? found.map(({ address }) => ({ address, ttlMs: 0 })) : found
  }
}

/** That there is none of a family is an answer. */
function isLost(answer: PromiseSettledResult<unknown>): boolean {
  return answer.status === 'rejected' && (answer.reason as NodeJS.ErrnoException).code !== 'ENODATA'
}

async function query(resolver: Resolver, host: string, version: number): Promise<Address[]> {
  const records =
    version === 4
      ? await resolver.resolve4(host, { ttl: true })
      : await resolver.resolve6(host, { ttl: true })
  return records.map(({ address, ttl }) => ({ address, ttlMs: ttl * 1000 }))
}

function reasonOf(error: NodeJS.ErrnoException): NodeJS.ErrnoException {
  return (error.code === 'ECONNREFUSED' && wantOfFiles()) || error
}

/**
 * hosts(5): an address, then its names; `#` begins a comment. A machine without one has no such names.
 * @throws where we cannot open it now: DNS may have another answer
 */
async function readHosts(path: string): Promise<Map<string, string[]>> {
  const names = new Map<string, string[]>()
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (isOwnWant(error)) throw error
    return ''
  })
  for (const line of text.split('\n')) {
    const [address, ...hosts] = line.replace(/#.*/, '').trim().split(/\s+/)
    if (!address || isIP(address) === 0) continue
    for (const host of hosts)
      names.set(host.toLowerCase(), [...(names.get(host.toLowerCase()) ?? []), address])
  }
  return names
}
