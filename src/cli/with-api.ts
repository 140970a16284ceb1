// What all commands of the admin API share: their flags, where the API is, and how a failure is told.

import { randomUUID } from 'node:crypto'
import { isIPv6 } from 'node:net'
import { userInfo } from 'node:os'
import type { Config } from '../config.ts'
import { makeApi, type Api, type Page, type Query } from './api.ts'
import type { Surroundings } from './command.ts'
import { ApiError, describe, exitCodeOf, problemOf } from './failure.ts'
import {
  duration,
  httpUrl,
  option,
  text,
  toggle,
  UsageError,
  wholeNumber,
  word,
  type ValuesOf,
} from './flags.ts'
import { count, table, type Column } from './table.ts'

const actorGrammar = /^[A-Za-z0-9._@+-]{1,64}$/
const defaultLimit = 1000
export const defaultTimeoutMs = 10_000

export const apiFlags = {
  url: option('url', 'where the admin API is; else ADMIN_URL, else ADMIN_HOST and ADMIN_PORT', httpUrl),
  timeout: option(
    'time',
    `give up after so long, such as 30 (seconds) or 2m; else ${defaultTimeoutMs / 1000}s`,
    duration('1s', '1h'),
  ),
  json: toggle("print the API's JSON and nothing else"),
}

export const listFlags = {
  limit: option('n', `so many rows at most; else ${defaultLimit}`, wholeNumber(1, 1_000_000)),
  all: toggle('all rows, however many'),
  ...apiFlags,
}

export const changeFlags = {
  reason: option('text', 'why, for the ledger', text),
  actor: option(
    'who',
    'who does it, for the ledger; else the name of the user on this machine',
    word(actorGrammar, '1 to 64 of letters, digits and . _ @ + -'),
  ),
  'idempotency-key': option(
    'key',
    'the key of an earlier try whose end is not known: it is done once at most',
    word(/^[\x21-\x7e]{1,255}$/, '1 to 255 visible ASCII characters'),
  ),
  ...apiFlags,
}

/** 4 goes with `--force`. */
export const forceExits = { 4: 'refused, but --force would do it' }
export const force = toggle('do it although it would be refused (exit code 4) without')

type ApiFlags = ValuesOf<typeof apiFlags>

/** Hands the API to `act`, and tells people or programs of its failure. @throws ConfigError, UsageError */
export async function withApi(
  { flags, io }: { readonly flags: ApiFlags; readonly io: Surroundings },
  act: (api: Api) => Promise<number>,
): Promise<number> {
  const config = io.config()
  const api = makeApi({
    url: flags.url ?? urlOf(config),
    token: config['admin.token'],
    timeoutMs: flags.timeout ?? defaultTimeoutMs,
  })
  try {
    return await act(api)
  } catch (error) {
    if (!(error instanceof ApiError)) throw error
    io.err(flags.json ? json(problemOf(error.failure)) : describe(error.failure).join('\n'))
    return exitCodeOf(error.failure)
  } finally {
    await api.close()
  }
}

/** @throws UsageError where the settings do not say it */
export function urlOf(config: Pick<Config, 'admin.url' | 'admin.host' | 'admin.port'>): string {
  if (config['admin.url'] !== null) return config['admin.url']
  if (config['admin.port'] === 0) {
    throw new UsageError(
      'ADMIN_PORT is 0, which takes any free port: say where the API is with --url or ADMIN_URL.',
    )
  }
  // Bound to all addresses it is to be had on loopback too.
  const host = { '0.0.0.0': '127.0.0.1', '::': '::1' }[config['admin.host']] ?? config['admin.host']
  return `http://${isIPv6(host) ? `[${host}]` : host}:${config['admin.port']}`
}

/** Who changes something, why, and under which key. */
export function author(flags: Pick<ValuesOf<typeof changeFlags>, 'reason' | 'actor' | 'idempotency-key'>) {
  return {
    reason: flags.reason,
    actor: flags.actor ?? userOfThisMachine(),
    key: flags['idempotency-key'] ?? randomUUID(),
  }
}

/** Null where it has none that the API takes; in a container a user may have no name at all. */
function userOfThisMachine(): string | null {
  try {
    const { username } = userInfo()
    return actorGrammar.test(username) ? username : null
  } catch {
    return null
  }
}

function limitOf({ limit, all }: Limits): number | null {
  return all ? null : (limit ?? defaultLimit)
}

export function limitContradiction({ limit, all }: Limits) {
  return all && limit !== null ? 'Give --all or --limit, not both.' : null
}

/** Lines for people, the document itself for programs. */
export function tell({ flags, io }: Telling, document: object, lines: () => string): number {
  io.out(flags.json ? json(document) : lines())
  return 0
}

export function tellList<Row>(telling: Telling, page: Page<Row>, { noun, columns }: ListView<Row>): number {
  return tell(telling, page, () => {
    if (page.items.length === 0) return count(0, noun)
    const more = page.next === null ? '' : '; there are more: --all or a higher --limit shows them'
    return `${table(columns, page.items)}\n\n${count(page.items.length, noun)}${more}`
  })
}

/** Asks for a list, as far as --limit and --all say, and shows it. */
export function showList<Row>(
  call: { readonly flags: ApiFlags & Limits; readonly io: Surroundings },
  { path, query = {} }: { readonly path: string; readonly query?: Query },
  view: ListView<Row>,
): Promise<number> {
  return withApi(call, async (api) =>
    tellList(call, await api.list<Row>(path, query, limitOf(call.flags)), view),
  )
}

type Limits = { readonly limit: number | null; readonly all: boolean }
type Telling = { readonly flags: { readonly json: boolean }; readonly io: Surroundings }
export type ListView<Row> = { readonly noun: string; readonly columns: readonly Column<Row>[] }

/** One line. What a terminal would act on is escaped, and means the same. */
export function json(document: object): string {
  return JSON.stringify(document).replace(/[\x7f-\x9f\p{Cf}\p{Zl}\p{Zp}]/gu, (character) =>
    character
      .split('')
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
      .join(''),
  )
}
