// Facts that anyone may publish and anyone may hear; nobody answers. Log lines and metrics are made from
// these, so no other part knows that either exists. Imports types, and the codes of errors.

import { EventEmitter } from 'node:events'
import type { ErrorCode } from './errors.ts'
import type { ProviderErrorCode } from './provider/provider.ts'
import type { Job, Lane, Target, UpstreamState } from './types.ts'

export type TunnelEnd =
  | 'client'
  | 'upstream'
  | 'idle'
  | 'life'
  | 'stop'
  /** Its upstream has left the fleet. */
  | 'drained'
  | 'client_reset'
  | 'upstream_reset'

type Request = {
  readonly requestId: string
  readonly job: Job
  /** The name of the static token that was given, or the id of the key that signed the job token; else null. */
  readonly token: string | null
  readonly tokenKey: string | null
  readonly target: Target
  readonly upstream: string
}

export type Facts = {
  /** A CONNECT was answered 200, or a plain request found its upstream. */
  tunnel_opened: [
    Request & {
      readonly road: 'connect' | 'http' | 'upgrade'
      readonly egressIp: string | null
      readonly setupMs: number
    },
  ]
  tunnel_closed: [
    Request & {
      readonly bytesUp: number
      readonly bytesDown: number
      readonly endedBy: TunnelEnd
      readonly ms: number
    },
  ]
  /** A request ended in an error of ours. `job` and `target` as far as they were read. */
  request_refused: [
    {
      readonly requestId: string
      readonly code: ErrorCode
      readonly status: number
      readonly detail: string
      readonly job: Job | null
      readonly token: string | null
      readonly tokenKey: string | null
      readonly target: Target | null
      readonly upstream: string | null
    },
  ]
  /** No place for it: in all, of its source, without a head of its source; memory is short; its address may not connect; or TLS failed. */
  connection_refused: [
    {
      /** As in the answer. */
      readonly requestId: string
      readonly reason: 'connections' | 'source' | 'heads' | 'memory' | 'address' | 'handshake'
      readonly source: string | null
    },
  ]
  /** New connections are shown this certificate from now on. Times are ISO 8601. */
  tls_reloaded: [{ readonly subject: string; readonly validTo: string }]
  /** The files of `gateway.tls` have changed and cannot be used; what was read before stays. Once per change. */
  tls_reload_failed: [{ readonly detail: string }]
  /** The certificate in use, as it was read, ends within two weeks, or has ended. */
  tls_ending: [{ readonly subject: string; readonly validTo: string }]
  /** A rule that only reports would have refused it. */
  target_reported: [{ readonly job: Job; readonly target: Target; readonly restriction: string }]
  pin_made: [{ readonly job: Job; readonly lane: Lane; readonly upstream: string; readonly version: number }]
  /** `fresh`: the first dial failed; `flex`: its upstream is gone and its type may change upstreams. */
  pin_moved: [
    { readonly job: Job; readonly from: string; readonly to: string; readonly reason: 'fresh' | 'flex' },
  ]
  pin_released: [{ readonly jobId: string; readonly upstream: string; readonly by: 'job' | 'operator' }]
  /** Made while the store is away, as all gateways would. */
  pin_hashed: [
    { readonly job: Job; readonly lane: Lane; readonly upstream: string; readonly version: number },
  ]
  /** The store holds another pin for a job that this gateway remembers on `dropped`; that one stands. */
  pin_conflict: [{ readonly job: Job; readonly kept: string; readonly dropped: string }]
  /** The store was away, or is another one (flushed, failed over), and has been given back what it lacked. */
  pins_restored: [
    {
      readonly isAnother: boolean
      readonly written: number
      readonly stood: number
      readonly replaced: number
      readonly over: number
      readonly conflicts: number
    },
  ]
  pin_lost: [{ readonly job: Job; readonly upstream: string }]
  /** Somebody was given a token that is good for one job. */
  token_minted: [{ readonly job: Job; readonly keyId: string; readonly expiresAt: string }]
  /** What a job says of its upstream: `blocked`, say. */
  job_reported: [{ readonly job: Job; readonly upstream: string | null; readonly outcome: string }]
  /** The upstream itself was at fault (design 4). */
  upstream_blamed: [{ readonly upstream: string; readonly detail: string }]
  /** No new jobs from this gateway until the time is over. */
  upstream_set_aside: [{ readonly upstream: string; readonly forMs: number }]
  /** The upstream took our CONNECT and said nothing in time: only a probe can tell whose fault it is. */
  probe_wanted: [{ readonly upstream: string }]
  snapshot_loaded: [{ readonly version: number; readonly upstreams: number; readonly restrictions: number }]
  snapshot_published: [{ readonly version: number }]
  /** The store of pins had a newer version, or another history, than the database: the database goes on above it. */
  version_raised: [{ readonly above: number; readonly version: number }]
  /** Jobs that a person's change of the rules left where they may not be, released. */
  jobs_evicted: [{ readonly asked: number; readonly jobs: number }]
  /** The provider lists what an operator deleted, or what is there under another id: not taken in. */
  upstream_not_adopted: [{ readonly id: string; readonly detail: string }]
  /** A step in the life of an upstream is done; `reason` as in the ledger. */
  upstream_moved_on: [{ readonly upstream: string; readonly to: UpstreamState; readonly reason: string }]
  /** A step in the life of an upstream failed; it is tried again, unless it has failed for good. */
  upstream_step_failed: [
    { readonly upstream: string; readonly step: string; readonly problem: string; readonly attempts: number },
  ]
  /** A drain came to its deadline: what was left on the upstream is closed. */
  upstream_shut: [{ readonly upstream: string; readonly pins: number; readonly tunnels: number }]
  /** By probes, or no more. */
  upstream_ejected: [{ readonly upstream: string; readonly forMs: number; readonly detail: string }]
  upstream_readmitted: [{ readonly upstream: string; readonly detail: string }]
  /** Its probes fail, but half of the fleet is ejected already. Told once, until it is so no more. */
  ejection_held: [{ readonly upstream: string; readonly detail: string }]
  /** A comparison of the provider's list with the records. */
  sync_done: [
    {
      readonly outcome: 'done' | 'incomplete' | 'stopped' | 'failed'
      readonly listed: number
      readonly corrected: number
      readonly left: number
      readonly problems: readonly string[]
      readonly ms: number
    },
  ]
  /** A call to a provider has ended. `aborted`: by the caller; `failed`: by an error that the contract does not know. */
  provider_called: [
    {
      readonly provider: string
      readonly verb: 'list' | 'read' | 'create' | 'resume' | 'delete'
      readonly ms: number
      readonly outcome: 'ok' | ProviderErrorCode | 'aborted' | 'failed'
    },
  ]
  /** This process came to its work later than gateway.maxLagMs. Once, until it is in time again. */
  process_late: [{ readonly lagMs: number }]
  /** Of the memory that JavaScript may use more is in use than gateway.maxHeapPercent, or no more. */
  memory_short: [{ readonly percent: number }]
  memory_found: []
  /** The configuration was read again, and these settings are others now: by name only. */
  config_reloaded: [{ readonly settings: readonly string[] }]
  /** These differ too, and stay as they are until a restart. */
  config_held_back: [{ readonly settings: readonly string[] }]
  /** It was read again, and cannot be used: the old one stays whole. */
  config_reload_failed: [{ readonly problems: readonly string[] }]
  database_lost: [{ readonly detail: string }]
  database_found: []
  store_lost: [{ readonly detail: string }]
  store_found: []
  /** A background pass failed; it will run again. */
  pass_failed: [{ readonly pass: string; readonly error: unknown }]
}

export type Events = EventEmitter<Facts>

export function makeEvents(): Events {
  return new EventEmitter<Facts>()
}
