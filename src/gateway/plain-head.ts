// The head of an absolute-form request, once it is known to be HTTP and whose it is (hostile inputs, section 2.4). Pure.

import type { IncomingMessage } from 'node:http'
import { GatewayError } from '../errors.ts'
import { formatTarget, parseHttpUrl } from '../routing/target.ts'
import type { Target } from '../types.ts'
import { headerValues, type Head } from './head.ts'

export type PlainHead = {
  readonly target: Target
  /** As the client wrote it; `*` for an OPTIONS about the target itself. */
  readonly path: string
  /** How far an OPTIONS may still go; 0 ends here, null is not counted. */
  readonly maxForwards: number | null
}

/** @throws GatewayError bad_request */
export function readPlainHead(req: Pick<IncomingMessage, keyof Head>): PlainHead {
  checkHost(req)
  checkExpect(req)
  const url = req.url ?? ''
  const { target, path } = parseHttpUrl(url)
  // RFC 9112 section 3.2.4: without a path it asks about the whole target.
  const isWhole = req.method === 'OPTIONS' && /^http:\/\/[^/?]*$/i.test(url)
  return { target, path: isWhole ? '*' : path, maxForwards: readMaxForwards(req) }
}

/** Host without the port that http:// has anyway. */
export function httpAuthority(target: Target): string {
  const authority = formatTarget(target)
  return target.port === 80 ? authority.slice(0, -':80'.length) : authority
}

/** 100 is asked for; nothing else can stand in Expect. */
export function expectsContinue(req: Pick<Head, 'httpVersion' | 'rawHeaders'>): boolean {
  return req.httpVersion !== '1.0' && headerValues(req, 'expect').length > 0
}

/** What the client writes there is replaced; but what is no host shows that somebody reads otherwise (RFC 9112 section 3.2). */
function checkHost(head: Head): void {
  const [host] = headerValues(head, 'host')
  if (host === undefined && head.httpVersion !== '1.0') throw refuse('HTTP/1.1 asks for a Host header.')
  if (host !== undefined && !/^(?:\[[0-9A-Fa-f:.]*\]|[\w.~!$&'()*+,;=%-]*)(?::\d*)?$/.test(host.trim()))
    throw refuse('The Host header is not a host with, or without, a port.')
}

/** node:http lets pass what only holds `100-continue`. */
function checkExpect(head: Head): void {
  if (head.httpVersion === '1.0') return
  const wanted = headerValues(head, 'expect').flatMap((value) => value.split(','))
  if (wanted.every((value) => value.trim().toLowerCase() === '100-continue')) return
  throw new GatewayError('bad_request', {
    detail: 'The only expectation known here is 100-continue.',
    reason: 'expectation_unknown',
  })
}

/** RFC 9110 section 7.6.2; TRACE, the other method that counts, is not carried. */
function readMaxForwards(head: Head): number | null {
  const [value, ...more] = head.method === 'OPTIONS' ? headerValues(head, 'max-forwards') : []
  if (value === undefined) return null
  if (more.length === 0 && /^\d{1,9}$/.test(value.trim())) return Number(value)
  throw refuse('Max-Forwards is not one number below a thousand million.')
}

function refuse(detail: string): GatewayError {
  return new GatewayError('bad_request', { detail })
}
