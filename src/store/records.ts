// What PostgreSQL remembers (design 8), as the rest of the program may ask it. One suite runs on every adapter
// (test/fixtures/records-contract.ts). All methods throw ControlError `database_unavailable` when the database does not
// answer in time, refuses or is read-only.

import type { Restriction, Upstream, UpstreamState } from '../types.ts'

/** `operator`: by the admin API; `provider`: the provider's list says so. */
export type Origin = 'operator' | 'provider'

/** A deleted one stays as a tombstone: its id is never used again. */
export type UpstreamRecord = Upstream & {
  /** Where its provider keeps it: a cloud's zone, or for `local` the host and folder. */
  readonly zone: string | null
  readonly addedBy: Origin
  /** Raised by one with each change of the row. */
  readonly rowVersion: number
  readonly createdAtMs: number
  readonly updatedAtMs: number
  readonly deletedAtMs: number | null
  readonly deletedBy: Origin | null
}

export type NewUpstream = Upstream & { readonly zone: string | null; readonly addedBy: Origin }

/** What of an upstream may change during its life. */
export type UpstreamFields = Partial<
  Pick<
    Upstream,
    'name' | 'host' | 'port' | 'egressIp' | 'labels' | 'credentials' | 'state' | 'ejected' | 'quarantined'
  >
>

/** Rules of the configuration file are its own: they come and go with it, and the admin API leaves them alone. */
export type RestrictionSource = 'config' | 'api'

export type RestrictionRecord = Restriction & {
  readonly source: RestrictionSource
  readonly createdAtMs: number
  readonly updatedAtMs: number
}

/** One step of a change, as applied to the tables and as written in the ledger. */
export type Step =
  | { readonly kind: 'upstream_added'; readonly upstream: NewUpstream }
  | {
      readonly kind: 'upstream_changed'
      readonly id: string
      readonly from: UpstreamFields
      readonly to: UpstreamFields
    }
  | { readonly kind: 'upstream_deleted'; readonly id: string; readonly by: Origin }
  | {
      readonly kind: 'restriction_added'
      readonly restriction: Restriction
      readonly source: RestrictionSource
    }
  | {
      readonly kind: 'restriction_replaced'
      readonly from: Restriction
      readonly restriction: Restriction
      readonly source: RestrictionSource
    }
  | { readonly kind: 'restriction_removed'; readonly restriction: Restriction }
  /** Jobs that fit the rules of this change no longer are to be released; `jobs_evicted` with this version follows. */
  | { readonly kind: 'eviction_asked' }
  /** The eviction asked at version `asked` is done. Clears the wish unless a newer one stands. */
  | { readonly kind: 'jobs_evicted'; readonly asked: number; readonly jobs: number }
  /** The store of pins had a newer version than this database (restored from a backup, say): go on above it. */
  | { readonly kind: 'version_raised'; readonly above: number }

/** Who acts, and why: for the ledger. */
export type Author = {
  /** `admin`, `admin:alice`, `config`, `control`. */
  readonly actor: string
  readonly reason: string | null
}

/** The fleet's version, and the ledger's hash at that version: together they tell one history from another. */
export type Head = {
  readonly version: number
  readonly ledgerHash: string
  /** The version at which an eviction was asked that is not done yet. */
  readonly evictionAsked: number | null
}

export type FleetContent = Head & {
  /** By the database's clock. In `decide`: the time that rows and ledger get with this change. */
  readonly nowMs: number
  /** By id; without the deleted ones. */
  readonly upstreams: readonly UpstreamRecord[]
  /** In the order in which they were added. */
  readonly restrictions: readonly RestrictionRecord[]
}

export type Outcome<T> = {
  /** After the change; the present one where nothing changed. */
  readonly version: number
  readonly answer: T
}

/** The right to act for an Idempotency-Key, as `claim` gave it. */
export type Claim = { readonly key: string; readonly token: string }

/** An answer of the admin API, to be given again. */
export type StoredAnswer = {
  readonly status: number
  readonly location: string | null
  readonly body: unknown
}

export type ChangeRequest<T> = {
  readonly author: Author
  /**
   * Told what stands, and nobody else can change it meanwhile; says what to change. Throws to refuse, and then
   * nothing is changed. Pure: it may run again. No steps: no ledger row, no new version.
   */
  readonly decide: (content: FleetContent) => { readonly steps: readonly Step[]; readonly answer: T }
  /** Keeps the answer for whoever repeats the request, in the same transaction as the change. */
  readonly keep?: {
    readonly claim: Claim
    readonly answer: (outcome: Outcome<T>) => StoredAnswer
  } | null
}

