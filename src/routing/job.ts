// Who is calling (design 5): X-Job-* headers, or the proxy URL's user because most clients can set nothing
// else. Pure. Reads node's flat list of raw headers: its parsed ones join or drop what was sent twice.
//
//   X-Job-Id: 42                                      Proxy-Authorization: Basic base64(user:password)
//   X-Job-Type: payment         (optional)            user:     42  or  job=42,type=payment,institution=bci
//   X-Job-Institution: bci      (optional)            password: a token, where one is asked for
//
// Both may be given, and say the same job then: one may leave out what the other says. A job token (job-token.ts) says
// the job by itself: the others may be silent, or repeat it.

import { GatewayError } from '../errors.ts'
import type { Job } from '../types.ts'
import { readBasic, type Basic } from './basic-credentials.ts'
import { isJobId, isLaneWord } from './job-words.ts'
import { noProof, readPassword, type Passwords } from './password.ts'
import { quoted } from './quoted.ts'

export type Identity = {
  readonly job: Job
  /** The name of the static token that was given, for logs and limits; null where none was. */
  readonly token: string | null
  /** The id of the key that signed the job token; null where none was given. */
  readonly tokenKey: string | null
}

type Options = Passwords & {
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

/**
 * @param rawHeaders  name, value, name, value, ... as node:http gives them (latin1)
 * @throws GatewayError bad_request, proxy_auth_required, job_denied
 * @see RFC 7617 (Basic)
 */
export function readIdentity(rawHeaders: readonly string[], options: Options): Identity {
  const byHeaders = readHeaders(rawHeaders)
  const basic = readCredentials(rawHeaders, options.allowAuthorization ?? false)
  const { job, ...proof } = options.tokenRequired ? readPassword(basic, options) : noProof
  const byUser = basic === null || basic.user === '' ? nothing : readUser(basic.user)
  if (job !== null) return { job: agreeing(job, byHeaders, byUser), ...proof }
  const { id, type, institution } = merge(byHeaders, byUser)
  if (id === null) throw unknownJob()
  return { job: { id, type, institution }, ...proof }
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

/** With a job token, the job is the token's; who says more or something else means another job. @throws GatewayError job_denied */
function agreeing(job: Job, byHeaders: Claim, byUser: Claim): Job {
  for (const part of parts) {
    const claims = [
      [headerOf[part], byHeaders[part]],
      ['The proxy user', byUser[part]],
    ] as const
    for (const [where, said] of claims)
      if (said !== null && said !== job[part]) throw jobDenied({ part, where, said, granted: job })
  }
  return job
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

type Difference = {
  readonly part: Part
  readonly where: string
  readonly said: string
  readonly granted: Job
}

function jobDenied({ part, where, said, granted }: Difference): GatewayError {
  const [noun, own] = [part === 'id' ? 'job' : part, granted[part]]
  const job = `job ${quoted(granted.id)}`
  const onlyFor =
    part === 'id'
      ? `for ${job} only`
      : `for ${job} with ${own === null ? `no ${noun}` : `${noun} ${quoted(own)}`}`
  return new GatewayError('job_denied', {
    detail: `${where} says ${noun} ${quoted(said)}, and the token is good ${onlyFor}. Say the same, or leave it to the token.`,
  })
}

function badRequest(detail: string): GatewayError {
  return new GatewayError('bad_request', { detail })
}
