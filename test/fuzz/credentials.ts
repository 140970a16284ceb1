// Who is calling: whatever is taken is a job of the grammar, spelled in the headers as a strict second reading finds it, by a
// token that is one of ours; whatever is refused is refused in our words, and no word of a password is among them.

import { isGatewayError } from '../../src/errors.ts'
import { mintJobToken } from '../../src/routing/job-token.ts'
import { readIdentity, type Identity } from '../../src/routing/job.ts'
import { inFewWords, type FuzzCase } from './fuzz-case.ts'
import { several, type Random } from './random.ts'

const secret = 'hush-hush-s3cret'
const nowMs = 1_800_000_000_000
const key = { id: 'k1', secret: 'k'.repeat(32) }
const granted = { id: 'granted', type: 'payment', institution: 'bank-a' }
const jobToken = mintJobToken({ job: granted, expiresAtMs: nowMs + 60_000 }, key)
const options = {
  tokens: [{ name: 'one', token: secret }],
  jobTokens: { keys: [key], nowMs },
  tokenRequired: true,
}

const words = [
  'Basic ', 'basic ', 'Bearer ', 'Proxy-Authorization: ', 'X-Job-Id: ', 'X-Job-Type: ', 'X-Job-Institution: ', '\n',
  'job=', 'type=', 'institution=', ',', '=', ':', '%', '%3D', '%00', '%0d%0a', '__proto__', 'constructor', '\0', '\xe9',
  '*', '{a}', '../', secret, jobToken, '.', '-', '==',
] // prettier-ignore

const wordGrammar = /^[A-Za-z0-9][A-Za-z0-9._~@+-]{0,63}$/
const idGrammar = /^[A-Za-z0-9][A-Za-z0-9._~:@+-]{0,127}$/

function word(random: Random): string {
  return random.pick([
    '42',
    'payment',
    'bank-a',
    'granted',
    '',
    'a b',
    '__proto__',
    '%34%32',
    'a:b',
    'x'.repeat(129),
    '\xe9',
  ])
}

function user(random: Random): string {
  if (random.chance(0.3)) return word(random)
  const pair = () => `${random.pick(['job', 'type', 'institution', 'job', 'other'])}=${word(random)}`
  return [pair(), several(random, 3, () => `,${pair()}`)].join('')
}

function basic(random: Random): string {
  const password = random.pick([secret, secret, jobToken, 'x', '', `${secret}x`, jobToken.slice(0, -1)])
  const credentials = `${user(random)}${random.chance(0.95) ? ':' : ''}${password}`
  const encoded = Buffer.from(credentials, 'latin1').toString('base64')
  return `${random.pick(['Basic', 'Basic', 'basic', 'BASIC', 'Bearer'])} ${random.chance(0.95) ? encoded : credentials}`
}

/** Header lines; node:http hands them on as a flat list. */
function lines(random: Random): string {
  const header = () =>
    random.pick([
      () => `Proxy-Authorization: ${basic(random)}`,
      () => `Proxy-Authorization: ${basic(random)}`,
      () =>
        `${random.pick(['X-Job-Id', 'x-job-id', 'X-Job-Type', 'X-Job-Institution', 'X_Job_Id'])}: ${word(random)}`,
    ])()
  return [header(), several(random, 2, () => `\n${header()}`)].join('')
}

export const credentials: FuzzCase = {
  name: 'credentials',
  words,
  make: (random) => Buffer.from(lines(random), 'latin1'),

  run(input) {
    const rawHeaders = input
      .toString('latin1')
      .split('\n')
      .flatMap((line) => {
        const colon = line.indexOf(':')
        return colon < 1 ? [] : [line.slice(0, colon), line.slice(colon + 1).trim()]
      })
    let identity: Identity
    try {
      identity = readIdentity(rawHeaders, options)
    } catch (error) {
      if (!isGatewayError(error, 'bad_request', 'proxy_auth_required', 'job_denied')) throw error
      const { detail } = error.fields
      if (!/^[\x20-\x7e]{1,600}$/.test(detail)) throw new Error(`a detail that is no line of text: ${detail}`)
      // A secret is repeated only where it was given as something else.
      if (!said(rawHeaders).includes(secret) && detail.includes(secret))
        throw new Error(`a secret: ${detail}`)
      return `${error.code}: ${inFewWords(detail)}`
    }
    return assertTrue(identity, rawHeaders)
  },
}

