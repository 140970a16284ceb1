// The admin API as the commands use it: get one document, follow a list, change something safely. What goes wrong
// becomes an ApiError; the token is in no error.

import { setTimeout as delay } from 'node:timers/promises'
import { Agent, request } from 'undici'
import { ApiError, leavesOpen, type Failure, type Problem } from './failure.ts'
import { pauseBeforeRepeat } from './repeat.ts'

/** Null is left out. */
export type Query = { readonly [name: string]: string | number | boolean | null }
export type Page<Item> = { readonly items: readonly Item[]; readonly next: string | null }

export type Change = {
  readonly method: 'POST' | 'PUT' | 'DELETE'
  readonly path: string
  readonly query?: Query
  readonly body?: unknown
  readonly knownBy: string
  /** For the ledger; null lets the API say `admin`. */
  readonly actor: string | null
  readonly reason: string | null
  /** The same for each try, so that it is done once. */
  readonly key: string
  /** A change that may be done twice can do without the key's table while PostgreSQL is away. */
  readonly mayGoWithoutKey?: boolean
}

type Sent = {
  readonly method: string
  readonly path: string
  /** A field that the right answer has, and hardly that of another program. */
  readonly knownBy: string
  readonly query: Query
  readonly headers: { readonly [name: string]: string }
  readonly body?: unknown
}

/** As many as the API gives at once. */
const pageSize = 1000

export type Api = ReturnType<typeof makeApi>

