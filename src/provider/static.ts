// Upstreams from a list in the configuration: machines that others made and others delete. Ids are derived
// from the address where none is given, so that several processes, and the same one started again, agree.

import { createHash } from 'node:crypto'
import { isIP, isIPv6 } from 'node:net'
import * as check from '../config-checks.ts'
import type { Labels } from '../types.ts'
import { ProviderError, type Instance, type InstanceRef, type Provider } from './provider.ts'

export type StaticEntry = {
  /** Derived from host and port where it is left out. Never give a machine with another egress IP the same id. */
  readonly id?: string
  /** Where it is left out: the id that was given, else host and port. */
  readonly name?: string
  /** A name or an address; IPv6 without brackets. */
  readonly host: string
  readonly port: number
  readonly egressIp?: string | null
  readonly labels?: Labels
  /** The name of a credential in the configuration. */
  readonly credentials?: string | null
}

/** An entry as it stands, with what was left out. */
export type StaticUpstream = Required<StaticEntry>

const idGrammar = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/
const hostName = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*$/

/** @param list  entries with ids that differ (`config` sees to that); another array after a reload, the same one until then */
export function makeStaticProvider(list: () => readonly StaticEntry[]): Provider {
  let entries = list()
  let read = entries.map(instanceOf)

  function current(): readonly Instance[] {
    if (list() === entries) return read
    entries = list()
    read = entries.map(instanceOf)
    return read
  }

  // It sees the list, not the machines: there is nothing by which to tell two under one id apart.
  const find = ({ id, incarnation }: InstanceRef) =>
    incarnation === null ? (current().find((instance) => instance.id === id) ?? null) : null
  return {
    name: 'static',
    zones: [],
    place: async () => null,
    draft: () => {
      throw makesNone('one')
    },
    list: async (signal) => {
      signal?.throwIfAborted()
      return { instances: [...current()], problems: [] }
    },
    read: async (ref, signal) => {
      signal?.throwIfAborted()
      return find(ref)
    },
    create: async ({ name }) => {
      throw makesNone(`"${name}"`)
    },
    delete: async (order) => {
      if (find(order) === null) return
      throw new ProviderError(
        'refused',
        `The provider static deletes no machines; take "${order.id}" out of static.upstreams (STATIC_UPSTREAMS).`,
      )
    },
    close: async () => {},
  }
}

function makesNone(what: string): ProviderError {
  return new ProviderError(
    'no_capacity',
    `The provider static makes no machines, so ${what} cannot be created; add its address to static.upstreams (STATIC_UPSTREAMS).`,
  )
}

function instanceOf(entry: StaticEntry): Instance {
  const unknown = { zone: null, incarnation: null, status: 'running', createdAtMs: null } as const
  return Object.freeze({ ...completed(entry), ...unknown })
}

/**
 * Reads `10.0.0.5:8888,proxy.internal:8888,[::1]:8888`.
 * @returns `problems`, one line for each item that is wrong, beside the entries that are right
 */
export function parseStaticUpstreams(text: string): { entries: StaticUpstream[]; problems: string[] } {
  const entries: StaticUpstream[] = []
  const problems: string[] = []
  for (const item of text.split(',').map((part) => part.trim())) {
    if (item === '') continue
    const parsed = parseItem(item)
    if ('problem' in parsed) problems.push(parsed.problem)
    else if (entries.some(({ id }) => id === parsed.id)) problems.push(`"${item}" stands there twice`)
    else entries.push(parsed)
  }
  return { entries, problems }
}

/** The same from a file, where an entry is a table. @throws check.Problem */
export function staticUpstream(value: unknown): StaticUpstream {
  const row = check.record(value)
  check.noOtherKeys(row, ['id', 'name', 'host', 'port', 'egressIp', 'labels', 'credentials'])
  const { id, name, egressIp = null, labels = {}, credentials = null } = row
  return completed({
    host: check.at('host', () => readHost(row.host)),
    port: check.at('port', () => check.wholeNumber({ min: 1, max: 65535 })(row.port)),
    ...(id === undefined
      ? {}
      : { id: check.at('id', () => check.word(idGrammar, 'letters, digits and . _ -')(id)) }),
    ...(name === undefined ? {} : { name: check.at('name', () => check.text(name)) }),
    egressIp: check.at('egressIp', () => check.orNull(address)(egressIp)),
    labels: check.at('labels', () => check.labels(labels)),
    credentials: check.at('credentials', () => check.orNull(check.credentialsName)(credentials)),
  })
}

const address: check.Check<string> = (value) => {
  if (typeof value === 'string' && isIP(value) !== 0) return canonicalHost(value)
  throw new check.Problem(`must be an IP address, found ${JSON.stringify(value)}`)
}

function readHost(value: unknown): string {
  const host = typeof value === 'string' ? canonicalHost(value) : ''
  if (isHost(host)) return host
  // What stands before an "@" may be a password, so it is not repeated.
  const found = String(value).includes('@')
    ? 'credentials before an "@"; give them as credentials'
    : JSON.stringify(value)
  throw new check.Problem(`must be a name or an address, found ${found}`)
}

function parseItem(item: string): StaticUpstream | { problem: string } {
  // What stands before an "@" may be a password, so it is not repeated.
  if (item.includes('@')) {
    return {
      problem: `"...${item.slice(item.lastIndexOf('@'))}" holds credentials; give them in a file, as credentials`,
    }
  }
  const wrong = (why: string) => ({ problem: `"${item}" ${why}, such as 10.0.0.5:8888 or [::1]:8888` })
  if (item.includes('://')) return wrong('is a URL; give host:port')
  if (isIPv6(item)) return wrong('is an IPv6 address without a port or brackets; give [address]:port')
  const match = /^(?:\[([^\]]*)\]|([^:[\]]*)):(\d*)$/.exec(item)
  if (!match)
    return wrong(item.includes(':') ? 'cannot be read; give host:port' : 'has no port; give host:port')
  const host = canonicalHost(match[1] ?? match[2] ?? '')
  if (!isHost(host) || (match[1] !== undefined && !isIPv6(host)))
    return wrong('has no valid host; give host:port')
  const port = Number(match[3])
  if (match[3] === '' || port < 1 || port > 65535) return wrong('has no port from 1 to 65535; give host:port')
  return completed({ host, port })
}

function completed(entry: StaticEntry): StaticUpstream {
  const host = canonicalHost(entry.host)
  const address = isIPv6(host) ? `[${host}]:${entry.port}` : `${host}:${entry.port}`
  return Object.freeze({
    id: entry.id ?? derivedId(address),
    name: entry.name ?? entry.id ?? address,
    host,
    port: entry.port,
    egressIp: entry.egressIp ?? null,
    labels: Object.freeze({ ...entry.labels }),
    credentials: entry.credentials ?? null,
  })
}

/** One spelling per host, so that one machine has one id: lower case, IPv6 as RFC 5952 writes it. */
function canonicalHost(host: string): string {
  if (isIPv6(host) && !host.includes('%')) return new URL(`http://[${host}]`).hostname.slice(1, -1)
  return host.toLowerCase()
}

/** A name that ends in a number is an IPv4 address with a mistake (https://url.spec.whatwg.org/#ends-in-a-number-checker). */
function isHost(host: string): boolean {
  if (host.includes(':')) return isIPv6(host) && !host.includes('%')
  return isIP(host) === 4 || (hostName.test(host) && !/(^|\.)\d+$/.test(host))
}

/** Jobs are told the id of their upstream, so it does not tell them an address of ours. */
function derivedId(address: string): string {
  return `static-${createHash('sha256').update(address).digest('hex').slice(0, 12)}`
}
