// `Via`: which proxies a message has passed (RFC 9110 section 7.6.3). We write ourselves in where a name is
// configured, and refuse what already carries it: it would come round again and again. Pure.
//
// `CDN-Loop` (RFC 8586) says the same in words that no client strips. We write none, not being a CDN; an operator who
// puts one around us and names us in it is heard.

import { GatewayError } from '../errors.ts'
import { headerValues, type Head } from './head.ts'

type Headers = Pick<Head, 'rawHeaders'>

/** What we are called in Proxy-Status, and so in a CDN-Loop that somebody wrote for us. */
const program = 'lanekeeper'

/** @param httpVersion  of the message as we received it, such as `1.0` */
export function viaEntry(httpVersion: string | undefined, name: string): string {
  return `${httpVersion ?? '1.1'} ${name}`
}

/**
 * @param name  ours in `Via`; with null we are in no Via, and so look for nobody there
 * @throws GatewayError target_denied, with the token proxy_loop_detected
 */
export function refuseLoop(head: Headers, name: string | null): void {
  const own = name?.toLowerCase()
  const cameRound =
    (own !== undefined && receivedBy(head).includes(own)) ||
    cdnIds(head).some((id) => id === own || id === program)
  if (!cameRound) return
  throw new GatewayError('target_denied', {
    detail: 'This request has been through this gateway before (Via or CDN-Loop says so).',
    token: 'proxy_loop_detected',
  })
}

/**
 * `1.1 name (comment), HTTP/1.0 other:80`: the names. Comments are not understood: one that is never closed could hide
 * us, and one that reads like an entry with our name is nobody's.
 */
function receivedBy(head: Headers): string[] {
  return entries(head, 'via').map((entry) => entry.split(/[ \t]+/)[1] ?? '')
}

/** `name; parameter=value, other`: the names. */
function cdnIds(head: Headers): string[] {
  return entries(head, 'cdn-loop').map((entry) => entry.split(/[; \t]/)[0]!)
}

function entries(head: Headers, header: string): string[] {
  return headerValues(head, header)
    .flatMap((value) => value.toLowerCase().split(','))
    .map((entry) => entry.trim())
}
