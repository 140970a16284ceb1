// How many tunnels each upstream carries: our own, dials included, and the other gateways' by their last
// reports. Tinyproxy stops accepting at MaxClients and a dial then hangs, so we stop before (design 4).

import { GatewayError } from '../errors.ts'

export type UpstreamLoad = ReturnType<typeof makeUpstreamLoad>

/** A place at an upstream, taken before the dial. Freeing it twice is harmless. */
export type Seat = { free(): void }

/** @param limits  read at each use: a reload may change it */
export function makeUpstreamLoad(limits: { readonly maxTunnels: number }) {
  const own = new Map<string, number>()
  let elsewhere = new Map<string, number>()
  /** Kept up to date with each change, since every new pin asks for it. */
  const full = new Set<string>()
  let weighedBy = limits.maxTunnels

  function count(upstreamId: string): number {
    return (own.get(upstreamId) ?? 0) + (elsewhere.get(upstreamId) ?? 0)
  }

  function weigh(upstreamId: string): void {
    if (count(upstreamId) >= limits.maxTunnels) full.add(upstreamId)
    else full.delete(upstreamId)
  }

  /** All of them once the limit is another. */
  function fullNow(): ReadonlySet<string> {
    if (weighedBy === limits.maxTunnels) return full
    weighedBy = limits.maxTunnels
    for (const id of new Set([...own.keys(), ...elsewhere.keys()])) weigh(id)
    return full
  }

  function change(upstreamId: string, by: number): void {
    const tunnels = (own.get(upstreamId) ?? 0) + by
    if (tunnels > 0) own.set(upstreamId, tunnels)
    else own.delete(upstreamId)
    weigh(upstreamId)
  }

  return {
    get full(): ReadonlySet<string> {
      return fullNow()
    },
    own: own as ReadonlyMap<string, number>,
    count,

    /** @throws GatewayError overloaded */
    take(upstreamId: string): Seat {
      if (fullNow().has(upstreamId)) {
        throw new GatewayError('overloaded', {
          detail: `The upstream ${upstreamId} of this job carries its ${limits.maxTunnels} tunnels already. Try again.`,
          upstream: upstreamId,
        })
      }
      change(upstreamId, 1)
      let taken = true
      return {
        free() {
          if (taken) change(upstreamId, -1)
          taken = false
        },
      }
    },

    /** The other gateways' tunnels by upstream, as they last reported. */
    learnOthers(tunnels: Map<string, number>): void {
      const ids = new Set([...elsewhere.keys(), ...tunnels.keys()])
      elsewhere = tunnels
      for (const id of ids) weigh(id)
    },
  }
}
