// The checks that settings are made of: each takes what a YAML file or an environment variable holds and
// answers the value, or throws a Problem whose text says what is wanted. Pure; no check repeats a secret.

import { BlockList } from 'node:net'
import { addRange } from './ip-range.ts'
import { readRedisUrl } from './redis-url.ts'
import { targetPatternOf } from './target-pattern.ts'
import {
  restrictionKinds,
  type Labels,
  type NamedToken,
  type Restriction,
  type RestrictionKind,
  type TokenKey,
  type UpstreamSelector,
} from './types.ts'

export class Problem extends Error {}

export type Check<T> = (value: unknown) => T

/** `found` is left out for secrets. */
function refuse(wanted: string, found?: unknown): never {
  throw new Problem(found === undefined ? `must be ${wanted}` : `must be ${wanted}, found ${show(found)}`)
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 80 ? `${text.slice(0, 77)}...` : text
}

/** For lists and tables, which may hold secrets. */
function kindOf(value: unknown): string {
  if (value === null || value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' ? 'a table' : `a ${typeof value}`
}

export function wholeNumber({
  min,
  max,
  unit = '',
}: {
  min: number
  max: number
  unit?: string
}): Check<number> {
  return (value) => {
    const number = typeof value === 'string' && /^\d{1,15}$/.test(value.trim()) ? Number(value) : value
    if (typeof number === 'number' && Number.isInteger(number) && number >= min && number <= max)
      return number
    return refuse(`a whole number${unit && ` of ${unit}`} from ${min} to ${max}`, value)
  }
}

export function milliseconds(min: number, max: number): Check<number> {
  return wholeNumber({ min, max, unit: 'milliseconds' })
}

export const port: Check<number> = wholeNumber({ min: 0, max: 65535 })

export function oneOf<const T extends string>(...choices: T[]): Check<T> {
  return (value) => choices.find((choice) => choice === value) ?? refuse(choices.join(' or '), value)
}

export const yesOrNo: Check<boolean> = (value) => {
  if (value === true || value === 'true') return true
  if (value === false || value === 'false') return false
  return refuse('true or false', value)
}

export const text: Check<string> = (value) => {
  if (typeof value === 'string' && value.trim() !== '') return value.trim()
  return refuse('a text', value)
}

export function word(grammar: RegExp, wanted: string): Check<string> {
  return (value) => (typeof value === 'string' && grammar.test(value) ? value : refuse(wanted, value))
}

/** Control characters could never arrive in a header, so such a secret would never match. */
export const secret: Check<string> = (value) => {
  // oxlint-disable-next-line no-control-regex
  if (typeof value === 'string' && value !== '' && !/[\x00-\x20\x7f]/.test(value)) return value
  return refuse('a text without spaces or control characters')
}

/** The name of one of `credentials`. What stands there instead may be a password, so it is not repeated. */
export const credentialsName: Check<string> = (value) =>
  typeof value === 'string' && /^[^:\s]+$/.test(value)
    ? value
    : refuse('the name of one of the credentials, not user:password')

const secretName = word(/^[a-z0-9][a-z0-9-]{0,31}$/, 'a name of a-z, 0-9 and -, at most 32 long')

/** `name:token` or a token alone, which is then called by its place; `{name, token}` in a file. */
export const tokens: Check<readonly NamedToken[]> = (value) =>
  listOf((item) => item)(value).map((item, index) =>
    at(`item ${index + 1}`, () => {
      const { name, text } = namedSecret(item, 'token')
      return { name: name ?? `token-${index + 1}`, token: secret(text) }
    }),
  )

/** `id:secret`, or `{id, secret}` in a file. */
export const tokenKeys: Check<readonly TokenKey[]> = listOf((item) => {
  const { name, text } = namedSecret(item, 'secret')
  const isLong = typeof text === 'string' && text.length >= shortestKey
  if (name !== null && isLong) return { id: name, secret: secret(text) }
  return refuse(`id:secret, the secret at least ${shortestKey} characters long (openssl rand -hex 32)`)
})

/** As many bytes as the digest has (RFC 2104 section 3). */
const shortestKey = 32

function namedSecret(item: unknown, key: 'token' | 'secret'): { name: string | null; text: unknown } {
  const nameKey = key === 'token' ? 'name' : 'id'
  if (typeof item !== 'string') {
    const row = record(item)
    noOtherKeys(row, [nameKey, key])
    return { name: at(nameKey, () => secretName(row[nameKey])), text: row[key] }
  }
  const [, name, text] = /^([a-z0-9][a-z0-9-]{0,31}):(.+)$/s.exec(item) ?? []
  return name === undefined ? { name: null, text: item } : { name, text }
}

/** A name, `*.name` for every name below it, an address or a CIDR. */
export const targetPattern: Check<string> = (value) => {
  const pattern = typeof value === 'string' ? targetPatternOf(value) : null
  return pattern ?? refuse('a name, *.name, an address or a CIDR', value)
}

export function orNull<T>(check: Check<T>): Check<T | null> {
  return (value) => (value === null || value === '' ? null : check(value))
}

/** In a file only: `{ name: value }`. */
export function tableOf<T>(check: Check<T>): Check<{ readonly [name: string]: T }> {
  return (value) =>
    Object.fromEntries(
      Object.entries(record(value)).map(([name, one]) => [name, at(`"${name}"`, () => check(one))]),
    )
}

/** A list; in an environment variable its items stand behind each other with commas. */
export function listOf<T>(check: Check<T>): Check<readonly T[]> {
  return (value) => {
    const items =
      typeof value === 'string'
        ? value
            .split(',')
            .map((item) => item.trim())
            .filter(Boolean)
        : value
    if (!Array.isArray(items)) throw new Problem(`must be a list, found ${kindOf(value)}`)
    return items.map((item, index) => at(`item ${index + 1}`, () => check(item)))
  }
}

export const targetPorts: Check<readonly number[] | 'any'> = (value) => {
  if (value === '*' || (Array.isArray(value) && value.length === 1 && value[0] === '*')) return 'any'
  const ports = listOf(wholeNumber({ min: 1, max: 65535 }))(typeof value === 'number' ? [value] : value)
  return ports.length > 0 ? ports : refuse('a list of ports, or "*" for any', value)
}

export const redisUrl: Check<string> = (value) => {
  const answer = readRedisUrl(typeof value === 'string' ? value : '')
  if ('problem' in answer) throw new Problem(answer.problem)
  return String(value).trim()
}

export const postgresUrl: Check<string> = (value) => {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : null
  if (url && ['postgres:', 'postgresql:'].includes(url.protocol) && url.hostname !== '') return String(value)
  return refuse('a URL like postgres://user:password@host:5432/lanekeeper (?sslmode=require for TLS)')
}

/** @returns it without a slash at its end */
export const httpUrl: Check<string> = (value) => {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : null
  const isPlain = url && url.username === '' && url.password === '' && url.search === ''
  if (url && isPlain && ['http:', 'https:'].includes(url.protocol)) return url.href.replace(/\/+$/, '')
  return refuse('a URL like http://control:3129, without credentials')
}

/** An address or CIDR; answered as it stands, since a BlockList cannot be read back. */
export const sourceRange: Check<string> = (value) => {
  if (typeof value !== 'string') return refuse('an address or a CIDR such as 10.0.0.0/8', value)
  try {
    addRange(new BlockList(), value)
    return value
  } catch {
    return refuse('an address or a CIDR such as 10.0.0.0/8', value)
  }
}

export function record(value: unknown): { readonly [key: string]: unknown } {
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>
  throw new Problem(`must be a table of keys and values, found ${kindOf(value)}`)
}

export const labels: Check<Labels> = (value) => {
  const entries = Object.entries(record(value)).map(([label, text]) => {
    if (typeof text === 'string') return [label, text] as const
    throw new Problem(`label "${label}" must be a text; put it in quotes`)
  })
  return Object.fromEntries(entries)
}

export const credentials: Check<{ readonly [name: string]: string }> = (value) => {
  const entries = Object.entries(record(value)).map(([name, text]) => {
    if (typeof text === 'string' && /^[^:\s]+:\S+$/.test(text)) return [name, text] as const
    throw new Problem(`"${name}" must be user:password`)
  })
  return Object.fromEntries(entries)
}

const laneWord = word(
  /^(\*|[A-Za-z0-9][A-Za-z0-9._~@+-]{0,63})$/,
  'a word of letters, digits and . _ ~ @ + -, at most 64 long, or "*"',
)

export const restriction: Check<Restriction> = (value) => {
  const row = record(value)
  noOtherKeys(row, ['id', 'kind', 'type', 'institution', 'upstreams', 'overflow', 'targets', 'report'])
  const kind = at('kind', () => oneOf(...restrictionKinds)(row.kind))
  const overflow = at('overflow', () => yesOrNo(row.overflow ?? false))
  if (overflow && kind !== 'exclusive') throw new Problem('overflow goes with kind exclusive only')
  return {
    id: at('id', () =>
      word(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/, 'an id of letters, digits and . _ -')(row.id),
    ),
    kind,
    type: at('type', () => laneWord(row.type ?? '*')),
    institution: at('institution', () => laneWord(row.institution ?? '*')),
    upstreams: at('upstreams', () => selectorOf(kind, row.upstreams)),
    overflow,
    ...targetsOf(kind, row),
  }
}

const maxTargets = 1000

function targetsOf(
  kind: RestrictionKind,
  row: { readonly targets?: unknown; readonly report?: unknown },
): Pick<Restriction, 'targets' | 'report'> {
  const isGiven = row.targets !== undefined && row.targets !== null
  const report = at('report', () => yesOrNo(row.report ?? false))
  if (!isGiven && kind === 'targets') throw new Problem('targets must be a list of what the lanes may reach')
  if (!isGiven && report) throw new Problem('report goes with targets only')
  if (!isGiven) return {}
  if (kind === 'deny') throw new Problem('targets go with kind exclusive or targets only')
  const targets = at('targets', () => listOf(targetPattern)(row.targets))
  if (targets.length >= 1 && targets.length <= maxTargets) return { targets, report }
  throw new Problem(`targets must be 1 to ${maxTargets} patterns, found ${targets.length}`)
}

/** A rule that says only what its lanes may reach ties them to no upstream. */
function selectorOf(kind: RestrictionKind, value: unknown): UpstreamSelector {
  if (kind !== 'targets') return selector(value)
  if (value === undefined) return { ids: [] }
  throw new Problem('must be left out with kind targets')
}

function selector(value: unknown): UpstreamSelector {
  const row = record(value)
  noOtherKeys(row, ['ids', 'labels'])
  if ((row.ids === undefined) === (row.labels === undefined))
    return refuse('{ids: [...]} or {labels: {...}}', value)
  if (row.ids !== undefined)
    return {
      ids: nonEmpty(
        at('ids', () => listOf(text)(row.ids)),
        'ids',
      ),
    }
  const found = at('labels', () => labels(row.labels))
  nonEmpty(Object.keys(found), 'labels')
  return { labels: found }
}

function nonEmpty<T>(items: readonly T[], name: string): readonly T[] {
  if (items.length > 0) return items
  throw new Problem(`${name} must not be empty: such a rule would select nothing`)
}

export function noOtherKeys(row: { readonly [key: string]: unknown }, known: readonly string[]): void {
  const other = Object.keys(row).find((key) => !known.includes(key))
  if (other !== undefined) throw new Problem(`unknown key "${other}"; known are ${known.join(', ')}`)
}

/** Says where a problem is: `item 2: kind must be ...`. */
export function at<T>(place: string, check: () => T): T {
  try {
    return check()
  } catch (error) {
    if (error instanceof Problem) throw new Problem(`${place}: ${error.message}`)
    throw error
  }
}
