// Idempotency keys: a row for each, claimed by whoever inserts it. A claim's token fences off a holder that was slow
// rather than dead. All ages are by the database's clock.

import { randomUUID } from 'node:crypto'
import { ControlError } from '../../errors.ts'
import type { Claim, ClaimAnswer, IdempotencyKeys, StoredAnswer } from '../records.ts'
import type { Db, Statements } from './db.ts'
import { queries } from './queries.ts'

/**
 * A holder silent for this long is taken for dead: one whose database went away could not give its claim back, and its
 * caller waits to repeat. Taken over too early it loses its claim, and with it the whole change.
 */
export const claimMs = 10_000
export const keptMs = 24 * 3_600_000

const answerFormat = 1
/** A key can be given back or taken over between two looks; not so often in a row. */
const looks = 5

type KeyRow = {
  readonly fingerprint: string
  readonly token: string
  readonly answer: (StoredAnswer & { readonly format: number }) | null
  readonly age_ms: number
  readonly claim_age_ms: number
}

export function makeIdempotencyKeys({ db, fleet }: { db: Db; fleet: string }): IdempotencyKeys {
  return {
    // With a token of our own we find the claim again whose COMMIT was not answered.
    claim(key, fingerprint, { retake }) {
      const request = { fleet, key, fingerprint, retake, token: randomUUID() }
      return db.transaction((statements) => claim(statements, request), { isRepeatable: true })
    },

    keep: (held, answer) => db.transaction((statements) => keepAnswer(statements, fleet, held, answer)),

    async abandon({ key, token }) {
      await db.query(queries['abandon-key'], [fleet, key, token])
    },

    async sweep() {
      return (await db.query(queries['sweep-keys'], [fleet, keptMs])).length
    },
  }
}

/** @throws ControlError conflict where the claim has been taken over, or its day is over */
export async function keepAnswer(
  statements: Statements,
  fleet: string,
  { key, token }: Claim,
  { status, location, body }: StoredAnswer,
): Promise<void> {
  const answer = JSON.stringify({ format: answerFormat, status, location, body })
  const rows = await statements.query(queries['keep-answer'], [fleet, key, token, answer])
  if (rows.length > 0) return
  throw new ControlError(
    'conflict',
    'Another request with the same Idempotency-Key has taken over, since this one took too long. Repeat it to see the answer.',
  )
}

/** Inside the transaction of a change. @returns whether the answer of this claim is kept */
export async function isKept(statements: Statements, fleet: string, { key, token }: Claim): Promise<boolean> {
  const [row] = await statements.query<KeyRow>(queries['read-key'], [fleet, key])
  return row?.token === token && row.answer !== null
}

type Request = {
  readonly fleet: string
  readonly key: string
  readonly fingerprint: string
  readonly retake: boolean
  /** For the claim, where it comes about. */
  readonly token: string
}

async function claim(statements: Statements, request: Request): Promise<ClaimAnswer> {
  const { fleet, key, fingerprint, token } = request
  for (let look = 0; look < looks; look += 1) {
    const mine = await statements.query(queries['claim-key'], [fleet, key, fingerprint, token])
    if (mine[0]) return { kind: 'claimed', claim: { key, token } }
    const [row] = await statements.query<KeyRow>(queries['read-key'], [fleet, key])
    const answer = row && (await answerFor(statements, request, row))
    if (answer) return answer
  }
  return { kind: 'in_flight' }
}

/** Null where the row has changed meanwhile. */
async function answerFor(statements: Statements, request: Request, row: KeyRow): Promise<ClaimAnswer | null> {
  if (row.token === request.token) return { kind: 'claimed', claim: { key: request.key, token: row.token } }
  const isForgotten = row.age_ms >= keptMs
  if (isForgotten) return takeOver(statements, request, { held: row.token, isForgotten })
  if (row.fingerprint !== request.fingerprint) return { kind: 'mismatch' }
  if (row.answer) return { kind: 'answered', answer: storedAnswer(row.answer) }
  if (!request.retake || row.claim_age_ms < claimMs) return { kind: 'in_flight' }
  return takeOver(statements, request, { held: row.token, isForgotten })
}

async function takeOver(
  statements: Statements,
  { fleet, key, fingerprint, token }: Request,
  { held, isForgotten }: { held: string; isForgotten: boolean },
): Promise<ClaimAnswer | null> {
  const values = [fleet, key, fingerprint, held, isForgotten, token]
  const [taken] = await statements.query(queries['retake-key'], values)
  return taken ? { kind: 'claimed', claim: { key, token } } : null
}

function storedAnswer({ format, status, location, body }: StoredAnswer & { format: number }): StoredAnswer {
  if (format === answerFormat) return { status, location, body }
  throw new ControlError(
    'database_unavailable',
    `PostgreSQL holds an answer of format ${format}; this program reads format ${answerFormat}. Update it.`,
  )
}