/** What is said openly: the headers' values, and the users of credentials, escapes read. */
function said(rawHeaders: readonly string[]): string {
  return pairs(rawHeaders)
    .map(([name, value]) => (name === 'proxy-authorization' ? userOf(decoded(value)) : value))
    .join('\n')
}

function assertTrue({ job, token }: Identity, rawHeaders: readonly string[]): string {
  if (!idGrammar.test(job.id)) throw new Error(`a job id of no grammar: ${JSON.stringify(job.id)}`)
  for (const lane of [job.type, job.institution])
    if (lane !== null && !wordGrammar.test(lane))
      throw new Error(`a lane of no grammar: ${JSON.stringify(lane)}`)
  const passwords = strictPasswords(rawHeaders)
  const isGranted = passwords.includes(jobToken)
  if (!isGranted && !passwords.includes(secret)) throw new Error('taken without a token of ours')
  if (isGranted && JSON.stringify(job) !== JSON.stringify(granted))
    throw new Error(`a token for another job: ${job.id}`)
  const claims = strictClaims(rawHeaders)
  if (!isGranted && !claims.some(({ part, value }) => part === 'id' && value === job.id))
    throw new Error(`nobody said ${job.id}`)
  for (const { part, value } of claims)
    if (value !== job[part]) throw new Error(`${part} was said to be ${value}, and read as ${job[part]}`)
  return `${isGranted ? 'job token' : token}, ${job.type === null ? '' : 'type'} ${job.institution === null ? '' : 'institution'}`
}

type StrictClaim = { readonly part: 'id' | 'type' | 'institution'; readonly value: string }

const partOf: { readonly [name: string]: StrictClaim['part'] } = {
  'x-job-id': 'id',
  'x-job-type': 'type',
  'x-job-institution': 'institution',
  job: 'id',
  type: 'type',
  institution: 'institution',
}

function strictClaims(rawHeaders: readonly string[]): StrictClaim[] {
  return pairs(rawHeaders).flatMap(([name, value]) => {
    const part = Object.hasOwn(partOf, name) && name.startsWith('x-') ? partOf[name] : undefined
    if (part !== undefined) return [{ part, value }]
    return name === 'proxy-authorization' ? userClaims(decoded(value)) : []
  })
}

function userClaims(text: string): StrictClaim[] {
  const plain = userOf(text)
  if (plain === '') return []
  if (!plain.includes('=')) return [{ part: 'id', value: plain }]
  return plain.split(',').map((pair) => {
    const [key = '', ...value] = pair.split('=')
    return { part: (Object.hasOwn(partOf, key) && partOf[key]) || 'id', value: value.join('=') }
  })
}

function userOf(text: string): string {
  const user = text.slice(0, Math.max(0, text.indexOf(':')))
  return user.replace(/%[0-9A-Fa-f]{2}/g, (hex) => String.fromCharCode(Number.parseInt(hex.slice(1), 16)))
}

function strictPasswords(rawHeaders: readonly string[]): string[] {
  return pairs(rawHeaders)
    .filter(([name]) => name === 'proxy-authorization')
    .map(([, value]) => decoded(value))
    .filter((text) => text.includes(':'))
    .map((text) => text.slice(text.indexOf(':') + 1))
}

function decoded(value: string): string {
  return Buffer.from(value.replace(/^basic +/i, ''), 'base64').toString('latin1')
}

function pairs(rawHeaders: readonly string[]): [name: string, value: string][] {
  return Array.from({ length: rawHeaders.length / 2 }, (_, at) => [
    rawHeaders[2 * at]!.toLowerCase(),
    rawHeaders[2 * at + 1]!,
  ])
}
