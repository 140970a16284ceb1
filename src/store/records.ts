// What PostgreSQL remembers (design 8), as the rest of the program may ask it. One suite runs on every adapter
// (test/fixtures/records-contract.ts). All methods throw ControlError `database_unavailable` when the database does not
// answer in time, refuses or is read-only.

import type { Restriction, Upstream, UpstreamState } from '../types.ts'

/**
 * Who brought an upstream into the fleet, or took it out. `operator`: a person, by the admin API (a machine that others
 * made); `provider`: the provider's list says so; `control`: made through the provider, on purpose.
 */
export type Origin = 'operator' | 'provider' | 'control'

/** A drain under way, or the one that led to `deleting`. Times by the database's clock. */
export type Drain = {
  readonly sinceMs: number
  readonly deadlineMs: number
  /** Delete it once it is empty. */
  readonly thenDelete: boolean
  /** Who will have deleted it. */
  readonly by: Origin
  /** When it was acknowledged and found empty, or its deadline closed what was left. */
  readonly drainedAtMs: number | null
  /** When the deadline closed it, and what was counted on it then; null where it did not come to that. */
  readonly shut: { readonly atMs: number; readonly pins: number; readonly tunnels: number } | null
}

/** What control keeps of an upstream's life, beside its state. */
export type LifeFields = {
  /** Under which its provider lists it. The first life of an instance has the same id, the second `<id>.2`. */
  readonly instanceId: string
  /** The cloud's own number of that very machine; null where it has none, or it is not known yet. */
  readonly incarnation: string | null
  /** Where its provider keeps it: a cloud's zone, or for `local` the host and folder. */
  readonly zone: string | null
  /** The external address that the provider lists; `egressIp` is what the world sees, where a probe has asked. */
  readonly listedIp: string | null
  /** Of the cloud operation under way: it stays the same over retries. A UUID. */
  readonly requestId: string | null
  /** Failed tries of the step under way; when it is tried again; why the last one failed (`code: what to do`). */
  readonly attempts: number
  readonly retryAtMs: number | null
  readonly problem: string | null
  readonly drain: Drain | null
  /** The upstream that was made to take its place: once that runs, this one is drained. */
  readonly replacedBy: string | null
  /** How often in a row it was ejected, and until when it is, or was. */
  readonly ejections: number
  readonly ejectedUntilMs: number | null
}

/** Of a life in which nothing has happened yet. */
export const unlived: Omit<LifeFields, 'instanceId'> = {
  incarnation: null,
  zone: null,
  listedIp: null,
  requestId: null,
  attempts: 0,
  retryAtMs: null,
  problem: null,
  drain: null,
  replacedBy: null,
  ejections: 0,
  ejectedUntilMs: null,
}

/** A deleted one stays as a tombstone: its id is never used again. */
export type UpstreamRecord = Upstream &
  LifeFields & {
    readonly addedBy: Origin
    /** Raised by one with each change of the row that has a row in the ledger. */
    readonly rowVersion: number
    /** The fleet's version and the time at which it came into its state. */
    readonly stateVersion: number
    readonly stateSinceMs: number
    /** Raised by each claim: whoever holds an older number has lost it. 0 before the first. */
    readonly claimFence: number
    readonly createdAtMs: number
    readonly updatedAtMs: number
    readonly deletedAtMs: number | null
    readonly deletedBy: Origin | null
  }

/** While `host` is '' its address is not known yet. What is left out of the life's fields: none, null, 0; the id. */
export type NewUpstream = Upstream & Partial<LifeFields> & { readonly addedBy: Origin }

/** What of an upstream may change during its life. */
export type UpstreamFields = Partial<
  Pick<
    Upstream,
    'name' | 'host' | 'port' | 'egressIp' | 'labels' | 'credentials' | 'state' | 'ejected' | 'quarantined'
  > &
    Omit<LifeFields, 'instanceId'>
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
  /** How many upstreams the provider is to keep; null: as many as there are. `configured`: what the configuration said. */
  | {
      readonly kind: 'size_wanted'
      readonly from: number | null
      readonly to: number | null
      readonly configured: number | null
    }
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
  /** How many upstreams the provider is to keep; null: as many as there are. */
  readonly wantedSize: number | null
  /** What the configuration wanted when control last looked: where it says otherwise now, it has been changed. */
  readonly configuredSize: number | null
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

/** Some upstreams, and the fleet's head, of one moment. By the database's clock; without the deleted ones. */
export type UpstreamsContent = Head & {
  readonly nowMs: number
  readonly upstreams: readonly UpstreamRecord[]
}

