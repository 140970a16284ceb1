// Errors -> RFC 9457 problem documents, with the status and Retry-After that belong to them. Pure.

import { controlErrorTable, errorTable, isControlError, isGatewayError } from '../errors.ts'

export type Problem = {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly code: string
  readonly detail: string
}

export type Refusal = { readonly problem: Problem; readonly retryAfterS: number | null }

const titles: { readonly [code: string]: { readonly title: string } } = {
  ...errorTable,
  ...controlErrorTable,
  unauthorized: { title: 'The token is missing or wrong' },
  forbidden: { title: 'Whoever asks may not do this' },
  internal_error: { title: 'The server failed' },
}

const withoutDatabase =
  'Meanwhile all traffic goes on, and GET and DELETE /v1/jobs/:id (without Idempotency-Key), GET /v1/explain, ' +
  '/metrics and /healthz answer.'

/** Errors of fastify, in our words: its own may repeat what was sent, a secret included. */
const details: { readonly [code: string]: string } = {
  FST_ERR_BAD_URL: 'The path cannot be decoded.',
  FST_ERR_MAX_PARAM_LENGTH: 'An id in the path is too long.',
  FST_ERR_CTP_EMPTY_JSON_BODY:
    'The body is empty, and Content-Type says that it is JSON; leave one of them out.',
  FST_ERR_CTP_INVALID_JSON_BODY: 'The body is not valid JSON.',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'The body must be JSON, with Content-Type: application/json.',
  FST_ERR_CTP_BODY_TOO_LARGE: 'The body is too large.',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'The body is not as long as Content-Length says.',
}

export function problem(status: number, code: string, detail: string): Problem {
  const title = titles[code]?.title ?? code
  return { type: `urn:lanekeeper:error:${code}`, title, status, code, detail }
}

export function refusalOf(error: unknown): Refusal {
  if (isControlError(error)) {
    const detail = error.code === 'database_unavailable' ? `${error.detail} ${withoutDatabase}` : error.detail
    const { retryAfterS } = controlErrorTable[error.code]
    return { problem: problem(error.status, error.code, detail), retryAfterS }
  }
  if (isGatewayError(error)) {
    const { retryAfterS } = errorTable[error.code]
    return { problem: problem(error.status, error.code, error.fields.detail), retryAfterS }
  }
  return { problem: foreign(error), retryAfterS: null }
}

function foreign(error: unknown): Problem {
  const { statusCode, code } = error as { statusCode?: unknown; code?: unknown }
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500) {
    const detail = details[String(code)] ?? 'The request cannot be read.'
    return problem(statusCode, 'bad_request', detail)
  }
  return problem(500, 'internal_error', 'The admin API met an error of its own; the log says more.')
}
