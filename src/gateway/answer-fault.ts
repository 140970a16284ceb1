// What is wrong with a target's answer to a plain request or an upgrade, before any of it goes on. Pure.
//
// node:http's client takes answers that its server refuses to write: status 000, a control character in the reason.
// It throws then, from an event of its own, where nobody can catch it: one target could end the process
// (tried on Node 24.21 with http-proxy-3 2.0.1, 2026-11-21).

import type { ClientRequest, IncomingMessage } from 'node:http'
import { GatewayError } from '../errors.ts'

/** What of an answer its framing and its status line say. */
type AnswerHead = Pick<
  IncomingMessage,
  'httpVersion' | 'statusCode' | 'statusMessage' | 'headers' | 'rawHeaders'
>

/** Of an answer; node:http's client leaves out what is beyond 1000, and says nothing. */
const maxLines = 500

/** Answers before the answer (1xx): a 100 and some 103, never without end. */
const maxInterim = 10

/** @returns null where it may go on */
export function answerFault(head: AnswerHead): GatewayError | null {
  const { statusCode = 0, headers } = head
  if (statusCode === 101) return unaskedSwitch()
  if (statusCode < 200 || statusCode > 599) return notHttp('its status is not a number from 100 to 599')
  const coding = headers['transfer-encoding']
  // We ask for no other (TE), and would pass on coded bytes as if they were plain ones.
  if (coding !== undefined && coding.trim().toLowerCase() !== 'chunked')
    return notHttp('its transfer coding is not chunked alone')
  return headFault(head)
}

/** Ends a request with an error where its target never comes to the point. */
export function limitInterim(outgoing: Pick<ClientRequest, 'on' | 'destroy'>): void {
  let seen = 0
  outgoing.on('information', () => {
    seen += 1
    if (seen > maxInterim) outgoing.destroy(notHttp('it sends interim answers without end'))
  })
}

/**
 * Of a 101: it goes on only where it is the one that was asked for, since the client's bytes follow it unread.
 * @param asked  a protocol in lower case; null where none was asked for
 */
export function switchFault(head: AnswerHead, asked: string | null): GatewayError | null {
  const isAsked = asked !== null && head.headers.upgrade?.trim().toLowerCase() === asked
  return isAsked ? headFault(head) : unaskedSwitch()
}

function headFault({ httpVersion, statusMessage = '', rawHeaders }: AnswerHead): GatewayError | null {
  if (rawHeaders.length / 2 > maxLines)
    return notHttp('it has too many header lines', { token: 'http_response_header_section_size' })
  if (httpVersion !== '1.0' && httpVersion !== '1.1')
    return notHttp('its HTTP version is neither 1.0 nor 1.1')
  if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(statusMessage))
    return notHttp('a control character stands in its status line')
  return null
}

function unaskedSwitch(): GatewayError {
  return notHttp('it switches to a protocol that nobody asked for (101)')
}

/** @param cause  what node:http's client ended with */
export function brokenAnswer(cause: unknown): GatewayError {
  if (cause instanceof GatewayError) return cause
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  if (code === 'HPE_HEADER_OVERFLOW')
    return notHttp('its head is too long', { token: 'http_response_header_section_size', cause })
  if (code.startsWith('HPE_')) return notHttp('it cannot be parsed', { cause })
  return new GatewayError(
    'upstream_failed',
    { detail: 'The connection broke before the target had answered.' },
    { cause },
  )
}

/** In our words: what the target wrote may be meant for somebody who reads logs. */
function notHttp(
  detail: string,
  { token = 'http_protocol_error', cause }: { token?: string; cause?: unknown } = {},
): GatewayError {
  return new GatewayError(
    'upstream_failed',
    { detail: `The target did not answer in HTTP: ${detail}.`, token },
    { cause },
  )
}
