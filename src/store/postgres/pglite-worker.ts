// The thread in which PGlite works: each statement keeps its thread busy until it is done, and no tunnel may wait for
// that. What goes in and out is text; types are read on the other side, as they are for a server.
//
// An error that is not an answer to a statement ends the thread, and the other side is told by that.

import { existsSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { parentPort, workerData } from 'node:worker_threads'
import { PGlite, messages } from '@electric-sql/pglite'

export type WorkerRequest =
  | { readonly id: number; readonly kind: 'query'; readonly sql: string; readonly values: readonly Text[] }
  | { readonly id: number; readonly kind: 'exec'; readonly sql: string }
  | { readonly id: number; readonly kind: 'close' }

export type WorkerMessage = 'started' | WorkerAnswer | { readonly lastWords: string }

export type WorkerAnswer =
  | { readonly id: number; readonly rows: readonly (readonly Text[])[]; readonly columns: readonly Column[] }
  | { readonly id: number; readonly error: SqlError }

type Text = string | null

export type Column = { readonly name: string; readonly dataTypeID: number }

/** Of https://www.postgresql.org/docs/current/protocol-error-fields.html, what a caller may want to know. */
export type SqlError = { readonly message: string; readonly code: string | undefined } & {
  readonly [field in 'severity' | 'detail' | 'hint' | 'table' | 'column' | 'constraint']: string | undefined
}

const port = parentPort!
const lastWords = new Set<string>()
/** Of what PGlite says; undefined for what nobody needs to know, such as errors that are answers too. */
let previousKind: string | undefined
const db = await open((workerData as { folder: string }).folder).catch(fail)
const asText = textOf(db)
port.on('message', (request: WorkerRequest) => void serve(request))
port.postMessage('started' satisfies WorkerMessage)

/** A new database is complete before it is in its place: whoever ends us meanwhile leaves nothing half-made. */
async function open(folder: string): Promise<PGlite> {
  const place = join(folder, 'postgres')
  if (!existsSync(place)) {
    const unfinished = join(folder, 'postgres.new')
    rmSync(unfinished, { recursive: true, force: true })
    await (await PGlite.create(unfinished, { onStderr: listen })).close()
    renameSync(unfinished, place)
  }
  return PGlite.create(place, { onStderr: listen })
}

/** After such words PGlite may answer nothing more, not even with an error. The line after may explain them. */
function listen(line: string): boolean {
  const [, kind, text] = line.match(/\b(FATAL|PANIC|DETAIL): +(.*)/) ?? []
  if (kind === 'FATAL' || kind === 'PANIC' || (kind === 'DETAIL' && previousKind !== undefined)) {
    lastWords.add(text!)
    port.postMessage({ lastWords: [...lastWords].join(': ') } satisfies WorkerMessage)
  }
  previousKind = kind
  return false
}

/** PGlite throws what it likes, such as objects of its file system. */
function fail(error: unknown): never {
  const what = error instanceof Error ? error.message : inspect(error)
  throw new Error([what, ...lastWords].join(': '), { cause: error })
}

async function serve(request: WorkerRequest): Promise<void> {
  const answer = await answerTo(request)
  port.postMessage(answer)
  if (request.kind === 'close') port.close()
}

async function answerTo(request: WorkerRequest): Promise<WorkerAnswer> {
  const { id } = request
  try {
    if (request.kind === 'query') {
      const { rows, fields } = await db.query<Text[]>(request.sql, [...request.values], asText)
      return { id, rows, columns: fields }
    }
    if (request.kind === 'exec') await db.exec(request.sql)
    else await db.close()
    return { id, rows: [], columns: [] }
  } catch (error) {
    if (!(error instanceof messages.DatabaseError) || error.severity !== 'ERROR') fail(error)
    return { id, error: fieldsOf(error) }
  }
}

function fieldsOf(error: messages.DatabaseError): SqlError {
  const { message, code, severity, detail, hint, table, column, constraint } = error
  return { message, code, severity, detail, hint, table, column, constraint }
}

/** PGlite's own conversions are other than those for a server. */
function textOf({ parsers, serializers }: PGlite) {
  const same = (text: string) => text
  const forAll = (types: object) => Object.fromEntries(Object.keys(types).map((type) => [type, same]))
  return { rowMode: 'array', parsers: forAll(parsers), serializers: forAll(serializers) } as const
}
