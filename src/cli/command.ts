// One command: its row of the table, and how the words behind its name become what it runs with.
// Strict: nothing that was written is passed over.

import { parseArgs } from 'node:util'
import type { Config } from '../config.ts'
import { UsageError, type Arguments, type ArgumentsOf, type Flags, type ValuesOf } from './flags.ts'
import { nearest } from './nearest.ts'

/** Where a command writes, in lines without their end, and what it is told. */
export type Surroundings = {
  readonly out: (lines: string) => void
  readonly err: (lines: string) => void
  /** @throws ConfigError */
  readonly config: () => Config
  /** The terminal behind `err`; null where that is none, or cannot move its cursor. */
  readonly screen: Screen | null
  readonly clock: Clock
}

export type Screen = {
  readonly write: (text: string) => void
  readonly columns: () => number
  readonly rows: () => number
}

export type Clock = {
  /** Monotonic milliseconds, for waits. */
  readonly now: () => number
  /** Unix milliseconds, to compare with the times that the API tells. */
  readonly date: () => number
  readonly delay: (ms: number) => Promise<unknown>
}

export type Command = {
  /** `start`, or noun and verb: `upstreams list`. A noun that is a command itself (`sync`) takes no arguments. */
  readonly name: string
  readonly does: string
  /** More lines for its own help. */
  readonly about: readonly string[]
  readonly args: Arguments
  readonly flags: Flags
  readonly examples: readonly string[]
  /** Exit codes of its own, and what 1 means for it beside refused. */
  readonly exits: { readonly [code: string]: string }
  /**
   * @param words  those behind the name
   * @returns what then runs it, and answers the exit code
   * @throws UsageError
   */
  readonly prepare: (words: readonly string[]) => (surroundings: Surroundings) => Promise<number>
}

export type Call<A extends Arguments, F extends Flags> = {
  readonly args: ArgumentsOf<A>
  readonly flags: ValuesOf<F>
  readonly io: Surroundings
}

type Row<A extends Arguments, F extends Flags> = {
  readonly name: string
  readonly does: string
  readonly about?: readonly string[]
  readonly args: A
  readonly flags: F
  readonly examples: readonly string[]
  readonly exits?: { readonly [code: string]: string }
  /** What flags must not say together. @returns the problem */
  readonly contradiction?: (flags: ValuesOf<F>) => string | null
  readonly run: (call: Call<A, F>) => Promise<number>
}

export function command<const A extends Arguments, const F extends Flags>(row: Row<A, F>): Command {
  const { about = [], exits = {}, contradiction = () => null, run, ...rest } = row
  return {
    ...rest,
    about,
    exits,
    prepare(words) {
      const { given, positionals } = split(words, row.flags)
      const args = readArguments(row.args, positionals)
      const flags = readFlags(row.flags, given)
      const problem = contradiction(flags)
      if (problem !== null) throw new UsageError(problem)
      return (io) => run({ args, flags, io })
    },
  }
}

type Words = {
  readonly given: ReadonlyMap<string, readonly string[]>
  readonly positionals: readonly string[]
}

function split(words: readonly string[], flags: Flags): Words {
  const options = Object.entries(flags).map(([name, { value }]) => {
    return [name, { type: value === null ? 'boolean' : 'string', multiple: true }] as const
  })
  const { tokens, positionals } = parseArgs({
    args: [...words],
    options: Object.fromEntries(options),
    allowPositionals: true,
    // Strict we are ourselves, below: its own words name no nearest flag.
    strict: false,
    tokens: true,
  })
  const given = new Map<string, string[]>()
  for (const token of tokens) {
    if (token.kind !== 'option') continue
    const flag = Object.hasOwn(flags, token.name) ? flags[token.name] : undefined
    if (!flag || !token.rawName.startsWith('--')) throw new UsageError(unknownFlag(token.rawName, flags))
    const word = flag.value === null ? wordOfSwitch(token) : wordOf(token, flag.value)
    const before = given.get(token.name) ?? []
    if (before.length > 0 && !flag.isRepeatable) throw new UsageError(`${token.rawName} is given twice.`)
    given.set(token.name, [...before, word])
  }
  return { given, positionals }
}

type Token = {
  readonly rawName: string
  readonly value?: string | undefined
  readonly inlineValue?: boolean | undefined
}

function wordOfSwitch({ rawName, value }: Token): string {
  if (value === undefined) return ''
  throw new UsageError(`${rawName} takes no value, found "${value}".`)
}

/** `--id --force` is a value forgotten far more often than a value that begins with a dash. */
function wordOf({ rawName, value, inlineValue }: Token, wanted: string): string {
  if (value === undefined) throw new UsageError(`${rawName} needs a value: ${rawName} <${wanted}>.`)
  if (inlineValue || !/^-./.test(value)) return value
  throw new UsageError(
    `${rawName} needs a value, found "${value}". If that is the value: ${rawName}=${value}`,
  )
}

function unknownFlag(rawName: string, flags: Flags): string {
  const near = nearest(rawName.replace(/^-+/, ''), [...Object.keys(flags), 'help'])
  return `There is no flag "${rawName}" here.${near === null ? '' : ` Did you mean --${near}?`}`
}

function readArguments<A extends Arguments>(args: A, words: readonly string[]): ArgumentsOf<A> {
  const names = Object.keys(args)
  const missing = names.slice(words.length)
  if (missing.length > 0) throw new UsageError(`Missing: ${missing.map((name) => `<${name}>`).join(' ')}.`)
  const takesMore = Object.values(args).at(-1)?.isRepeatable ?? false
  if (words.length > names.length && !takesMore) {
    const takes = names.length === 0 ? 'no argument' : names.map((name) => `<${name}>`).join(' ')
    throw new UsageError(`It takes ${takes}, found "${words[names.length]}" besides.`)
  }
  const values = names.map((name, index) => {
    const { isRepeatable, read } = args[name]!
    const own = isRepeatable ? words.slice(index) : [words[index]!]
    return [name, named(`<${name}>`, () => read(own))]
  })
  return Object.fromEntries(values)
}

function readFlags<F extends Flags>(flags: F, given: Words['given']): ValuesOf<F> {
  const missing = Object.keys(flags).filter((name) => flags[name]!.isRequired && !given.has(name))
  if (missing.length > 0) throw new UsageError(`Missing: ${missing.map((name) => `--${name}`).join(', ')}.`)
  const values = Object.keys(flags).map((name) => [
    name,
    named(`--${name}`, () => flags[name]!.read(given.get(name) ?? [])),
  ])
  return Object.fromEntries(values)
}

function named<T>(name: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof UsageError) throw new UsageError(`${name} ${error.message}.`)
    throw error
  }
}
