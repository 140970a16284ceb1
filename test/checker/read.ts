// Records from files: one JSON document a line. A gateway's log is as it was written (src/log.ts), with what else it has
// printed in between.

import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { makeEvents } from '../../src/events.ts'
import { logFacts, type Log } from '../../src/log.ts'
import type { LedgerEntry } from '../../src/store/records.ts'
import type { Feed, GatewayLine } from './records.ts'

/** Documents, and what came before the line of a process that was killed while it wrote. */
export async function* readJsonLines<Item>(path: string): AsyncGenerator<Item> {
  for await (const text of readLines(path)) {
    const item = parse(text)
    if (item !== null) yield item as Item
  }
}

/** @param gateway  by the name that clients have for it */
export async function* readLog(path: string, gateway: string): AsyncGenerator<GatewayLine> {
  for await (const text of readLines(path)) {
    const line = lineOf(text, gateway)
    if (line) yield line
  }
}

/** Null: not a line of the log, or none of a fact. */
export function lineOf(text: string, gateway: string): GatewayLine | null {
  const line = parse(text) as { [field: string]: unknown } | null
  if (line === null || typeof line.time !== 'string') return null
  const { time, msg, level, jobId, ...fields } = line
  const name = nameOf.get(String(msg)) ?? `other (${String(level)})`
  const named = jobId ?? fields.job
  const job = typeof named === 'object' && named !== null && 'id' in named ? named.id : named
  return {
    ...fields,
    ...(job !== undefined && { job }),
    gateway,
    atMs: Date.parse(time),
    name,
    text,
  } as GatewayLine
}

/** As the admin API tells it, or as it is. */
export async function* readLedger(
  rows: Feed<LedgerEntry & { readonly at?: string }>,
): AsyncGenerator<LedgerEntry> {
  for await (const { at, ...row } of rows) yield at === undefined ? row : { ...row, atMs: Date.parse(at) }
}

/** What each fact says for people, by asking the log itself: so no word is written down twice. */
const nameOf: ReadonlyMap<string, string> = namesByMessage()

function namesByMessage(): Map<string, string> {
  const names = new Map<string, string>()
  const events = makeEvents()
  let asked = ''
  const hear = (first: unknown, second?: unknown) => void names.set(String(second ?? first), asked)
  const log = { trace: hear, debug: hear, info: hear, warn: hear, error: hear, fatal: hear }
  logFacts(events, log as unknown as Log)
  for (const name of events.eventNames()) {
    asked = String(name)
    events.emit(name as 'store_found', ...([{}] as unknown as []))
  }
  return names
}

async function* readLines(path: string): AsyncGenerator<string> {
  yield* createInterface({ input: createReadStream(path, { highWaterMark: 1 << 20 }), crlfDelay: Infinity })
}

function parse(text: string): unknown {
  if (!text.startsWith('{')) return null
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
