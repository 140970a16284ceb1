// What the admin API answers, as far as people are shown it. A newer server may say more: unknown fields are shown
// in the view of one record, and passed on by --json.

export type Labels = { readonly [label: string]: string }
export type Selector = { readonly ids: readonly string[] } | { readonly labels: Labels }

export type Upstream = {
  readonly id: string
  readonly name: string
  readonly state: string
  readonly host: string
  readonly port: number
  readonly egressIp: string | null
  readonly labels: Labels
  readonly ejected: boolean
  readonly quarantined: boolean
  /** Null while Redis is away, as tunnels are. */
  readonly pins: number | null
  readonly tunnels: number | null
}

export type Restriction = {
  readonly id: string
  readonly kind: string
  readonly type: string
  readonly institution: string
  readonly upstreams: Selector
  readonly overflow: boolean
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
