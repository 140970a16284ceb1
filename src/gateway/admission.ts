// Who may have a connection: so many in all, so many of one source, and so many of one source that have not said
// anything whole yet (hostile inputs A19 to A21). Counts only; the sockets are the server's. What ended leaves nothing.

import { GatewayError } from '../errors.ts'
import { canonicalIPv6 } from '../routing/host.ts'

export type AdmissionLimits = {
  readonly maxConnections: number
  readonly connectionsPerSource: number
  readonly headsPerSource: number
}

/** A connection that may stay. Saying a thing twice is harmless. */
export type Place = {
  /** A whole request head has come, or what never becomes one. */
  headIsWhole(): void
  /** The connection is closed. */
  leave(): void
}

export type NoPlace = {
  /** `address`: not one that may connect at all. */
  readonly reason: 'connections' | 'source' | 'heads' | 'address'
  readonly error: GatewayError
}

type Source = { connections: number; heads: number }

export type Admission = ReturnType<typeof makeAdmission>

export function makeAdmission({ maxConnections, connectionsPerSource, headsPerSource }: AdmissionLimits) {
  const sources = new Map<string, Source>()
  let connections = 0

  function refusal(source: Source | undefined): NoPlace | null {
    if (connections >= maxConnections) return noPlace.connections()
    if (source && source.connections >= connectionsPerSource) return noPlace.source(connectionsPerSource)
    if (source && source.heads >= headsPerSource) return noPlace.heads(headsPerSource)
    return null
  }

  function takePlace(key: string, source: Source): Place {
    let waits = true
    let isHere = true
    connections += 1
    source.connections += 1
    source.heads += 1
    sources.set(key, source)

    function headIsWhole(): void {
      if (waits) source.heads -= 1
      waits = false
    }
    return {
      headIsWhole,
      leave() {
        headIsWhole()
        if (!isHere) return
        isHere = false
        connections -= 1
        source.connections -= 1
        if (source.connections === 0) sources.delete(key)
      },
    }
  }

  return {
    /** @param address  of the other side, as node:net says it */
    enter(address: string): Place | NoPlace {
      const key = sourceOf(address)
      const source = sources.get(key)
      return refusal(source) ?? takePlace(key, source ?? { connections: 0, heads: 0 })
    },

    get connections(): number {
      return connections
    },

    get sources(): number {
      return sources.size
    },
  }
}

/** One site has a whole /64 of IPv6 (RFC 6177), so its addresses count together; an IPv4-mapped one is its IPv4. */
export function sourceOf(address: string): string {
  if (!address.includes(':')) return address
  const canonical = canonicalIPv6(address.replace(/%.*$/, ''))
  const mapped = /^::ffff:([0-9a-f]+):([0-9a-f]+)$/.exec(canonical)
  if (mapped) return dotted(Number.parseInt(mapped[1]!, 16), Number.parseInt(mapped[2]!, 16))
  const [front = '', back] = canonical.split('::')
  const groups = front === '' ? [] : front.split(':')
  const after = back === undefined || back === '' ? [] : back.split(':')
  while (groups.length + after.length < 8) groups.push('0')
  return `${[...groups, ...after].slice(0, 4).join(':')}::/64`
}

function dotted(high: number, low: number): string {
  return [high >> 8, high & 255, low >> 8, low & 255].join('.')
}

const noPlace = {
  connections: (): NoPlace => ({
    reason: 'connections',
    error: new GatewayError('overloaded', {
      detail: 'This gateway has all the connections that it may (gateway.maxConnections). Try again.',
    }),
  }),
  source: (limit: number): NoPlace => ({
    reason: 'source',
    error: new GatewayError('rate_limited', {
      detail: `Your address has its ${limit} connections already (gateway.connectionsPerSource). Close some.`,
    }),
  }),
  heads: (limit: number): NoPlace => ({
    reason: 'heads',
    error: new GatewayError('rate_limited', {
      detail: `${limit} connections of your address have not sent a request yet (gateway.headsPerSource). Send one, or close some.`,
    }),
  }),
}
