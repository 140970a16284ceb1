// The headers of a plain request, and of its answer, as they go on (RFC 9110 section 7.6.1). Pure.

import type { IncomingMessage } from 'node:http'
import { viaEntry } from './via.ts'

/** Names that belong to this hop alone, in lower case. */
const hopByHop = new Set([
  'connection',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
])
const framing = new Set(['transfer-encoding', 'content-length', 'host'])

/** node:http asks for a plain string where there is one value (Host above all). */
export type Headers = { [name: string]: string | string[] }

type Received = Pick<IncomingMessage, 'httpVersion' | 'rawHeaders'>

type RequestOptions = {
  /** Transfer-Encoding stays where the body goes on as a stream. */
  readonly keepFraming: boolean
  /** Our name there; null where we are not named. */
  readonly via: string | null
  /** What is left of Max-Forwards, where this request counts them. */
  readonly maxForwards?: number | null
}

/**
 * What the target gets: no hop-by-hop header, nothing that the client's Connection names, no identity
 * (`X-Job-*`, `Proxy-*`), and the Host of the target whatever the client wrote.
 */
export function requestHeaders(
  { httpVersion, rawHeaders }: Received,
  authority: string,
  { keepFraming, via, maxForwards = null }: RequestOptions,
): Headers {
  const named = connectionNames(rawHeaders)
  // Without a prototype: a header named __proto__ is a header like any other.
  const headers: Headers = Object.create(null)
  headers['Host'] = authority
  const spelling = new Map<string, string>()
  const add = (name: string, value: string) => {
    const key = spelling.get(name.toLowerCase()) ?? name
    spelling.set(name.toLowerCase(), key)
    const before = headers[key]
    headers[key] = before === undefined ? value : [before, value].flat()
  }
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!
    const lower = name.toLowerCase()
    const goesOn = framing.has(lower)
      ? keepFraming && lower !== 'host'
      : !isOurs(lower) && !hopByHop.has(lower) && !named.has(lower)
    if (goesOn && !isObsolete(lower, httpVersion))
      add(name, rewritten(lower, rawHeaders[i + 1]!, maxForwards))
  }
  if (via !== null) add('Via', viaEntry(httpVersion, via))
  return headers
}

/** HTTP/1.0 knows no 100, and may not be answered with one (RFC 9110 section 10.1.1). */
function isObsolete(lower: string, httpVersion: string): boolean {
  return lower === 'expect' && httpVersion === '1.0'
}

/** What somebody behind us might read in another way than we do is written by us. */
function rewritten(lower: string, value: string, maxForwards: number | null): string {
  if (lower === 'content-length') return plainLength(value)
  if (lower === 'transfer-encoding') return 'chunked'
  if (lower === 'max-forwards' && maxForwards !== null) return String(maxForwards)
  return value
}

/** The header lines of an answer that go back to the client; framing is left to whoever writes it. */
export function responseHeaders(rawHeaders: readonly string[]): [string, string][] {
  const endsHere = hopByHopIn(rawHeaders)
  const lines: [string, string][] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (!endsHere(rawHeaders[i]!.toLowerCase())) lines.push([rawHeaders[i]!, rawHeaders[i + 1]!])
  }
  return lines
}

/**
 * Content-Length of an answer as we write it: what a client might read in another way, or wait for, is not said.
 * @returns null where there is none
 */
export function lengthOfAnswer({
  statusCode,
  headers,
}: Pick<IncomingMessage, 'statusCode' | 'headers'>): string | null {
  const length = headers['content-length']
  // RFC 9110 section 8.6: never in a 204, which has no body whatever it says.
  return length === undefined || statusCode === 204 ? null : plainLength(length)
}

function plainLength(value: string): string {
  return value.trim().replace(/^0+(?=\d)/, '')
}

/** All of `Via` in one value, ours at its end. */
export function viaOfAnswer(
  { httpVersion, headers }: Pick<IncomingMessage, 'httpVersion' | 'headers'>,
  name: string,
): string {
  return [headers.via ?? [], viaEntry(httpVersion, name)].flat().join(', ')
}

/** Which names, in lower case, of an answer with these headers go no further than this hop. */
export function hopByHopIn(rawHeaders: readonly string[]): (lowerName: string) => boolean {
  const named = connectionNames(rawHeaders)
  return (lower) => hopByHop.has(lower) || named.has(lower) || lower.startsWith('proxy-')
}

/** With underscores too: programs that make variables of headers (CGI) read both as one. */
function isOurs(lower: string): boolean {
  return /^(?:x[-_]job|proxy)[-_]/.test(lower)
}

function connectionNames(rawHeaders: readonly string[]): Set<string> {
  const names = new Set<string>()
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]!.toLowerCase() !== 'connection') continue
    for (const name of rawHeaders[i + 1]!.split(',')) names.add(name.trim().toLowerCase())
  }
  // A client may not have the framing or the target taken away (hostile inputs E14).
  for (const name of framing) names.delete(name)
  return names
}
