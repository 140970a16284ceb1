// What a request head must be before anything else is looked at (hostile inputs, section 2.1). Pure.
// node:http has parsed it by now; here stand the checks that its parser leaves to us.

import { METHODS, type IncomingMessage } from 'node:http'
import { GatewayError, type HeadReason } from '../errors.ts'

export type Head = Pick<IncomingMessage, 'method' | 'url' | 'httpVersion' | 'rawHeaders'>

/** @throws GatewayError bad_request */
export function checkHead(head: Head, { maxLines }: { maxLines: number }): void {
  // The parser says so of a CONNECT or a GET without any version as well (hostile inputs A3).
  if (head.httpVersion === '0.9')
    refuse(null, 'The request line names no HTTP version, or 0.9; use HTTP/1.1.')
  if (head.httpVersion !== '1.1' && head.httpVersion !== '1.0') {
    refuse('version_unknown', `HTTP version ${head.httpVersion} is not spoken here; use HTTP/1.1.`)
  }
  // The parser knows RTSP too, whose methods it passes on.
  if (!METHODS.includes(head.method ?? '')) refuse(null, 'This is not a method of HTTP.')
  if (head.rawHeaders.length / 2 > maxLines) {
    refuse('head_too_large', `The head has more than ${maxLines} header lines.`)
  }
  if (head.method === 'TRACE') {
    throw new GatewayError('bad_request', {
      detail: 'TRACE would send the credentials back; it is not allowed.',
      reason: 'method_not_allowed',
      token: 'http_request_denied',
    })
  }
  // RFC 9112 section 3.2. Which of them a CONNECT means is nobody's guess, though its Host says nothing.
  if (headerValues(head, 'host').length > 1)
    refuse(null, 'A request has exactly one Host; this one has more.')
  checkFraming(head)
}

function checkFraming(head: Head): void {
  const codings = headerValues(head, 'transfer-encoding')
  const hasLength = headerValues(head, 'content-length').length > 0
  if (head.method === 'CONNECT') {
    if (codings.length > 0 || hasLength)
      refuse(null, 'A CONNECT has no body: leave Content-Length and Transfer-Encoding out.')
    return
  }
  if (codings.length === 0) return
  if (head.httpVersion === '1.0') refuse(null, 'HTTP/1.0 knows no Transfer-Encoding.')
  if (codings.length > 1 || codings[0]!.trim().toLowerCase() !== 'chunked') {
    refuse('not_implemented', 'Only Transfer-Encoding: chunked is spoken here.')
  }
}

/** All values of a header, in order; node:http joins or drops repeated ones. */
export function headerValues({ rawHeaders }: Pick<Head, 'rawHeaders'>, name: string): string[] {
  const values: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]!.toLowerCase() === name) values.push(rawHeaders[i + 1]!)
  }
  return values
}

/** Whether the connection may serve another request once this one has its answer (RFC 9112 section 9.3). */
export function keepsConnection(head: Pick<Head, 'httpVersion' | 'rawHeaders'>): boolean {
  const options = headerValues(head, 'connection').flatMap((value) => value.toLowerCase().split(','))
  return head.httpVersion === '1.1' && !options.some((option) => option.trim() === 'close')
}

/** By its head: while the head is handed on, node:http calls even a request without a body incomplete. */
export function hasBody(head: Pick<Head, 'rawHeaders'>): boolean {
  if (headerValues(head, 'transfer-encoding').length > 0) return true
  return headerValues(head, 'content-length').some((length) => length !== '0')
}

function refuse(reason: HeadReason | null, detail: string): never {
  throw new GatewayError('bad_request', reason === null ? { detail } : { detail, reason })
}