export interface FleetRecords {
  /** Upstreams, restrictions and version of one moment. */
  read(): Promise<FleetContent>
  /** One small row; cheap enough for each second. */
  head(): Promise<Head>
  /**
   * One transaction: steps, ledger row, and the version raised by one (`version_raised`: to one above) last. Changes
   * of a fleet follow each other, over all processes.
   * @throws what `decide` throws; ControlError conflict where the claim of `keep` has been taken over meanwhile
   */
  change<T>(request: ChangeRequest<T>): Promise<Outcome<T>>
}

/** `next` is handed in as `after` to go on; null at the end. */
export type Page<Item> = { readonly items: readonly Item[]; readonly next: string | null }
export type PageRequest = { readonly after: string | null; readonly limit: number }

export interface UpstreamRecords {
  /** By id. @param state  null: all but the deleted ones */
  list(request: PageRequest & { readonly state: UpstreamState | null }): Promise<Page<UpstreamRecord>>
  /** Tombstones too. */
  read(id: string): Promise<UpstreamRecord | null>
}

export interface RestrictionRecords {
  /** In the order in which they were added. */
  list(request: PageRequest): Promise<Page<RestrictionRecord>>
  read(id: string): Promise<RestrictionRecord | null>
}

/** One row for each change of the fleet. Never changed, never deleted. */
export type LedgerEntry = {
  /** The fleet's version from this change on. */
  readonly version: number
  /** By the database's clock. */
  readonly atMs: number
  readonly actor: string
  readonly reason: string | null
  readonly steps: readonly Step[]
  /** Of the row before; empty for the first. */
  readonly previousHash: string
  /** SHA-256 over all of the above, in hex. */
  readonly hash: string
}

export type LedgerCheck =
  | { readonly ok: true; readonly entries: number; readonly version: number; readonly hash: string }
  /** `version` is the first row that does not fit. */
  | { readonly ok: false; readonly version: number; readonly problem: string }

export interface Ledger {
  /** Newest first. @param about  only rows that concern this upstream or restriction; null for all */
  list(request: PageRequest & { readonly about: string | null }): Promise<Page<LedgerEntry>>
  read(version: number): Promise<LedgerEntry | null>
  /** Follows the chain from the first row to the fleet's head. */
  verify(): Promise<LedgerCheck>
}

export type ClaimAnswer =
  | { readonly kind: 'claimed'; readonly claim: Claim }
  /** The request was answered before: answer the same. */
  | { readonly kind: 'answered'; readonly answer: StoredAnswer }
  | { readonly kind: 'in_flight' }
  /** The key was used for another request. */
  | { readonly kind: 'mismatch' }

/** Idempotency-Key (IETF draft-ietf-httpapi-idempotency-key-header). Keys are kept for a day. */
export interface IdempotencyKeys {
  /**
   * @param fingerprint  of the request: two requests with the same key must have the same
   * @param retake  whether a claim whose holder died (silent for 10 s) may be taken over: only where acting and
   *   keeping the answer are one transaction, so that a dead holder has done nothing
   */
  claim(key: string, fingerprint: string, options: { readonly retake: boolean }): Promise<ClaimAnswer>
  /** For acts outside the database; `change` does it by itself. */
  keep(claim: Claim, answer: StoredAnswer): Promise<void>
  /** The act failed and has done nothing: a repetition may act. */
  abandon(claim: Claim): Promise<void>
  /** Forgets keys older than a day; answers how many. */
  sweep(): Promise<number>
}

/** What a job says of its upstream. */
export type JobReport = {
  /** A UUID: a report that is added twice is one. */
  readonly id: string
  readonly jobId: string
  readonly type: string | null
  readonly institution: string | null
  /** Null where the job was not pinned. */
  readonly upstream: string | null
  readonly outcome: string
  /** `job`, or an operator. */
  readonly actor: string
  /** When it was said; null: now, by the database's clock. */
  readonly atMs: number | null
}

export interface JobReports {
  /** In one statement; those that are there already are passed over. */
  add(reports: readonly JobReport[]): Promise<void>
  /** Of one job, newest first. */
  list(jobId: string, limit: number): Promise<readonly (JobReport & { readonly atMs: number })[]>
  /** Forgets those older than 30 days; answers how many. */
  sweep(): Promise<number>
}

/** The parts that PostgreSQL keeps: a server, or PGlite in the embedded default. */
export interface RecordStore {
  readonly fleet: FleetRecords
  readonly upstreams: UpstreamRecords
  readonly restrictions: RestrictionRecords
  readonly ledger: Ledger
  readonly keys: IdempotencyKeys
  readonly reports: JobReports
  /** Brings the tables up to date, and makes the fleet's row. Several processes may do so at once. */
  migrate(): Promise<void>
  /** Resolves when the database answers now. */
  ping(): Promise<void>
  close(): Promise<void>
}
