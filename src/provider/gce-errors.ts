// What Compute Engine refuses, in our words.
//
// Google's client throws errors with gRPC codes, which are not enough: a quota, a rate limit and a missing permission are
// all 7, and 409 is 10. What the server really said is still there (google-gax 6.17): `httpStatusCode`, and the raw body
// under the registered symbol below, whose `error.errors[0].reason` tells them apart. For 401 and 403 too, which take
// another way through the client. Without an HTTP status there was no answer: refused connect, reset, time limit.

import { ProviderError, type ProviderErrorCode } from './provider.ts'

/** What was asked, for people: `make lanekeeper-main-1a2b3c4d in europe-west1-b`. */
export type What = string

/** A ProviderError that still knows what HTTP said. */
export class GceError extends ProviderError {
  /** Null: no answer came. */
  readonly httpStatus: number | null

  constructor(code: ProviderErrorCode, message: string, httpStatus: number | null) {
    super(code, message)
    this.httpStatus = httpStatus
  }
}

/** One of `error.errors` in an operation that failed. */
export type OperationFault = { readonly code?: string | null; readonly message?: string | null }

const rawBody = Symbol.for('google-gax.rawHttpResponsePayload')
/** Longer texts are pages of a proxy in between. */
const longestText = 300

/**
 * Reasons of refused calls (`quotaExceeded`) and codes of failed operations (`QUOTA_EXCEEDED`) are the same words in two
 * spellings; they are compared without case and underscores. The first that fits counts.
 */
const kinds: readonly (readonly [RegExp, ProviderErrorCode])[] = [
  [/poolexhausted|stockout/, 'no_capacity'],
  [/ratelimit|rateexceeded/, 'rate_limited'],
  // A subnet without free addresses is a limit of the project, too: other zones share it.
  [/quota|limitexceeded|ipspaceexhausted/, 'quota'],
  [/^resourcenotready$|^resourceinuse$|^internalerror$|^backenderror$/, 'unavailable'],
]

/** What to do, beyond reading what Google says. */
const advice: { readonly [Code in ProviderErrorCode]?: string } = {
  quota: 'ask Google for more, or keep fewer machines',
  no_capacity: 'another zone in gce.zones may have some',
  rate_limited: 'fewer calls to Compute Engine will do',
}

/**
 * @param error  thrown by Google's client
 * @returns what is none of its errors as it is
 */
export function fromClient(error: unknown, what: What): unknown {
  const { httpStatusCode: status, code: rpcCode } = error as { httpStatusCode?: unknown; code?: unknown }
  if (typeof rpcCode !== 'number') return error
  if (typeof status !== 'number') return noAnswer(error, what)
  const { reason, text } = saidIn((error as { readonly [rawBody]?: unknown })[rawBody])
  const code = kindOf(reason) ?? codeOfStatus(status)
  return new GceError(code, sentence(what, `${status} ${reason}`.trim(), text, code), status)
}

/** @param status  that the call would have had */
export function fromOperation(fault: OperationFault, status: number, what: What): GceError {
  const reason = fault.code ?? ''
  const code = kindOf(reason) ?? codeOfStatus(status)
  return new GceError(code, sentence(what, reason || String(status), fault.message ?? '', code), status)
}

export function unavailable(what: What, why: string): GceError {
  return new GceError('unavailable', `Compute Engine: ${what}: ${why}.`, null)
}

/** Of what the client says itself only a code is repeated: it knows credentials. */
function noAnswer(error: unknown, what: What): GceError {
  const { code, cause } = error as { readonly code?: unknown; readonly cause?: { readonly code?: unknown } }
  if (code === deadlineExceeded) return unavailable(what, 'no answer in time')
  const detail = typeof cause?.code === 'string' ? ` (${cause.code})` : ''
  return unavailable(what, `no answer${detail}; is the network there, and the endpoint right?`)
}

/** google.rpc.Code */
const deadlineExceeded = 4

function kindOf(reason: string): ProviderErrorCode | null {
  const word = reason.replaceAll('_', '').toLowerCase()
  return kinds.find(([pattern]) => pattern.test(word))?.[1] ?? null
}

function codeOfStatus(status: number): ProviderErrorCode {
  if (status === 404) return 'not_found'
  if (status === 429) return 'rate_limited'
  if (status === 408 || status >= 500) return 'unavailable'
  return 'refused'
}

/**
 * `{error: {message, errors: [{reason}], details: [{reason}]}}` of the API, `{error: 'invalid_grant'}` of who gives out
 * tokens, as text or read already; or anything else.
 */
function saidIn(raw: unknown): { readonly reason: string; readonly text: string } {
  const body = typeof raw === 'string' ? parsed(raw) : raw
  const error = (body as Body | null)?.error
  if (typeof error !== 'object' || error === null) return { reason: textOf(error), text: '' }
  const reason = [...listOf(error.errors), ...listOf(error.details)].find((one) => one?.reason)?.reason
  return { reason: textOf(reason), text: textOf(error.message) }
}

type Body = {
  readonly error?:
    { readonly message?: unknown; readonly errors?: unknown; readonly details?: unknown } | string
}

function listOf(value: unknown): ({ readonly reason?: unknown } | null)[] {
  return Array.isArray(value) ? value : []
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function sentence(what: What, short: string, text: string, code: ProviderErrorCode): string {
  const said = text === '' ? '' : `, "${text.slice(0, longestText)}"`
  const hint = advice[code]
  return `Compute Engine: ${what}: ${short}${said}${hint ? `; ${hint}` : ''}.`
}
