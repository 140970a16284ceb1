// The nouns that every part shares. Types and const tables only; imports nothing.

/** The client's unit of work. `type` and `institution` are null where the client named none. */
export type Job = {
  readonly id: string
  readonly type: string | null
  readonly institution: string | null
}

/** Rotation happens per lane. `*` stands where the job named no type or institution. */
export type Lane = { readonly type: string; readonly institution: string }

/** Where a client wants to go. `host` is a lower-case name, or an address literal without brackets. */
export type Target = { readonly host: string; readonly port: number }

export const upstreamStates = [
  'provisioning',
  'running',
  'draining',
  'deleting',
  'deleted',
  'failed',
] as const
export type UpstreamState = (typeof upstreamStates)[number]

export type Labels = { readonly [label: string]: string }

/** One life of one egress IP. The id is never used again. */
export type Upstream = {
  readonly id: string
  readonly name: string
  readonly provider: string
  readonly state: UpstreamState
  readonly host: string
  readonly port: number
  /** The address that targets see; null where nobody can know it. */
  readonly egressIp: string | null
  readonly labels: Labels
  readonly ejected: boolean
  readonly quarantined: boolean
  /** The name of a credential in the gateway's own configuration, never the credential itself. */
  readonly credentials: string | null
}

/** `targets` says only what its lanes may reach; it ties them to no upstream. */
export const restrictionKinds = ['exclusive', 'deny', 'targets'] as const
export type RestrictionKind = (typeof restrictionKinds)[number]

/** By id, or by labels that must all be there (so a label also catches upstreams made later). */
export type UpstreamSelector = { readonly ids: readonly string[] } | { readonly labels: Labels }

/** A rule that ties lanes to upstreams. `*` in `type` or `institution` means any. */
export type Restriction = {
  readonly id: string
  readonly kind: RestrictionKind
  readonly type: string
  readonly institution: string
  /** Of kind `targets`: no ids, which select nothing. */
  readonly upstreams: UpstreamSelector
  readonly overflow: boolean
  /** What the matching lanes may reach and nothing else (`*.bank.example`, an address, a CIDR); null or absent: anything. */
  readonly targets?: readonly string[] | null
  /** What `targets` would refuse is logged and let through. */
  readonly report?: boolean
}

/** The fleet at one version, as published to gateways. */
export type Snapshot = {
  readonly version: number
  /** The ledger's hash at that version: tells two histories apart that both came to the same number. */
  readonly ledgerHash?: string
  readonly upstreams: readonly Upstream[]
  readonly restrictions: readonly Restriction[]
}

/** What a job may say of its upstream. */
export const reportOutcomes = ['ok', 'blocked', 'captcha', 'rate_limited'] as const
export type ReportOutcome = (typeof reportOutcomes)[number]

/** A password that was given out. Its name may be logged; the token itself never is. */
export type NamedToken = { readonly name: string; readonly token: string }

/** Signs job tokens (HMAC-SHA256). The id stands in each token, so that keys can be rotated. */
export type TokenKey = { readonly id: string; readonly secret: string }

/** A job held to one upstream until it is released or expires. */
export type Pin = {
  readonly job: Job
  readonly upstreamId: string
  /** The gateway that made the pin, while no tunnel of the job has opened yet; then null. Only it may move the pin. */
  readonly freshBy: string | null
  readonly pinnedAtMs: number
  readonly expiresAtMs: number
}
