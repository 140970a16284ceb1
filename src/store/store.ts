// What the rest of the program may ask of a store. Small contracts, kept by every adapter alike:
// one suite (test/fixtures/*-contract.ts) runs on all of them. All methods throw GatewayError
// `store_unavailable` when the store does not answer in time, refuses, or holds a record of a format that this
// program cannot read; none of them retries by itself.

import type { Job, Lane, Pin, Snapshot, Target } from '../types.ts'

export type PinRequest = {
  readonly job: Job
  /** The gateway that asks; it alone may move a pin that it makes, while the pin is fresh. */
  readonly gatewayId: string
  /** The version of the snapshot that the caller decides by. */
  readonly version: number
  /** Ids eligible for the job's lane under `version`, in order; null on the first try (most rings exist). */
  readonly eligible: readonly string[] | null
  /** Ids not to take now (full, just failed, cooling down). Their turn passes. */
  readonly refused: readonly string[]
}

export type PinAnswer =
  | { readonly kind: 'pinned'; readonly pin: Pin; readonly reused: boolean }
  /** The job was pinned under another type or institution. Not extended. */
  | { readonly kind: 'mismatch'; readonly pin: Pin }
  /** The job's upstream has left the fleet. Not extended. */
  | { readonly kind: 'lost'; readonly pin: Pin }
  /** The caller's version is older than the store's: refresh and call again. */
  | { readonly kind: 'stale'; readonly version: number }
  /** The store's version is older than the caller's (it lost writes): publish, and call again. */
  | { readonly kind: 'behind'; readonly version: number }
  /** The lane has no ring of this version: call again with `eligible`. */
  | { readonly kind: 'no-ring' }
  /** A whole lap found no id that the caller takes. */
  | { readonly kind: 'none' }
  | { readonly kind: 'too-many-lanes' }
  /** The fleet holds as many pins as it may; those there are are not touched. */
  | { readonly kind: 'too-many-pins' }

export type MoveRequest = PinRequest & {
  /** The upstream that the pin is moved away from: compare-and-set. Never given again, as if refused. */
  readonly from: string
  /**
   * `fresh`: only by the gateway that made the pin, and only while no tunnel of the job has opened.
   * `lost`: only when `from` has left the fleet (job types configured as flex).
   */
  readonly when: 'fresh' | 'lost'
}

export type MoveAnswer =
  | { readonly kind: 'moved'; readonly pin: Pin }
  /** Refused: the pin is used, is another gateway's, stands elsewhere, is of another lane, or its upstream is still there. */
  | { readonly kind: 'kept'; readonly pin: Pin }
  /** There is no pin (released or expired). */
  | { readonly kind: 'gone' }
  | Extract<PinAnswer, { kind: 'stale' | 'behind' | 'no-ring' | 'none' | 'too-many-lanes' }>

export type Touch = {
  readonly jobId: string
  readonly upstreamId: string
  /** A tunnel of the job has opened, so the pin is no longer fresh. */
  readonly used: boolean
  /** All who follow the feed are to hear of it. */
  readonly tell?: boolean
}

/** A pin that a gateway remembers. */
export type RememberedPin = Omit<Pin, 'expiresAtMs'> & {
  /** Made by `freshBy` while the store was away, so no store has ever confirmed it; it is used, not fresh. */
  readonly hashed: boolean
}

export type RestoreAnswer =
  /** There was none; the store has it now. */
  | { readonly kind: 'written' }
  /** It stands as remembered, and is extended. */
  | { readonly kind: 'stands' }
  /** An older one stood there, from before what the store has lost; the remembered one stands now. */
  | { readonly kind: 'replaced' }
  /** It has come to its longest life. */
  | { readonly kind: 'over' }
  /** This one stands. */
  | { readonly kind: 'conflict'; readonly pin: Pin }

/** Pins and rings (design 7). Idle time and longest life are given when the store is opened. */
export interface Pins {
  /** The job's pin, extended, or a new one on the next upstream of its lane's ring. One atomic step. */
  pin(request: PinRequest): Promise<PinAnswer>
  /** Gives the job, type and institution as the pin has them, the next upstream of its ring instead of `from`. One atomic step. */
  move(request: MoveRequest): Promise<MoveAnswer>
  /** Ends freshness and extends, if the pin still stands on `upstreamId`; answers where it stands, null if nowhere. */
  use(jobId: string, upstreamId: string): Promise<Pin | null>
  /** Extends many; answers in the same order, false where the pin is gone or stands elsewhere. */
  touch(touches: readonly Touch[]): Promise<boolean[]>
  /** Ends the pin; answers what it was, null if there was none. @param onlyOn  and only if it stands on this upstream */
  release(jobId: string, onlyOn?: string): Promise<Pin | null>
  /** Looks without extending. */
  read(jobId: string): Promise<Pin | null>
  /** Removes up to `limit` expired pins; answers how many. */
  sweep(limit: number): Promise<number>
  /** Pinned jobs by upstream id, expired pins that nobody swept yet included; an upstream without any may be missing. */
  counts(): Promise<Map<string, number>>
  /** Lanes in which jobs were pinned within the last day. */
  lanes(): Promise<Lane[]>
  /**
   * All pins, part by part. One that stands throughout comes at least once, others may come; so may expired ones that
   * nobody swept yet.
   * @param after  `next` of the part before; null begins
   */
  scan(after: string | null): Promise<{
    readonly pins: readonly Pin[]
    /** By the store's clock. */
    readonly nowMs: number
    readonly next: string | null
  }>
  /** Gives back what the store may have lost, or could not be told. Answers in the same order; makes no new pin. */
  restore(pins: readonly RememberedPin[]): Promise<RestoreAnswer[]>
}

