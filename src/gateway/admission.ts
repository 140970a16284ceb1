// Who may have a connection: so many in all, so many of one source, and so many of one source that have not said
// anything whole yet (hostile inputs A19 to A21). Counts only; the sockets are the server's. What ended leaves nothing.

import { GatewayError } from '../errors.ts'
import { isMapped, readAddress } from '../ip-range.ts'

export type AdmissionLimits = {
  readonly maxConnections: number
  readonly connectionsPerSource: number
  readonly headsPerSource: number
}

/** A connection that may stay. Saying a thing twice is harmless. */
export type Place = {
  /** A whole request head has come, or what never becomes one. */
  headIsWhole(): void
  /** So many have come. */
  readonly heads: number
  /** The connection is closed. */
  leave(): void
}

export type NoPlace = {
  /** `address`: not one that may connect at all. */
  readonly reason: 'connections' | 'source' | 'heads' | 'memory' | 'address'
  readonly error: GatewayError
}

type Source = { connections: number; heads: number }

export type Admission = ReturnType<typeof makeAdmission>

/** @param limits  read at each use: a reload may change them; who is in stays */
export function makeAdmission(limits: AdmissionLimits) {
  const sources = new Map<string, Source>()
  let connections = 0

  function refusal(source: Source | undefined): NoPlace | null {
    const { maxConnections, connectionsPerSource, headsPerSource } = limits
    if (connections >= maxConnections) return noPlace.connections()
    if (source && source.connections >= connectionsPerSource) return noPlace.source(connectionsPerSource)
    if (source && source.heads >= headsPerSource) return noPlace.heads(headsPerSource)
    return null
  }

  function takePlace(key: string, source: Source): Place {
    let heads = 0
    let isHere = true
    connections += 1
    source.connections += 1
    source.heads += 1
    sources.set(key, source)

    function headIsWhole(): void {
      if (heads === 0) source.heads -= 1
      heads += 1
    }
    return {
      headIsWhole,
      get heads() {
        return heads
      },
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
  const words = readAddress(address)
  if (words === null) return address
  const [first, second, , last] = words
  if (isMapped(words)) return [last >>> 24, (last >>> 16) & 255, (last >>> 8) & 255, last & 255].join('.')
  const site = [first >>> 16, first & 0xffff, second >>> 16, second & 0xffff]
  return `${site.map((group) => group.toString(16)).join(':')}::/64`
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
