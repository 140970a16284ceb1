// Success or a GatewayError -> the answer's bytes. Pure; the only place that knows what an answer looks like.
// Errors are problem documents (RFC 9457) with the cause in Proxy-Status (RFC 9209), so that programs which
// see no body, as most clients of a refused CONNECT, can still read the code.

import { STATUS_CODES } from 'node:http'
import { errorTable, type GatewayError } from '../errors.ts'

type Header = readonly [name: string, value: string]

export type ErrorReply = {
  readonly status: number
  readonly headers: readonly Header[]
  readonly body: string
}

type ErrorOptions = {
  readonly keepAlive: boolean
  /** Where the gateway's log says more. */
  readonly requestId?: string
  /** False for HEAD: Content-Length then still tells the length of what GET would get. */
  readonly withBody?: boolean
}

/** What TRACE may be replaced by. A method that is not here may still be forwarded. */
const usualMethods = 'CONNECT, DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT'

/**
 * The answer to a CONNECT whose tunnel stands: exactly 200, and no body headers.
 * @see RFC 9110 section 9.3.6
 */
export function establishedReply({
  upstreamId,
  egressIp,
}: {
  readonly upstreamId: string
  readonly egressIp: string | null
}): string {
  const headers: Header[] = [['X-Upstream-Id', upstreamId]]
  if (egressIp !== null) headers.push(['X-Egress-Ip', egressIp])
  return head('HTTP/1.1 200 Connection established', headers)
}

export function errorReply(
  error: GatewayError,
  { keepAlive, requestId, withBody = true }: ErrorOptions,
): ErrorReply {
  const body = `${JSON.stringify(problem(error, requestId))}\n`
  const headers: Header[] = [
    ['Content-Type', 'application/problem+json'],
    ['Content-Length', String(Buffer.byteLength(body))],
    ['Proxy-Status', proxyStatus(error)],
    ['Connection', keepAlive ? 'keep-alive' : 'close'],
    ...headersOf(error),
  ]
  return { status: error.status, headers, body: withBody ? body : '' }
}

/** To OPTIONS that asks about us, not about a target (RFC 9110 section 9.3.7, RFC 9209 section 2.3.29). */
export function optionsReply(): Omit<ErrorReply, 'body'> {
  const headers: Header[] = [
    ['Allow', usualMethods],
    ['Content-Length', '0'],
    ['Proxy-Status', 'lanekeeper; error=proxy_internal_response'],
  ]
  return { status: 200, headers }
}

/** The same as one HTTP/1.1 message. */
export function errorBytes(error: GatewayError, options: ErrorOptions): Buffer {
  const { status, headers, body } = errorReply(error, options)
  return Buffer.from(head(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`, headers) + body)
}

function problem(error: GatewayError, requestId: string | undefined) {
  const { detail, upstream, job, lane } = error.fields
  return {
    type: `urn:lanekeeper:error:${error.code}`,
    title: errorTable[error.code].title,
    status: error.status,
    code: error.code,
    detail,
    upstream,
    job,
    lane,
    requestId,
  }
}

/** `details` carries our code, never a text: its bytes would be somebody else's (RFC 9209 section 2.1.6). */
function proxyStatus(error: GatewayError): string {
  const { receivedStatus, rcode } = error.fields
  const received = receivedStatus === undefined ? '' : `; received-status=${Math.trunc(receivedStatus)}`
  const answered = rcode === undefined ? '' : `; rcode="${rcode.replace(/[^A-Z]/g, '')}"`
  return `lanekeeper; error=${token(error)}${received}${answered}; details="${error.code}"`
}

/** RFC 8941 section 3.3.4. What is no token would make clients drop the whole field. */
function token(error: GatewayError): string {
  const isToken = /^[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*$/.test(error.token)
  return isToken ? error.token : errorTable[error.code].token
}

function headersOf(error: GatewayError): Header[] {
  const headers: Header[] = []
  const { retryAfterS } = errorTable[error.code]
  if (retryAfterS !== null) headers.push(['Retry-After', String(retryAfterS)])
  if (error.status === 407) headers.push(['Proxy-Authenticate', 'Basic realm="lanekeeper"'])
  if (error.status === 405) headers.push(['Allow', usualMethods])
  return headers
}

function head(startLine: string, headers: readonly Header[]): string {
  const lines = headers.map(([name, value]) => `${name}: ${printable(value)}\r\n`)
  return `${startLine}\r\n${lines.join('')}\r\n`
}

/** An id that somebody gave by hand must not be able to start a header of its own. */
function printable(value: string): string {
  return value.replace(/[^\x20-\x7e]/g, '?')
}
