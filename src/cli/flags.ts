// What flags and arguments are made of, and how the words behind them are read. Pure.

/** The command line is wrong: what is, the word found, what to write. */
export class UsageError extends Error {}

/** @throws UsageError whose text goes on from the flag's name: `must be ..., found ...` */
export type Reader<T> = (word: string) => T

export type Flag<T> = {
  readonly does: string
  /** What stands behind it, as help names it; null for a switch. */
  readonly value: string | null
  readonly isRequired: boolean
  readonly isRepeatable: boolean
  /** @param words  one for each time that the flag was given; a switch gives an empty one */
  readonly read: (words: readonly string[]) => T
}

export type Flags = { readonly [name: string]: Flag<unknown> }
export type Argument<T> = {
  readonly does: string
  /** The last one only: one word or more. */
  readonly isRepeatable: boolean
  /** @param words  one, or more where it is repeatable */
  readonly read: (words: readonly string[]) => T
}
export type Arguments = { readonly [name: string]: Argument<unknown> }
export type ValuesOf<F extends Flags> = { readonly [Name in keyof F]: ReturnType<F[Name]['read']> }
export type ArgumentsOf<A extends Arguments> = { readonly [Name in keyof A]: ReturnType<A[Name]['read']> }

const once = { isRequired: false, isRepeatable: false }

export function toggle(does: string): Flag<boolean> {
  return { ...once, does, value: null, read: (words) => words.length > 0 }
}

/** @returns a flag that is null where it was not given */
export function option<T>(value: string, does: string, read: Reader<T>): Flag<T | null> {
  return { ...once, does, value, read: ([word]) => (word === undefined ? null : read(word)) }
}

export function required<T>(value: string, does: string, read: Reader<T>): Flag<T> {
  return { ...once, does, value, isRequired: true, read: ([word]) => read(word!) }
}

export function repeatable<T>(value: string, does: string, read: (words: readonly string[]) => T): Flag<T> {
  return { does, value, isRequired: false, isRepeatable: true, read }
}

export function argument<T>(does: string, read: Reader<T>): Argument<T> {
  return { does, isRepeatable: false, read: ([word]) => read(word!) }
}

/** One or more, each once. */
export function someOf<T>(does: string, read: Reader<T>): Argument<readonly T[]> {
  return {
    does,
    isRepeatable: true,
    read(words) {
      const twice = words.find((word, index) => words.indexOf(word) !== index)
      if (twice !== undefined) throw new UsageError(`gives "${twice}" twice`)
      return words.map(read)
    },
  }
}

function refuse(wanted: string, found: string): never {
  throw new UsageError(`must be ${wanted}, found "${found}"`)
}

export const text: Reader<string> = (word) => (word.trim() === '' ? refuse('a text', word) : word)

export function word(grammar: RegExp, wanted: string): Reader<string> {
  return (found) => (grammar.test(found) ? found : refuse(wanted, found))
}

export function oneOf<const T extends string>(...choices: readonly T[]): Reader<T> {
  return (found) => choices.find((choice) => choice === found) ?? refuse(choices.join(', '), found)
}

export function wholeNumber(min: number, max: number): Reader<number> {
  return (found) => {
    const number = /^\d{1,15}$/.test(found) ? Number(found) : NaN
    return number >= min && number <= max ? number : refuse(`a whole number from ${min} to ${max}`, found)
  }
}

const unitsMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/**
 * `90s`, `15m`; a bare number is seconds.
 * @param min  and max: as they are written, for who is refused
 * @returns whole milliseconds
 */
export function duration(min: string, max: string): Reader<number> {
  return (found) => {
    const ms = millisecondsOf(found)
    return ms >= millisecondsOf(min) && ms <= millisecondsOf(max)
      ? Math.round(ms)
      : refuse(`a time from ${min} to ${max}, such as 90s, 15m or 2h`, found)
  }
}

function millisecondsOf(text: string): number {
  const [, number = 'NaN', unit = 's'] = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d)?$/.exec(text) ?? []
  return Number(number) * unitsMs[unit as keyof typeof unitsMs]
}

/** `a,b` */
export const list: Reader<readonly string[]> = (found) => {
  const items = found.split(',').map((item) => item.trim())
  return items.includes('') ? refuse('a list such as a,b', found) : items
}

/** `a`, `b` or `a,b`, as often as given. @returns null where none was given */
export function lists(words: readonly string[]): readonly string[] | null {
  return words.length === 0 ? null : words.flatMap(list)
}

/** `k=v`, each given apart. @returns null where none was given */
export function labels(words: readonly string[]): { readonly [label: string]: string } | null {
  const entries = words.map((found): [string, string] => {
    const at = found.indexOf('=')
    return at > 0 ? [found.slice(0, at), found.slice(at + 1)] : refuse('label=value', found)
  })
  const names = entries.map(([name]) => name)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) throw new UsageError(`gives "${twice}" twice`)
  return entries.length === 0 ? null : Object.fromEntries(entries)
}

/** Beginning with a letter or digit it can be no flag, and no `..` in the path of a request. */
export const id = word(/^[A-Za-z0-9][\x21-\x7e]{0,127}$/, 'an id, which begins with a letter or a digit')

/** Never repeats what was found: it may hold a password. @returns it without a slash at its end */
export const httpUrl: Reader<string> = (found) => {
  const url = URL.canParse(found) ? new URL(found) : null
  const isPlain = url && url.username === '' && url.password === '' && url.search === '' && url.hash === ''
  if (url && isPlain && ['http:', 'https:'].includes(url.protocol)) return url.href.replace(/\/+$/, '')
  throw new UsageError('must be a URL like http://control:3129, without credentials')
}
