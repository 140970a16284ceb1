// One Basic credential: `Basic <base64 of user:password>` -> user and password (RFC 7617). Pure.

import { GatewayError } from '../errors.ts'

export type Basic = {
  /** Percent-decoded once: axios sends `job%3D42` where others send `job=42` (facts, section 7). May be empty. */
  readonly user: string
  /** As sent, byte for byte; never decoded. May be empty. */
  readonly password: Buffer
}

/** A job's words and a token need far less. */
const maxChars = 4096

/**
 * @throws GatewayError proxy_auth_required where it is not Basic, bad_request where it is and cannot be read
 */
export function readBasic(value: string): Basic {
  if (value.length > maxChars) throw malformed(`longer than ${maxChars} bytes`)
  const [, scheme, encoded] = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?: +(.*))?$/s.exec(value) ?? []
  if (scheme === undefined) throw malformed('no scheme and credentials')
  if (scheme.toLowerCase() !== 'basic') throw otherScheme()
  const bytes = decodeBase64(encoded ?? '')
  if (bytes.some((byte) => byte < 32 || byte === 127)) throw malformed('credentials with a control character')
  const colon = bytes.indexOf(':')
  if (colon < 0) throw malformed('credentials without a colon')
  return { user: percentDecoded(bytes.toString('latin1', 0, colon)), password: bytes.subarray(colon + 1) }
}

/** Node skips what is not base64; only what it would write itself is taken. */
function decodeBase64(encoded: string): Buffer {
  const bytes = Buffer.from(encoded, 'base64')
  if (encoded === '' || bytes.toString('base64') !== encoded)
    throw malformed('credentials that are not base64')
  return bytes
}

/** What is no escape stays as it is: no word of a job holds a `%`, so it is refused later and can be shown. */
function percentDecoded(text: string): string {
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}

function otherScheme(): GatewayError {
  return new GatewayError('proxy_auth_required', {
    detail: 'Only the scheme Basic is known here. Put the job and the token into the proxy URL.',
  })
}

/** Says what is wrong and not what was found: a part of it is a token. */
function malformed(what: string): GatewayError {
  return new GatewayError('bad_request', {
    detail: `The proxy credentials are malformed: ${what}. Send "Basic" and base64 of user:password.`,
  })
}
