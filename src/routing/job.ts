// Who is calling (design 5): X-Job-* headers, or the proxy URL's user because most clients can set nothing
// else. Pure. Reads node's flat list of raw headers: its parsed ones join or drop what was sent twice.
//
//   X-Job-Id: 42                                      Proxy-Authorization: Basic base64(user:password)
//   X-Job-Type: payment         (optional)            user:     42  or  job=42,type=payment,institution=bci
//   X-Job-Institution: bci      (optional)            password: a gateway token, where one is asked for
//
// Both may be given, and say the same job then: one may leave out what the other says.

import { GatewayError } from '../errors.ts'
import type { Job, NamedToken } from '../types.ts'
import { readBasic, type Basic } from './basic-credentials.ts'
import { quoted } from './quoted.ts'
import { findToken } from './token.ts'

/** `token` is the name of the one that was given, for logs and limits; null where none is asked for. */
export type Identity = { readonly job: Job; readonly token: string | null }

type Options = {
  readonly tokens: readonly NamedToken[]
  readonly tokenRequired: boolean
  /** On the gateway's own requests `Authorization` is ours, and may stand in for `Proxy-Authorization`. */
  readonly allowAuthorization?: boolean
}

const parts = ['id', 'type', 'institution'] as const
type Part = (typeof parts)[number]
type Claim = { readonly [part in Part]: string | null }

const headerOf: { readonly [part in Part]: string } = {
  id: 'X-Job-Id',
  type: 'X-Job-Type',
  institution: 'X-Job-Institution',
}
/** The words of the user part; a Map, so that `__proto__` is no word of it. */
const partOfKey: ReadonlyMap<string, Part> = new Map([
  ['job', 'id'],
  ['type', 'type'],
  ['institution', 'institution'],
])
const nothing: Claim = { id: null, type: null, institution: null }

export const jobIdGrammar = /^[A-Za-z0-9][A-Za-z0-9._~:@+-]{0,127}$/
/** A type or an institution: the parts of a lane's name, which a `:` joins. */
export const laneWordGrammar = /^[A-Za-z0-9][A-Za-z0-9._~@+-]{0,63}$/

export function isJobId(text: string): boolean {
  return jobIdGrammar.test(text)
}

export function isLaneWord(text: string): boolean {
  return laneWordGrammar.test(text)
}

/**
 * @param rawHeaders  name, value, name, value, ... as node:http gives them (latin1)
 * @throws GatewayError bad_request, proxy_auth_required
 * @see RFC 7617 (Basic)
 */
export function readIdentity(rawHeaders: readonly string[], options: Options): Identity {
  const byHeaders = readHeaders(rawHeaders)
  const basic = readCredentials(rawHeaders, options.allowAuthorization ?? false)
  const token = options.tokenRequired ? checkToken(basic, options.tokens) : null
  const byUser = basic === null || basic.user === '' ? nothing : readUser(basic.user)
  const { id, type, institution } = merge(byHeaders, byUser)
  if (id === null) throw unknownJob()
  return { job: { id, type, institution }, token }
}

function readHeaders(rawHeaders: readonly string[]): Claim {
  const read = (part: Part) => {
    const value = single(rawHeaders, headerOf[part])
    return value === null ? null : checked(part, value, headerOf[part])
  }
  return { id: read('id'), type: read('type'), institution: read('institution') }
}

function readCredentials(rawHeaders: readonly string[], allowAuthorization: boolean): Basic | null {
  const own = single(rawHeaders, 'Proxy-Authorization')
  const standIn = allowAuthorization ? single(rawHeaders, 'Authorization') : null
  if (own !== null && standIn !== null && own !== standIn)
    throw badRequest('Proxy-Authorization and Authorization differ here. Send one of them.')
  const value = own ?? standIn
  return value === null ? null : readBasic(value)
}

/** @returns the token's name */
function checkToken(basic: Basic | null, tokens: readonly NamedToken[]): string {
  const found = basic && findToken(basic.password, tokens)
  if (found) return found.name
  throw new GatewayError('proxy_auth_required', {
    detail:
      basic === null
        ? 'A gateway token is asked for. Give it as the password of the proxy URL: http://<job>:<token>@gateway.'
        : 'The password of the proxy credentials is not a gateway token. Check the token in the proxy URL.',
  })
}

/** A job id alone, or `job=<id>,type=<type>,institution=<code>` with the keys in any order. */
function readUser(user: string): Claim {
  if (!user.includes('=')) return { ...nothing, id: checked('id', user, 'the proxy user') }
  const claim: { [part in Part]: string | null } = { ...nothing }
  for (const pair of user.split(',')) {
    const [part, value] = readPair(pair)
    if (claim[part] !== null)
      throw badRequest(`The proxy user says ${quoted(pair)} after another of that key.`)
    claim[part] = checked(part, value, 'the proxy user')
  }
  if (claim.id === null) throw badRequest('The proxy user names no job. Add job=<id>.')
  return claim
}

function readPair(pair: string): [part: Part, value: string] {
  const at = pair.indexOf('=')
  const part = at < 0 ? undefined : partOfKey.get(pair.slice(0, at))
  if (part) return [part, pair.slice(at + 1)]
  throw badRequest(
    `The proxy user holds ${quoted(pair)}. It is a job id, or job=<id>,type=<type>,institution=<code>.`,
  )
}

function merge(byHeaders: Claim, byUser: Claim): Claim {
  const agreed = (part: Part) => {
    const [a, b] = [byHeaders[part], byUser[part]]
    if (a === null || b === null || a === b) return a ?? b
    throw badRequest(
      `${headerOf[part]} says ${quoted(a)} and the proxy user says ${quoted(b)}. Say the same, or say it once.`,
    )
  }
  return { id: agreed('id'), type: agreed('type'), institution: agreed('institution') }
}

function checked(part: Part, value: string, where: string): string {
  if (part === 'id' ? isJobId(value) : isLaneWord(value)) return value
  const [noun, signs, length] = part === 'id' ? ['job id', '. _ ~ : @ + -', 128] : [part, '. _ ~ @ + -', 64]
  throw badRequest(
    `${quoted(value)} in ${where} is no ${noun}: a letter or digit, then letters, digits and ${signs}, at most ${length} in all.`,
  )
}

/** @returns null where the header is absent */
function single(rawHeaders: readonly string[], name: string): string | null {
  const lowerName = name.toLowerCase()
  let found: string | null = null
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    if (rawHeaders[i]!.toLowerCase() !== lowerName) continue
    if (found !== null) throw badRequest(`The header ${name} was sent more than once. Send it once.`)
    found = rawHeaders[i + 1]!
  }
  return found
}

function unknownJob(): GatewayError {
  return new GatewayError('proxy_auth_required', {
    detail:
      'No job is named. Put it into the proxy URL, http://job=<id>,type=<type>,institution=<code>:<token>@gateway ' +
      '(type and institution may be left out), or send the header X-Job-Id.',
  })
}

function badRequest(detail: string): GatewayError {
  return new GatewayError('bad_request', { detail })
}
