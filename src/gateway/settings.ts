// What a gateway is told by the configuration. Types only.

import type { StoreDown } from '../routing/hash.ts'
import type { PinLife } from '../store/store.ts'
import type { NamedToken, TokenKey } from '../types.ts'
import type { TlsFiles } from './certificate.ts'

/**
 * Read where they are used, and copied by nobody: a reload changes those that need no restart, between two turns of the
 * event loop.
 */
export type GatewaySettings = {
  readonly tokens: readonly NamedToken[]
  /** Of job tokens; the first one signs. */
  readonly tokenKeys: readonly TokenKey[]
  readonly allowSources: readonly string[]
  readonly maxTunnels: number
  /** Null: no limit of its own. */
  readonly tunnelsPerJob: number | null
  readonly tunnelsPerToken: number | null
  readonly maxConnections: number
  readonly maxLagMs: number
  readonly maxHeapPercent: number
  readonly connectionsPerSource: number
  readonly headsPerSource: number
  readonly tls: TlsFiles | null
  /** The name in `Via`; null adds none. */
  readonly via: string | null
  readonly headTimeoutMs: number
  readonly headBytes: number
  readonly headLines: number
  readonly keepAliveMs: number
  readonly stopGraceMs: number
  readonly earlyBytes: number
  readonly tunnelIdleMs: number
  readonly tunnelMaxLifeMs: number
  readonly connectTimeoutMs: number
  readonly replyTimeoutMs: number
  readonly tunnelsPerUpstream: number
  readonly failedConnects: number
  readonly refuseMs: number
  readonly knownPins: number
  readonly flexTypes: readonly string[]
  /** What a job that no pin is known of gets while the store is away, and where that differs by job type. */
  readonly storeDown: StoreDown
  readonly storeDownByType: { readonly [type: string]: StoreDown }
  readonly life: PinLife
}
