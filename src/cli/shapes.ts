// What the admin API answers, as far as people are shown it. A newer server may say more: unknown fields are shown
// in the view of one record, and passed on by --json.

export type Labels = { readonly [label: string]: string }
export type Selector = { readonly ids: readonly string[] } | { readonly labels: Labels }

export type Upstream = {
  readonly id: string
  readonly name: string
  readonly state: string
  /** Null until it is made. */
  readonly host: string | null
  readonly port: number | null
  readonly egressIp: string | null
  readonly labels: Labels
  readonly ejected: boolean
  readonly quarantined: boolean
  /** Null while Redis is away, as tunnels are. */
  readonly pins: number | null
  readonly tunnels: number | null
  /** Those below may be missing from an older server, which knows no such life. */
  readonly drain?: Drain | null
  readonly replacedBy?: string | null
  /** Why its last step failed; when that is tried again. */
  readonly problem?: string | null
  readonly retryAt?: string | null
}

export type Drain = {
  readonly deadline: string
  readonly thenDelete: boolean
  readonly drainedAt: string | null
  /** What was left at the deadline, and was closed. */
  readonly shut: { readonly pins: number; readonly tunnels: number } | null
}

export type Fleet = {
  /** Null: as many as there are. */
  readonly wanted: number | null
  readonly states: {
    readonly [State in 'provisioning' | 'running' | 'draining' | 'deleting' | 'failed']: number
  }
  readonly ejected: number
  readonly quarantined: number
  readonly version: number
}

export type SyncReport = {
  readonly pass: string
  readonly holder: string
  readonly startedAt: string
  readonly endedAt: string
  readonly outcome: string
  readonly problems: readonly string[]
  readonly listed: number
  readonly recorded: number
  readonly corrected: readonly { readonly id: string; readonly action: string; readonly detail: string }[]
  readonly left: readonly { readonly id: string; readonly detail: string }[]
}

export type Restriction = {
  readonly id: string
  readonly kind: string
  readonly type: string
  readonly institution: string
  readonly upstreams: Selector
  readonly overflow: boolean
  /** Null, or missing from an older server: anything. */
  readonly targets?: readonly string[] | null
  readonly report?: boolean
  readonly source: string
}

/** Answers of changes: at which version of the fleet it is so. */
export type Changed<T> = T & { readonly version: number }
export type RuleChange = { readonly id: string; readonly version: number; readonly evicting: boolean }

export type Explanation = {
  readonly type: string | null
  readonly institution: string | null
  readonly version: number
  readonly eligible: readonly string[]
  readonly refused: readonly {
    readonly upstream: string
    readonly reason: string
    readonly restriction: string | null
  }[]
  /** Missing from an older server. */
  readonly targets?: {
    readonly allowed: readonly string[] | null
    readonly reported: readonly string[] | null
    readonly restrictions: readonly string[]
  }
}

export type Step = { readonly kind: string; readonly [field: string]: unknown }

export type LedgerEntry = {
  readonly version: number
  readonly at: string
  readonly actor: string
  readonly reason: string | null
  readonly steps: readonly Step[]
  readonly previousHash: string
  readonly hash: string
}

export type LedgerCheck =
  | { readonly ok: true; readonly entries: number; readonly version: number; readonly hash: string }
  | { readonly ok: false; readonly version: number; readonly problem: string }

export type Report = {
  readonly at: string
  readonly outcome: string
  readonly upstream: string | null
  readonly type: string | null
  readonly institution: string | null
  readonly actor: string
}