/** The fleet as published to gateways. */
export interface Snapshots {
  /** Sets it if its version is greater than the one there; answers the version that stands then. */
  publish(snapshot: Snapshot): Promise<number>
  /** 0 where nothing was ever published. */
  version(): Promise<number>
  read(): Promise<Snapshot | null>
}

export type Notice =
  /** A pin was made, or has moved: so it stands now. */
  | { readonly kind: 'pinned'; readonly pin: Pin }
  /** Pins were extended whose touch said `tell`, or whose first tunnel was told of. */
  | { readonly kind: 'touched'; readonly touches: readonly Touch[] }
  /** A pin has ended before its time. */
  | { readonly kind: 'released'; readonly jobId: string; readonly pinnedAtMs: number }
  /** A gateway has sent this beat: whoever hears its own has heard all that was told before. */
  | { readonly kind: 'beat'; readonly gatewayId: string; readonly beats: number }

export type Follower = {
  heard(notice: Notice): void
  /** From now on everything is heard; what was told before is not. Again after each `lost`. */
  subscribed(): void
  lost(): void
}

/**
 * What happens to pins, told to all gateways at once, so that each knows all of them while the store is away. Best effort:
 * who has missed something is told that it was `lost`, and reads all pins once it is `subscribed` again.
 */
export interface Feed {
  /** For the life of the store. The notices of the caller's own calls come too. */
  follow(follower: Follower): void
}

/** What a gateway says of itself each second. Kept until it signs off, or for a day of silence. */
export type GatewayReport = {
  readonly id: string
  /** The snapshot that it decides by. */
  readonly version: number
  /** Open tunnels by upstream id; none: left out. */
  readonly tunnels: { readonly [upstreamId: string]: number }
  /** Remembered pins by upstream id; none: left out. */
  readonly pins: { readonly [upstreamId: string]: number }
  /** Where others could reach its gateway and admin ports, which are no targets; an older one says nothing of it. */
  readonly listeners?: readonly Target[]
  /** Which of its beats this is. Told on the feed, not kept. */
  readonly beats?: number
}

/** `sentAtMs` by the store's clock. */
export type StoredReport = GatewayReport & { readonly sentAtMs: number }

export interface Heartbeats {
  /** Replaces the gateway's report; answers the version now published, the store's time, and all other gateways' reports. */
  beat(report: GatewayReport): Promise<{
    readonly version: number
    readonly nowMs: number
    readonly others: readonly StoredReport[]
  }>
  signOff(gatewayId: string): Promise<void>
  list(): Promise<readonly StoredReport[]>
}

/** What a job says of its upstream, on its way from the gateway to the records. */
export type WaitingReport = {
  /** A UUID: a report that comes twice is one. */
  readonly id: string
  readonly job: Job
  /** Null where the job was not pinned. */
  readonly upstream: string | null
  readonly outcome: string
  /** When it came, by the store's clock. */
  readonly atMs: number
}

/** Gateways know no database, so reports wait here until a control has written them down. */
export interface Reports {
  /** @returns false where as many wait as there is room for */
  add(report: Omit<WaitingReport, 'atMs'>): Promise<boolean>
  /** Some of those that wait, `limit` at most. */
  waiting(limit: number): Promise<WaitingReport[]>
  /** They are written down. */
  remove(ids: readonly string[]): Promise<void>
}

export type PinLife = {
  /** A pin ends this long after its last use. */
  readonly idleMs: number
  /** And at the latest this long after it was made. */
  readonly maxLifeMs: number
}

/** The parts that gateways meet in: Redis, or plain Maps in the embedded default. */
export interface TrafficStore {
  readonly pins: Pins
  /**
   * The same, for as long as the store is certain to be the one with that identity: else each call throws AnotherStore.
   * @param identity  the newest that `identity()` has answered
   */
  pinsIn(identity: string): Pins
  readonly snapshots: Snapshots
  readonly heartbeats: Heartbeats
  readonly feed: Feed
  readonly reports: Reports
  /**
   * Which store this is: another text after a flush, and after a failover that may have lost writes. Reading it marks a
   * store that has no mark yet.
   */
  identity(): Promise<string>
  /** Resolves when the store answers now; throws `store_unavailable` when not. */
  ping(): Promise<void>
  close(): Promise<void>
}
