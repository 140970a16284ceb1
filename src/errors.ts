// One class, many codes. What a code means on the wire stands in the tables below and nowhere else:
// status, RFC 9209 token (Proxy-Status) and Retry-After never come from the caller. Imports nothing.

type ErrorRow = {
  readonly status: number
  /** RFC 9209 section 2.3; a field `token` may name a more exact one. */
  readonly token: string
  readonly title: string
  readonly retryAfterS: number | null
}

export const errorTable = {
  bad_request: row(400, 'http_request_error', 'The request cannot be understood'),
  proxy_auth_required: row(407, 'http_request_denied', 'The gateway does not know the job'),
  /** A token that is good for another job only. */
  job_denied: row(403, 'http_request_denied', 'The token is not for this job'),
  target_denied: row(403, 'http_request_denied', 'The target is not allowed'),
  /** Only where a resource of ours was asked for, such as the pin of a job that has none. */
  not_found: row(404, 'http_request_error', 'There is no such thing'),
  rate_limited: row(429, 'http_request_denied', 'A limit was reached', 5),
  no_upstream: row(503, 'destination_unavailable', 'No upstream may serve this job now', 5),
  overloaded: row(503, 'connection_limit_reached', 'No room for another tunnel now', 1),
  store_unavailable: row(503, 'proxy_internal_error', 'The store of pins does not answer', 1),
  pin_lost: row(502, 'destination_unavailable', 'The upstream of this job is gone'),
  upstream_failed: row(502, 'connection_terminated', 'The upstream failed'),
  target_failed: row(502, 'destination_unavailable', 'The target cannot be reached'),
  upstream_timeout: row(504, 'connection_read_timeout', 'No answer in time'),
  target_timeout: row(504, 'dns_timeout', 'The name was not resolved in time'),
} as const satisfies { [code: string]: ErrorRow }

export type ErrorCode = keyof typeof errorTable

/** Reasons of `bad_request` that HTTP has a status of its own for. */
export const headReasonStatus = {
  method_not_allowed: 405,
  head_too_slow: 408,
  target_too_long: 414,
  expectation_unknown: 417,
  head_too_large: 431,
  not_implemented: 501,
  version_unknown: 505,
} as const
export type HeadReason = keyof typeof headReasonStatus

export type ErrorFields = {
  /** What happened, the value found, what to do. Sent to the client: never a secret, never an internal address. */
  readonly detail: string
  readonly reason?: HeadReason
  /** A more exact RFC 9209 token than the table's. */
  readonly token?: string
  /** Where the upstream itself is at fault (design 4), what failed: counted against it, and a fresh pin may move. */
  readonly blame?: 'connect' | 'reply'
  readonly upstream?: string
  readonly job?: string
  readonly lane?: string
  /** The status that an upstream answered (RFC 9209 `received-status`). */
  readonly receivedStatus?: number
  /** The name of DNS's response code, such as NXDOMAIN (RFC 9209 `rcode`). */
  readonly rcode?: string
}

/** A failure that the client is told about. Branch on `code`, never on the text. */
export class GatewayError extends Error {
  readonly code: ErrorCode
  readonly fields: ErrorFields

  constructor(code: ErrorCode, fields: ErrorFields, options?: { cause?: unknown }) {
    super(`${code}: ${fields.detail}`, options)
    this.name = 'GatewayError'
    this.code = code
    this.fields = fields
  }

  get status(): number {
    const { reason } = this.fields
    return reason === undefined ? errorTable[this.code].status : headReasonStatus[reason]
  }

  get token(): string {
    return this.fields.token ?? errorTable[this.code].token
  }
}

export function isGatewayError(error: unknown, ...codes: ErrorCode[]): error is GatewayError {
  return error instanceof GatewayError && (codes.length === 0 || codes.includes(error.code))
}

function row(status: number, token: string, title: string, retryAfterS: number | null = null): ErrorRow {
  return { status, token, title, retryAfterS }
}

/**
 * Nothing was done: the store may be another one than the caller takes it for (reconnected, flushed, failed over). Read its
 * identity again, give back what it may have lost (`restore`), and call again.
 */
export class AnotherStore extends Error {
  constructor() {
    super('the store may be another one than before')
    this.name = 'AnotherStore'
  }
}

type ControlErrorRow = {
  readonly status: number
  readonly title: string
  readonly retryAfterS: number | null
}

/** What the control plane refuses, or cannot do now. Told to people by the admin API; no job ever meets one of these. */
export const controlErrorTable = {
  bad_request: controlRow(400, 'The request cannot be understood'),
  not_found: controlRow(404, 'There is no such thing'),
  /** It would clash with what is there: an id or an address taken, a row that the configuration owns. */
  conflict: controlRow(409, 'It clashes with what is there'),
  /** A rule that selects no upstream; `force` overrides. */
  names_nothing: controlRow(409, 'The restriction selects no upstream'),
  /** A lane in use would be left without upstream; `force` overrides. */
  lane_without_upstream: controlRow(409, 'A lane in use would be left without upstream'),
  idempotency_in_flight: controlRow(409, 'The first request with this Idempotency-Key is still under way', 1),
  idempotency_mismatch: controlRow(422, 'This Idempotency-Key was used for another request'),
  database_unavailable: controlRow(503, 'PostgreSQL does not answer', 2),
  /** It answers, but others hold what is needed for longer than anybody waits. */
  database_busy: controlRow(503, 'Other transactions are in the way', 2),
} as const satisfies { [code: string]: ControlErrorRow }

export type ControlErrorCode = keyof typeof controlErrorTable

/** A refusal of the control plane. `detail`: what happened, the value found, what to do; never a secret. */
export class ControlError extends Error {
  readonly code: ControlErrorCode
  readonly detail: string

  constructor(code: ControlErrorCode, detail: string, options?: { cause?: unknown }) {
    super(`${code}: ${detail}`, options)
    this.name = 'ControlError'
    this.code = code
    this.detail = detail
  }

  get status(): number {
    return controlErrorTable[this.code].status
  }
}

export function isControlError(error: unknown, ...codes: ControlErrorCode[]): error is ControlError {
  return error instanceof ControlError && (codes.length === 0 || codes.includes(error.code))
}

function controlRow(status: number, title: string, retryAfterS: number | null = null): ControlErrorRow {
  return { status, title, retryAfterS }
}
