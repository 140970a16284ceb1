// What the admin API is handed where this process has the role control: verbs that change the fleet, and readers.
// Types only; src/control keeps them.

import type { Author, Claim, Outcome, RecordStore, RestrictionRecord } from '../store/records.ts'
import type { StoredAnswer, UpstreamRecord } from '../store/records.ts'
import type { Labels, Restriction, Snapshot } from '../types.ts'

/** A change as somebody asked for it. */
export type Asked<T> = {
  readonly author: Author
  /** For who repeats the request: kept in the same transaction as the change. Null without an Idempotency-Key. */
  readonly keep: {
    readonly claim: Claim
    readonly answer: (outcome: Outcome<T>) => StoredAnswer
  } | null
}

/** A machine that others made. */
export type RegisteredUpstream = {
  readonly host: string
  readonly port: number
  readonly name: string | null
  readonly egressIp: string | null
  readonly labels: Labels
  /** The name of a credential in the gateways' configuration. */
  readonly credentials: string | null
}

/** All throw ControlError, and answer with the record as it stands after the change. */
export type UpstreamVerbs = {
  register(upstream: RegisteredUpstream, asked: Asked<UpstreamRecord>): Promise<Outcome<UpstreamRecord>>
  quarantine(id: string, asked: Asked<UpstreamRecord>): Promise<Outcome<UpstreamRecord>>
  release(id: string, asked: Asked<UpstreamRecord>): Promise<Outcome<UpstreamRecord>>
  remove(
    id: string,
    options: { readonly force: boolean },
    asked: Asked<UpstreamRecord>,
  ): Promise<Outcome<UpstreamRecord>>
}

/** `evict`: jobs that fit the rules no longer are released soon after. */
export type RestrictionOptions = { readonly force: boolean; readonly evict: boolean }

/** All throw ControlError. */
export type RestrictionVerbs = {
  add(
    restriction: Omit<Restriction, 'id'> & { readonly id: string | null },
    options: RestrictionOptions,
    asked: Asked<RestrictionRecord>,
  ): Promise<Outcome<RestrictionRecord>>
  replace(
    restriction: Restriction,
    options: RestrictionOptions,
    asked: Asked<RestrictionRecord>,
  ): Promise<Outcome<RestrictionRecord>>
  remove(
    id: string,
    options: RestrictionOptions,
    asked: Asked<{ readonly id: string }>,
  ): Promise<Outcome<{ readonly id: string }>>
}

/** By upstream id; an upstream without any may be missing. */
export type Load = {
  /** Pinned jobs. */
  readonly pins: ReadonlyMap<string, number>
  readonly tunnels: ReadonlyMap<string, number>
}

export type ControlParts = {
  readonly upstreams: UpstreamVerbs
  readonly restrictions: RestrictionVerbs
  readonly records: Pick<RecordStore, 'upstreams' | 'restrictions' | 'ledger' | 'keys' | 'reports'>
  /** The snapshot that gateways decide by; null before the first. @throws GatewayError store_unavailable */
  snapshot(): Promise<Snapshot | null>
  /** Null while Redis is away. */
  load(): Promise<Load | null>
}
