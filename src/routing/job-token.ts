// A token that is good for one job, until it expires. Signed, so that gateways need to know nothing but the keys. Pure.
//
//   lk1.<key id>.<payload>.<MAC>   at most 512 characters, each of which may stand in the userinfo of a URL
//   payload: base64url of {"job":"42","type":"payment","institution":"bank-a","exp":1790000000}
//            without spaces, in this order; what the job lacks is left out; `exp` is in seconds since 1970
//   MAC:     base64url of HMAC-SHA256 over all that stands before its dot, under the secret of the key
//
// Not a JWT: there is one algorithm, and no header that could name another (RFC 8725 section 3.1). What nobody
// knows is refused: it may be a condition that this gateway would not keep.

import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Job, TokenKey } from '../types.ts'
import { isJobId, isLaneWord } from './job-words.ts'

export type JobGrant = { readonly job: Job; readonly expiresAtMs: number }

export type ReadToken =
  | { readonly grant: JobGrant; readonly keyId: string }
  /** `forged`: not signed with the key that it names. `malformed`, signed or not: we make no such tokens. */
  | { readonly refused: 'malformed' | 'unknown_key' | 'forged' }
  /** It was good. */
  | { readonly refused: 'expired'; readonly grant: JobGrant }

const prefix = 'lk1.'
const longest = 512
/** That a Date can tell (ECMA-262 section 21.4.1.1). */
const lastSecond = 8_640_000_000_000
const grammar = /^lk1\.([a-z0-9][a-z0-9-]{0,31})\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{43})$/

/** Whether it is meant to be one; a static token may look so too. */
export function isLikeJobToken(text: string): boolean {
  return text.startsWith(prefix)
}

/** @param grant  of a grammatical job; it ends with the second before `expiresAtMs`, where that is no whole one */
export function mintJobToken({ job, expiresAtMs }: JobGrant, { id, secret }: TokenKey): string {
  const payload = Buffer.from(payloadText(job, Math.floor(expiresAtMs / 1000))).toString('base64url')
  const signed = `${prefix}${id}.${payload}`
  return `${signed}.${macOf(signed, secret)}`
}

/** @param nowMs  since 1970 */
export function readJobToken(token: string, keys: readonly TokenKey[], nowMs: number): ReadToken {
  const [, keyId, payload, mac] = (token.length <= longest && grammar.exec(token)) || []
  if (keyId === undefined || payload === undefined || mac === undefined) return { refused: 'malformed' }
  const key = keys.find(({ id }) => id === keyId)
  if (!key) return { refused: 'unknown_key' }
  // Texts of one length, so a MAC has one spelling only; nothing of the payload is looked at before.
  const right = macOf(token.slice(0, -mac.length - 1), key.secret)
  if (!timingSafeEqual(Buffer.from(mac), Buffer.from(right))) return { refused: 'forged' }
  const grant = readPayload(payload)
  if (grant === null) return { refused: 'malformed' }
  return grant.expiresAtMs <= nowMs ? { refused: 'expired', grant } : { grant, keyId }
}

function macOf(signed: string, secret: string): string {
  return createHmac('sha256', secret).update(signed).digest('base64url')
}

function payloadText({ id, type, institution }: Job, exp: number): string {
  return JSON.stringify({
    job: id,
    ...(type !== null && { type }),
    ...(institution !== null && { institution }),
    exp,
  })
}

/** @returns null for what `payloadText` does not write: another word, order or spelling, a word twice */
function readPayload(encoded: string): JobGrant | null {
  const found = parsed(Buffer.from(encoded, 'base64url').toString())
  if (found === null) return null
  const { job: id, type = null, institution = null, exp } = found
  if (typeof id !== 'string' || !isJobId(id)) return null
  if (!isWordOrNull(type) || !isWordOrNull(institution)) return null
  if (typeof exp !== 'number' || !Number.isInteger(exp) || exp < 0 || exp > lastSecond) return null
  const job = { id, type, institution }
  const isOurs = Buffer.from(payloadText(job, exp)).toString('base64url') === encoded
  return isOurs ? { job, expiresAtMs: exp * 1000 } : null
}

function isWordOrNull(value: unknown): value is string | null {
  return value === null || (typeof value === 'string' && isLaneWord(value))
}

function parsed(text: string): { readonly [name: string]: unknown } | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? { ...value } : null
  } catch {
    return null
  }
}