export type UpstreamsChange<T> = Omit<ChangeRequest<T>, 'decide'> & {
  readonly ids: readonly string[]
  /** As that of `ChangeRequest`, told these upstreams alone. */
  readonly decide: (content: UpstreamsContent) => { readonly steps: readonly Step[]; readonly answer: T }
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
  /** The same for what concerns a few upstreams, at a cost that does not grow with the fleet. */
  changeUpstreams<T>(request: UpstreamsChange<T>): Promise<Outcome<T>>
  /**
   * Remembers which store of pins this fleet works with (`TrafficStore.identity`), over restarts of control.
   * @returns when it was another one last (it was flushed, or failed over); null: never another
   */
  storeSeen(identity: string): Promise<{ readonly changedAtMs: number | null; readonly nowMs: number }>
}

/** The right to take an upstream's next step. It ends with its time, or when another takes it: then `fence` is higher. */
export type UpstreamClaim = { readonly id: string; readonly holder: string; readonly fence: number }

/** What a step writes down for whoever tries it again. No ledger row and no new version: no state has changed. */
export type StepNotes = Partial<Pick<LifeFields, 'zone' | 'requestId' | 'attempts' | 'retryAtMs' | 'problem'>>

export type ClaimedUpstream = { readonly record: UpstreamRecord; readonly claim: UpstreamClaim }

/**
 * The rows are the queue (design 9). One has somewhere to go when it is provisioning or deleting, draining and not done
 * with it, or running with a replacement. None of these takes the fleet's row.
 */
export interface UpstreamClaims {
  /**
   * Those that have somewhere to go, are due and unclaimed; the longest untouched first. Looks without claiming.
   * @param of  the provider's, and all of `static`; where `place` is given, of the provider's those of that zone alone
   */
  waiting(of: {
    readonly provider: string
    readonly place: string | null
    readonly limit: number
  }): Promise<{ readonly nowMs: number; readonly upstreams: readonly UpstreamRecord[] }>
  /** Those of them that are still unclaimed (SKIP LOCKED) and not deleted, as they stand then. */
  take(
    ids: readonly string[],
    by: { readonly holder: string; readonly forMs: number },
  ): Promise<{ readonly nowMs: number; readonly claimed: readonly ClaimedUpstream[] }>
  /** Counted from now. @returns false where another has taken it, or it is deleted */
  extend(claim: UpstreamClaim, forMs: number): Promise<boolean>
  /** @returns false, and nothing is written, where another has taken it, or it is deleted */
  note(claim: UpstreamClaim, notes: StepNotes): Promise<boolean>
  /** The same, and ends the claim. */
  release(claim: UpstreamClaim, notes?: StepNotes): Promise<boolean>
}

/** What one comparison of the provider's list with the records came to (design 9). */
export type SyncReport = {
  /** A UUID. */
  readonly pass: string
  /** Which process did it. */
  readonly holder: string
  /** By the clock of that process. */
  readonly startedAtMs: number
  readonly endedAtMs: number
  /** `incomplete`: the list was, so nothing was taken for gone; `stopped`: too much is gone, confirm it; `failed`: no list. */
  readonly outcome: 'done' | 'incomplete' | 'stopped' | 'failed'
  /** Why it is not `done`. */
  readonly problems: readonly string[]
  readonly listed: number
  readonly recorded: number
  readonly corrected: readonly { readonly id: string; readonly action: string; readonly detail: string }[]
  readonly left: readonly { readonly id: string; readonly detail: string }[]
}

export interface SyncReports {
  /** The newest only: one that started later stays. */
  keep(report: SyncReport): Promise<void>
  read(): Promise<SyncReport | null>
}

/** `next` is handed in as `after` to go on; null at the end. */
export type Page<Item> = { readonly items: readonly Item[]; readonly next: string | null }
export type PageRequest = { readonly after: string | null; readonly limit: number }

export interface UpstreamRecords {
  /** By id. @param state  null: all but the deleted ones */
  list(request: PageRequest & { readonly state: UpstreamState | null }): Promise<Page<UpstreamRecord>>
  /** Tombstones too. */
  read(id: string): Promise<UpstreamRecord | null>
  /** Those at an address, without the deleted ones. By id. */
  at(address: { readonly host: string; readonly port: number }): Promise<readonly UpstreamRecord[]>
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
  readonly claims: UpstreamClaims
  readonly syncs: SyncReports
  /** Brings the tables up to date, and makes the fleet's row. Several processes may do so at once. */
  migrate(): Promise<void>
  /** Resolves when the database answers now. */
  ping(): Promise<void>
  close(): Promise<void>
}