/** @param timeoutMs  for one call, with all its repetitions; a list has it for each page */
export function makeApi({ url, token, timeoutMs }: { url: string; token: string | null; timeoutMs: number }) {
  // Our own: the machine's proxy settings are for jobs, not for us. The signal alone counts the time.
  const agent = new Agent({ connect: { timeout: timeoutMs }, headersTimeout: 0, bodyTimeout: 0 })
  let wasConnected = false
  agent.on('connect', () => (wasConnected = true))

  async function send(sent: Sent, signal: AbortSignal): Promise<object> {
    const answer = await exchange(sent, signal)
    const document = parse(answer.text)
    const isWanted = document !== null && Object.hasOwn(document, sent.knownBy)
    if (answer.status >= 200 && answer.status < 300 && isWanted) return document
    throw new ApiError({ ...common(), ...faultOf(answer, document) })
  }

  async function exchange(
    { method, path, query, headers, body }: Sent,
    signal: AbortSignal,
  ): Promise<Answer> {
    try {
      const {
        statusCode,
        headers: fields,
        body: incoming,
      } = await request(`${url}${path}${search(query)}`, {
        dispatcher: agent,
        method,
        signal,
        headers: {
          accept: 'application/json, application/problem+json',
          ...(token === null ? {} : { authorization: `Bearer ${token}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        body: body === undefined ? null : JSON.stringify(body),
      })
      return { status: statusCode, fields, text: await incoming.text() }
    } catch (error) {
      const fault = signal.aborted
        ? ({ kind: 'timeout', afterMs: timeoutMs } as const)
        : ({ kind: 'unreachable', cause: causeOf(error) } as const)
      throw new ApiError({ ...common(), ...fault, wasSent: wasConnected })
    }
  }

  function common() {
    return { url, hasToken: token !== null, unknownUnder: null }
  }

  async function get<T extends object>(path: string, knownBy: string, query: Query = {}): Promise<T> {
    const sent = { method: 'GET', path, query, knownBy, headers: {} }
    return (await send(sent, AbortSignal.timeout(timeoutMs))) as T
  }

  return {
    get,

    /** @param limit  rows at most; null for all. @returns `next` where there are more */
    async list<T>(path: string, query: Query, limit: number | null): Promise<Page<T>> {
      const items: T[] = []
      let after: string | null = null
      for (;;) {
        const wanted = Math.min(pageSize, limit === null ? pageSize : limit - items.length)
        const page: Page<T> = await get(path, 'items', { ...query, limit: wanted, after })
        items.push(...page.items)
        const next = page.next ?? null
        // A page that leads nowhere would be asked for without end.
        if (next === null || next === after || page.items.length === 0 || items.length >= (limit ?? Infinity))
          return { ...page, items, next }
        after = next
      }
    },

    /** A POST that changes nothing: whoever has no answer may simply ask again. */
    async ask<T extends object>(path: string, knownBy: string, body: object): Promise<T> {
      const sent = { method: 'POST', path, query: {}, knownBy, headers: {}, body }
      return (await send(sent, AbortSignal.timeout(timeoutMs))) as T
    },

    /** Repeats it with the same key where that may help, within the time of one call. */
    async change<T extends object>(change: Change): Promise<T> {
      const signal = AbortSignal.timeout(timeoutMs)
      let key: string | null = change.key
      let isOpen = false
      for (let tries = 1; ; tries += 1) {
        try {
          return (await send(asSent(change, key), signal)) as T
        } catch (error) {
          if (!(error instanceof ApiError)) throw error
          const { failure } = error
          // The key is looked up before anything is done: so far nothing is.
          if (key !== null && change.mayGoWithoutKey && isDatabaseAway(failure)) {
            key = null
            continue
          }
          const settlesAll = key !== null && isDefinite(failure)
          isOpen = leavesOpen(failure) || (isOpen && !settlesAll)
          const final = new ApiError({ ...failure, unknownUnder: isOpen ? change.key : null })
          const pauseMs = pauseBeforeRepeat(failure, tries)
          if (pauseMs === null) throw final
          await delay(pauseMs, undefined, { signal }).catch(() => {
            throw final
          })
        }
      }
    },

    /** Breaks off what is open. */
    close: () => agent.destroy(),
  }
}

function asSent(
  { method, path, query = {}, body, knownBy, actor, reason }: Change,
  key: string | null,
): Sent {
  return {
    method,
    path,
    knownBy,
    query: { ...query, reason },
    headers: {
      ...(key === null ? {} : { 'idempotency-key': key }),
      ...(actor === null ? {} : { 'x-actor': actor }),
    },
    ...(body === undefined ? {} : { body }),
  }
}

/** The API has decided; what became of earlier tries with the same key is in its answer. */
function isDefinite(failure: Failure): boolean {
  return failure.kind === 'refused' && !leavesOpen(failure)
}

function isDatabaseAway(failure: Failure): boolean {
  return failure.kind === 'refused' && failure.problem.code === 'database_unavailable'
}

type Answer = {
  readonly status: number
  readonly fields: { readonly [name: string]: string | string[] | undefined }
  readonly text: string
}

function faultOf({ status, fields }: Answer, document: object | null) {
  if (isProblem(document) && status >= 400) {
    const retryAfter = String(fields['retry-after'] ?? '')
    const retryAfterS = /^\d{1,9}$/.test(retryAfter) ? Number(retryAfter) : null
    return { kind: 'refused', status, problem: document, retryAfterS } as const
  }
  const type = String(fields['content-type'] ?? '').split(';')[0]
  return { kind: 'foreign', status, found: type === '' ? 'something' : `a body of ${type}` } as const
}

function isProblem(document: object | null): document is Problem {
  const { title, code, detail } = { ...document } as { [key: string]: unknown }
  return [title, code, detail].every((text) => typeof text === 'string')
}

function parse(text: string): object | null {
  try {
    const document: unknown = JSON.parse(text)
    return typeof document === 'object' && !Array.isArray(document) ? document : null
  } catch {
    return null
  }
}

function search(query: Query): string {
  const given = Object.entries(query).filter(([, value]) => value !== null)
  const text = new URLSearchParams(
    given.map(([name, value]): [string, string] => [name, String(value)]),
  ).toString()
  return text === '' ? '' : `?${text}`
}

/** A name with several addresses fails with one error for each. */
function causeOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  return code ?? message ?? String(error)
}
