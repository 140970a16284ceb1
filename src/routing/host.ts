// The host of a target: a name, or an address literal, in its one spelling. Pure.

import { isIPv4, isIPv6 } from 'node:net'
import { domainToASCII, domainToUnicode } from 'node:url'
import { GatewayError } from '../errors.ts'
import { quoted } from './quoted.ts'

const maxNameChars = 253

/**
 * @param text  as in a URL: an IPv6 address stands in brackets
 * @returns lower case, without a trailing dot; an IPv6 address without brackets, as in RFC 5952
 * @throws GatewayError bad_request
 */
export function parseHost(text: string): string {
  // Before lower-casing, which makes a `k` of the Kelvin sign.
  if (/[^\x21-\x7e]/.test(text))
    throw refuse(`The host ${quoted(text)} is not plain ASCII; use its xn-- form.`)
  if (text.startsWith('[') && text.endsWith(']')) return parseIPv6(text.slice(1, -1))
  const name = text.toLowerCase().replace(/\.$/, '')
  if (isIPv4(name)) return name
  checkName(name)
  return name
}

/** RFC 5952; IPv4-mapped ones in hex. Any spelling of the same address gives the same text. */
export function canonicalIPv6(address: string): string {
  return new URL(`http://[${address}]/`).hostname.slice(1, -1)
}

/** Zone ids are refused: they name an interface of ours. isIPv6 takes them, so the characters are checked first. */
function parseIPv6(text: string): string {
  if (/^[0-9A-Fa-f:.]+$/.test(text) && isIPv6(text)) return canonicalIPv6(text)
  throw refuse(`${quoted(`[${text}]`)} is not an IPv6 address (zone ids are not taken).`)
}

function checkName(name: string): void {
  if (name === '') throw refuse('The target has no host.')
  if (name.length > maxNameChars)
    throw refuse(`The name is longer than ${maxNameChars} bytes: ${quoted(name)}.`)
  const labels = name.split('.')
  for (const label of labels) checkLabel(label)
  if (isNumeric(labels.at(-1)!))
    throw refuse(`The host ${quoted(name)} ends in a number but is not four numbers of 0 to 255.`)
}

/** Underscores do occur in host names (RFC 2181 section 11). */
function checkLabel(label: string): void {
  if (!/^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/.test(label))
    throw refuse(
      `The part ${quoted(label)} of the host is not 1 to 63 letters, digits, "-" or "_" with no "-" at an end.`,
    )
  if (label.startsWith('xn--') && !isPunycode(label))
    throw refuse(`The part ${quoted(label)} of the host is not valid punycode.`)
}

/** getaddrinfo takes 127.1, 0x7f.1 and 2130706433 for addresses; so does the URL standard's "ends in a number". */
function isNumeric(label: string): boolean {
  return /^(?:[0-9]+|0x[0-9a-f]*)$/.test(label)
}

/** domainToUnicode gives invalid punycode back unchanged, and domainToASCII takes it (Node 24.21). */
function isPunycode(label: string): boolean {
  const decoded = domainToUnicode(label)
  return decoded !== label && domainToASCII(decoded) === label
}

function refuse(detail: string): GatewayError {
  return new GatewayError('bad_request', { detail })
}
