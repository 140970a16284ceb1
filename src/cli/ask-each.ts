// The same change for several upstreams: one request each, with a key of its own that is made from the one key of the
// command. So the whole command can be repeated with that key, and does only what was not done.

import type { Api, Change } from './api.ts'
import { ApiError, describe, exitCodeOf, leavesOpen, problemOf, type Failure } from './failure.ts'
import { cell } from './table.ts'
import { author, json } from './with-api.ts'

export type Ask = Pick<Change, 'method' | 'path' | 'query' | 'body'> & {
  /** How the request is called where it fails. */
  readonly name: string
}

type Failed = { readonly name: string; readonly failure: Failure }

export type Answers<T> = {
  readonly answers: readonly T[]
  readonly failed: readonly Failed[]
  readonly untried: readonly string[]
  readonly key: string
}

/**
 * @param goesOn  whether the others are asked for after one was refused; where nobody answers they never are
 * @param answered  hears of each answer as it comes
 * @throws ApiError where there is but one, and it fails
 */
export async function askEach<T extends object>(
  api: Pick<Api, 'change'>,
  asks: readonly Ask[],
  by: ReturnType<typeof author>,
  { goesOn, answered }: { readonly goesOn: boolean; readonly answered: (answer: T) => void },
): Promise<Answers<T>> {
  const { key } = by
  const answers: T[] = []
  const failed: Failed[] = []
  for (const [index, { name, ...request }] of asks.entries()) {
    const own = asks.length === 1 ? key : `${key}.${index + 1}`
    try {
      const answer = await api.change<T>({ ...request, ...by, knownBy: 'id', key: own })
      answers.push(answer)
      answered(answer)
    } catch (error) {
      if (!(error instanceof ApiError) || asks.length === 1) throw error
      failed.push({ name, failure: error.failure })
      if (!goesOn || !isItsOwn(error.failure))
        return { answers, failed, key, untried: asks.slice(index + 1).map((ask) => ask.name) }
    }
  }
  return { answers, failed, key, untried: [] }
}

/** The API has decided on this one, and answers its key the same from now on. */
function isItsOwn(failure: Failure): boolean {
  return failure.kind === 'refused' && [400, 404, 409].includes(failure.status) && !leavesOpen(failure)
}

/** What failed, why, and how to ask for the rest; nothing where nothing failed. */
export function tellFailures(
  { answers, failed, untried, key }: Answers<{ readonly id: string }>,
  {
    flags,
    io,
  }: { readonly flags: { readonly json: boolean }; readonly io: { err: (lines: string) => void } },
): number {
  if (failed.length === 0) return 0
  for (const { name, failure } of failed)
    io.err(flags.json ? asProblem(name, failure) : inWords(name, failure))
  if (!flags.json) {
    const ids = answers.map(({ id }) => cell(id)).join(', ')
    io.err(
      `Accepted: ${ids === '' ? 'none' : ids}.${untried.length > 0 ? ` Not tried: ${untried.map(cell).join(', ')}.` : ''}`,
    )
    if (!failed.every(({ failure }) => isItsOwn(failure)))
      io.err(`To ask for the rest and nothing twice, repeat the command with\n  --idempotency-key ${key}`)
  }
  return Math.max(...failed.map(({ failure }) => exitCodeOf(failure)))
}

function inWords(name: string, failure: Failure): string {
  const isOpen = leavesOpen(failure) ? ' Whether it was done is not known.' : ''
  return `${cell(name)}: ${describe({ ...failure, unknownUnder: null }).join(' ')}${isOpen}`
}

function asProblem(name: string, failure: Failure): string {
  return json({ ...problemOf(failure), request: name })
}
