// What the checker is told: plain records of one run, each kind in the order of its time. All times are milliseconds of
// one wall clock (the machine on which the run was made), since processes have nothing else in common.

import type { LedgerEntry, UpstreamRecord } from '../../src/store/records.ts'
import type { Restriction } from '../../src/types.ts'

/** In memory, or as it comes from a file. */
export type Feed<Item> = Iterable<Item> | AsyncIterable<Item>

/** Bytes that went one way, as whoever was to get them saw it. */
export type Flow = {
  /** All that was sent; null where the sender had not come to its end. */
  readonly expectedBytes: number | null
  readonly gotBytes: number
  /** What came is how what was sent begins: nothing lost, changed or in another order. */
  readonly isPrefix: boolean
  /** `left`: sender or receiver itself let it go. */
  readonly end: 'end' | 'reset' | 'left'
}

/** One request of a job, written down when it is over, in the order of `endedMs`. */
export type ClientRecord = {
  readonly job: string
  readonly type: string | null
  readonly institution: string | null
  /** By the name that its lines have. */
  readonly gateway: string
  /** `release`: DELETE /v1/job. */
  readonly road: 'connect' | 'http' | 'release'
  readonly sentMs: number
  /** When its status had come; null: it never did. */
  readonly answeredMs: number | null
  /** When the last of it was over: of a CONNECT, its tunnel. */
  readonly endedMs: number
  readonly status: number | null
  /** Of a refusal by the gateway, such as `pin_lost`; null where it was served. */
  readonly code: string | null
  /** As refusals tell it. */
  readonly requestId: string | null
  /** As the answer to a CONNECT tells both. */
  readonly upstream: string | null
  readonly egressIp: string | null
  /** From which the target was called. */
  readonly address: string | null
  readonly flows: readonly Flow[]
}

/** A line of a gateway's log, `debug` included. `name` is the fact's (src/events.ts); fields that it has not are absent. */
export type GatewayLine = {
  readonly gateway: string
  readonly atMs: number
  readonly name: string
  readonly job?: string
  readonly type?: string | null
  readonly institution?: string | null
  readonly upstream?: string
  readonly version?: number
  readonly from?: string
  readonly to?: string
  readonly kept?: string
  readonly dropped?: string
  readonly reason?: string
  readonly requestId?: string
  readonly code?: string
  readonly road?: string
  readonly egressIp?: string | null
  readonly setupMs?: number
  readonly forMs?: number
  /** The whole line, to look for secrets in it. */
  readonly text?: string
}

/** A call to a provider, by whoever answered it. */
export type ProviderCall = {
  readonly verb: 'create' | 'delete' | 'list'
  /** The name of the machine. */
  readonly instance: string | null
  readonly requestId: string | null
  /** The cloud's own number of the machine that was made; null where none was, or it has none. */
  readonly incarnation: string | null
  readonly fromMs: number
  /** Null: it never got an answer. */
  readonly toMs: number | null
  readonly outcome: 'ok' | 'failed' | 'unknown'
}

/** From then on the drain counted as acknowledged, until the upstream took jobs again. */
export type Acknowledgement = {
  readonly upstream: string
  readonly fromMs: number
  readonly untilMs: number
}

/**
 * What the run did to its parts, in its own words. Only what stands here, or in a gateway's log, excuses anything.
 *
 * store_lost_data: flushed, restarted empty, failed over with writes lost. store_away: nobody (or only `whom`) reached it.
 * gateway_killed: without a last word. upstream_died: its process. embedded_exit: of a process that keeps pins in memory.
 */
export type Fault = {
  readonly kind:
    | 'store_lost_data'
    | 'store_away'
    | 'gateway_killed'
    | 'gateway_stalled'
    | 'upstream_died'
    | 'embedded_exit'
    | 'other'
  /** A gateway's name, or an upstream's id; null: all of them. */
  readonly whom: string | null
  readonly fromMs: number
  readonly toMs: number
  /** For people. */
  readonly what?: string
}

/** One try of a change through the admin API. */
export type AdminRecord = {
  readonly key: string | null
  /** Method, path and body. */
  readonly asks: string
  readonly sentMs: number
  /** Null: no answer. */
  readonly status: number | null
  /** The body as it came; null without one. */
  readonly answer: string | null
}

/** The records at the end, tombstones included; of an upstream those fields that are there are compared. */
export type Tables = {
  readonly version: number
  readonly ledgerHash: string | null
  readonly upstreams: readonly (Pick<UpstreamRecord, 'id' | 'state'> & Partial<UpstreamRecord>)[]
  readonly restrictions: readonly Restriction[]
}

/** What the cloud has at the end. */
export type Machine = { readonly name: string; readonly incarnation: string | null }

/** What somebody saw who must know no job and no token: a target, an upstream's log. */
export type Seen = { readonly where: string; readonly text: string }

export type Records = {
  readonly clients: readonly Feed<ClientRecord>[]
  /** One for each file or process; two may have the same name, one after the other. */
  readonly gateways: readonly Feed<GatewayLine>[]
  /** From the first row on. */
  readonly ledger?: Feed<LedgerEntry>
  readonly calls?: Feed<ProviderCall>
  /** Beside those that the ledger tells. */
  readonly acknowledgements?: Feed<Acknowledgement>
  readonly faults?: Feed<Fault>
  readonly admin?: Feed<AdminRecord>
  readonly tables?: Tables
  readonly machines?: readonly Machine[]
  readonly seen?: Feed<Seen>
}

export type Settings = {
  readonly fleet: string
  /** `pins.idleMs` of the run. */
  readonly idleMs: number
  /** How much a client's times and those of its gateway may differ, and how late a fault may show. */
  readonly skewMs: number
  /** Lines of different gateways that are so close may stand for what happened in either order. */
  readonly tieMs: number
  /** From a request to its pin at most: beyond it nobody need be asked when the request came. */
  readonly longestPinMs: number
  /** A pin may be told under a version that its gateway loaded while the store was answering: so shortly before. */
  readonly answerMs: number
  /** False: whoever was full was passed over, of which no line tells. */
  readonly checkTurns: boolean
  /** Everything has ended: no request is under way, no operation goes on. */
  readonly isOver: boolean
  /** In no log and at no target. */
  readonly secrets: readonly string[]
  /** In all job ids of the run, and nowhere else: at no target, in no stranger's log. */
  readonly jobMark: string | null
}

export const usualSettings: Settings = {
  fleet: 'main',
  idleMs: 600_000,
  skewMs: 250,
  tieMs: 50,
  longestPinMs: 15_000,
  answerMs: 1000,
  checkTurns: true,
  isOver: true,
  secrets: [],
  jobMark: null,
}
