// What the admin API is handed where this process has the role control: verbs that change the fleet, and readers.
// Types only; src/control keeps them.

import type { Author, Claim, Outcome, RecordStore, RestrictionRecord, SyncReport } from '../store/records.ts'
import type { StoredAnswer, UpstreamRecord, UpstreamRecords } from '../store/records.ts'
import type { Events } from '../events.ts'
import type { Labels, Restriction, Snapshot, TokenKey } from '../types.ts'

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

/** A machine that the provider is to make. */
export type OrderedUpstream = {
  readonly labels: Labels | null
  /** Null: where the fewest are. */
  readonly zone: string | null
}

/** Null: as configured (DRAIN_DEADLINE_MS). */
type DrainOptions = { readonly deadlineMs: number | null }

/**
 * All throw ControlError, and answer with the record as it stands after the change. What takes long (all but register,
 * quarantine, release and cancel) has only begun then: the record tells how far it is.
 */
export type UpstreamVerbs = {
  register(upstream: RegisteredUpstream, asked: Asked<UpstreamRecord>): Promise<Outcome<UpstreamRecord>>
  /** Row first, then the machine, then probes. Raises the wanted size by one, where there is one. */
  create(order: OrderedUpstream, asked: Asked<UpstreamRecord>): Promise<Outcome<UpstreamRecord>>
  /** Out of every ring; its jobs finish. Again: its deadline changes. */
  drain(id: string, options: DrainOptions, asked: Asked<UpstreamRecord>): Promise<Outcome<UpstreamRecord>>
  /** Ends a drain: it takes jobs again. Refused (conflict) once it is being deleted. */
  cancel(id: string, asked: Asked<UpstreamRecord>): Promise<Outcome<UpstreamRecord>>
  /** Answers the old one, with `replacedBy`: it is drained and deleted once the new one runs. */
  recycle(id: string, asked: Asked<UpstreamRecord>): Promise<Outcome<UpstreamRecord>>
  quarantine(id: string, asked: Asked<UpstreamRecord>): Promise<Outcome<UpstreamRecord>>
  release(id: string, asked: Asked<UpstreamRecord>): Promise<Outcome<UpstreamRecord>>
  /** Drains it first, then deletes it. @param force  without a drain: jobs on it get 502 pin_lost */
  remove(
    id: string,
    options: DrainOptions & { readonly force: boolean },
    asked: Asked<UpstreamRecord>,
  ): Promise<Outcome<UpstreamRecord>>
}

export type FleetSize = {
  /** How many upstreams the provider is to keep; null: as many as there are. */
  readonly wanted: number | null
  readonly states: {
    readonly [State in 'provisioning' | 'running' | 'draining' | 'deleting' | 'failed']: number
  }
  readonly ejected: number
  readonly quarantined: number
}

export type FleetVerbs = {
  size(): Promise<Outcome<FleetSize>>
  /** The plan then creates, or drains the emptiest. @throws ControlError conflict where the provider makes no machines */
  resize(wanted: number | null, asked: Asked<FleetSize>): Promise<Outcome<FleetSize>>
}

export type SyncVerbs = {
  /**
   * A pass that begins from now on, as soon as can be.
   * @param confirm  it may take out of the fleet what is gone, however much that is; the ledger says who has confirmed it
   * @returns the pass: its report has the same text
   */
  ask(options: { readonly confirm: boolean }, author: Author): Promise<{ readonly pass: string }>
  /** Of the last pass, of any process; null before the first. */
  report(): Promise<SyncReport | null>
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

/** What tokens for one job are made with. */
export type TokenParts = {
  /** The first one signs; without any, none can be made. Read at each use: a reload may change them. */
  readonly keys: readonly TokenKey[]
  readonly events: Events
  /** Milliseconds since 1970. */
  readonly now: () => number
}

export type ControlParts = {
  readonly upstreams: UpstreamVerbs
  readonly restrictions: RestrictionVerbs
  readonly fleet: FleetVerbs
  readonly sync: SyncVerbs
  readonly tokens: TokenParts
  readonly records: Pick<RecordStore, 'restrictions' | 'ledger' | 'keys' | 'reports'> & {
    readonly upstreams: Pick<UpstreamRecords, 'list' | 'read'>
  }
  /** The snapshot that gateways decide by; null before the first. @throws GatewayError store_unavailable */
  snapshot(): Promise<Snapshot | null>
  /** Null while Redis is away. */
  load(): Promise<Load | null>
}
