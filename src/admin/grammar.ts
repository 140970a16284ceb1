// The words that requests are made of. Every description reads on after "must be", since a refusal says it so.
// Patterns keep out what PostgreSQL cannot hold: NUL and lone surrogates.

import Type, { type Static, type TSchema } from 'typebox'
import { jobIdGrammar, laneWordGrammar } from '../routing/job-words.ts'
import type { Labels } from '../types.ts'

const printable = String.raw`[^\p{Cc}\p{Cs}]`

export const id = word(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/, 'an id: 1 to 128 letters, digits and . _ -')
export const jobId = word(jobIdGrammar, 'a job id: 1 to 128 letters, digits and . _ ~ : @ + -')
export const laneWord = word(
  new RegExp(`^[*]$|${laneWordGrammar.source}`),
  '"*" (any), or 1 to 64 letters, digits and . _ ~ @ + -',
)
/** The type or institution of one job, which is never "any". */
export const jobWord = word(laneWordGrammar, '1 to 64 letters, digits and . _ ~ @ + -')
/** An upstream's id may be made of it. */
export const name = word(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, '1 to 64 letters, digits and . _ -')
/** Of a cloud; the provider knows whether it is one of its own. */
export const zone = word(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'a zone, such as europe-west1-b')
export const reason = text(500)
export const actor = word(/^[A-Za-z0-9._@+-]{1,64}$/, '1 to 64 letters, digits and . _ @ + -')
export const version = word(/^[1-9][0-9]{0,14}$/, 'a version of the fleet, such as 42')
export const limit = word(/^(?:[1-9][0-9]{0,2}|1000)$/, 'a whole number from 1 to 1000')
export const after = word(/^[\x21-\x7e]{1,512}$/, 'what `next` was on the page before')
export const yesOrNo = oneOf('true', 'false')
/** Bare, or as the draft has it: a string of RFC 9651. */
export const idempotencyKey = word(
  /^(?:[\x21\x23-\x7e][\x21-\x7e]{0,254}|"(?:[\x21\x23-\x5b\x5d-\x7e]|\\[\x22\x5c]){1,255}")$/,
  '1 to 255 visible ASCII characters, with or without quotes around them',
)
/** No user:password: it is a name that is shown to everybody. */
export const credentials = word(
  /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/,
  'the name of a credential in the configuration (1 to 64 letters, digits and . _ @ -), never the credential itself',
)

export function labels({ min }: { readonly min: number }) {
  return Type.Unsafe<Labels>({
    type: 'object',
    additionalProperties: {
      type: 'string',
      pattern: `^${printable}{0,256}$`,
      description: 'a text of at most 256 characters',
    },
    propertyNames: {
      type: 'string',
      pattern: `^${printable}{1,64}$`,
      description: '1 to 64 characters long',
    },
    minProperties: min,
    maxProperties: 32,
    description: `a table of ${min === 0 ? 'at most' : `${min} to`} 32 labels, such as {"pool": "payments"}`,
  })
}

const weekMs = 604_800_000
const deadlineText = `milliseconds, a whole number from 0 to ${weekMs} (a week)`
export const deadlineMs = Type.Integer({ minimum: 0, maximum: weekMs, description: deadlineText })
/** The same in a query. */
export const deadlineMsWord = word(
  /^(?:0|[1-9][0-9]{0,7}|[1-5][0-9]{8}|60[0-3][0-9]{6}|604[0-7][0-9]{5}|604800000)$/,
  deadlineText,
)

export function word(grammar: RegExp, description: string) {
  return Type.String({ pattern: grammar.source, description })
}

/** @param max  in characters */
export function text(max: number) {
  return Type.String({
    pattern: `^${printable}{1,${max}}$`,
    description: `a text of 1 to ${max} characters without control characters`,
  })
}

export function oneOf<const T extends string>(...choices: T[]) {
  return Type.Unsafe<T>({ type: 'string', enum: choices, description: listed(choices) })
}

function listed(choices: readonly string[]): string {
  return [choices.slice(0, -1).join(', '), choices.at(-1)].filter(Boolean).join(' or ')
}

/** `type: [..., null]`, which says in one line what a union of two schemas says in five. */
export function nullable<T extends TSchema>(schema: T) {
  const { type, description, ...rest } = schema as T & { type: string; description?: string }
  const said = description === undefined ? {} : { description: `${description}; or null` }
  return Type.Unsafe<Static<T> | null>({ ...rest, type: [type, 'null'], ...said })
}
