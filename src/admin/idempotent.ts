// Idempotency-Key, in one place (IETF draft-ietf-httpapi-idempotency-key-header): the same key and the same request
// get the same answer again, and nothing is done twice. Requests that cannot be understood never come here.
//
//   claim -> act -> answer kept with the act, or right after it -> answered
//                -> refused (4xx): the refusal is kept, and told again
//                -> failed (5xx): a change has not happened, so nothing is kept and a repetition acts; an act outside the
//                   database may have happened, so its key stays taken

import { createHash, randomUUID } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { canonicalJson } from '../canonical-json.ts'
import { ControlError, isControlError } from '../errors.ts'
import type { Claim, IdempotencyKeys, Outcome, StoredAnswer } from '../store/records.ts'
import { authorOf } from './author.ts'
import type { Asked } from './control-parts.ts'
import { refusalOf } from './problem.ts'

type Exchange = {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly keys: IdempotencyKeys
}

/**
 * A change of the fleet: the verb keeps the answer in the same transaction, so the claim of who died meanwhile may be
 * taken over.
 */
export async function changeOnce<T>(
  exchange: Exchange,
  verb: (asked: Asked<T>) => Promise<Outcome<T>>,
  answer: (outcome: Outcome<T>) => StoredAnswer,
): Promise<FastifyReply> {
  const author = authorOf(exchange.request)
  return once(exchange, { retake: true }, async (claim) =>
    answer(await verb({ author, keep: claim && { claim, answer } })),
  )
}

/** An act outside the tables of the fleet: its answer is kept after it, so nobody may take its claim over. */
export async function actOnce(exchange: Exchange, act: () => Promise<StoredAnswer>): Promise<FastifyReply> {
  return once(exchange, { retake: false }, act)
}

/** An act that makes no difference when it is done again under the same id, which the key gives it. */
export async function repeatOnce(
  exchange: Exchange,
  act: (id: string) => Promise<StoredAnswer>,
): Promise<FastifyReply> {
  const key = keyOf(exchange.request)
  const id = key === null ? randomUUID() : uuidOf(key)
  const { keys } = exchange
  return once(exchange, { retake: true }, async (claim) => {
    const answer = await act(id)
    if (claim) await forgiving(() => keys.keep(claim, answer))
    return answer
  })
}

async function once(
  { request, reply, keys }: Exchange,
  { retake }: { retake: boolean },
  act: (claim: Claim | null) => Promise<StoredAnswer>,
): Promise<FastifyReply> {
  const key = keyOf(request)
  if (key === null) return send(reply, await act(null))
  const claimed = await keys.claim(key, fingerprintOf(request), { retake })
  if (claimed.kind === 'answered') return send(reply.header('Idempotency-Replayed', 'true'), claimed.answer)
  if (claimed.kind !== 'claimed') throw unclaimed(claimed.kind)
  const { claim } = claimed
  const answer = await act(claim).catch(async (error: unknown) => {
    await forgiving(() => keepRefusal(keys, claim, { error, mayHaveActed: !retake }))
    throw error
  })
  // It has happened, and is told; where it could not be kept, a repetition hears that the first is under way.
  if (!retake) await forgiving(() => keys.keep(claim, answer))
  return send(reply, answer)
}

async function keepRefusal(
  keys: IdempotencyKeys,
  claim: Claim,
  { error, mayHaveActed }: { error: unknown; mayHaveActed: boolean },
): Promise<void> {
  const { problem } = refusalOf(error)
  if (problem.status >= 500 && mayHaveActed) return
  if (problem.status >= 500) await keys.abandon(claim)
  else await keys.keep(claim, { status: problem.status, location: null, body: problem })
}

/** The database went away behind the act, or another took the claim over: what the act answered is told all the same. */
async function forgiving(keep: () => Promise<void>): Promise<void> {
  try {
    await keep()
  } catch (error) {
    if (!isControlError(error, 'database_unavailable', 'database_busy', 'conflict')) throw error
  }
}

function send(reply: FastifyReply, { status, location, body }: StoredAnswer): FastifyReply {
  if (location !== null) reply.header('location', location)
  return reply
    .code(status)
    .type(status < 400 ? 'application/json' : 'application/problem+json')
    .send(body)
}

function unclaimed(kind: 'in_flight' | 'mismatch'): ControlError {
  return kind === 'in_flight'
    ? new ControlError(
        'idempotency_in_flight',
        'The first request with this Idempotency-Key is still under way, or nobody knows how it ended: ask again for its ' +
          'answer, or look what has happened, and use a new key.',
      )
    : new ControlError(
        'idempotency_mismatch',
        'This Idempotency-Key was used for another request; a new request needs a new key.',
      )
}

/** The same for the same key, of the form of RFC 9562 version 8. */
function uuidOf(key: string): string {
  const hex = createHash('sha256').update(key).digest('hex')
  const variant = ((parseInt(hex[16]!, 16) & 0x3) | 0x8).toString(16)
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    variant + hex.slice(17, 20),
    hex.slice(20, 32),
  ].join('-')
}

/** Its form was checked by the schema. Quoted and bare are the same key. */
function keyOf({ headers }: FastifyRequest): string | null {
  const said = headers['idempotency-key']
  if (typeof said !== 'string') return null
  return said.startsWith('"') ? said.slice(1, -1).replace(/\\(.)/g, '$1') : said
}

/** SHA-256, in hex. However the path is escaped and the fields are ordered: the same request has the same. */
export function fingerprintOf(
  request: Pick<FastifyRequest, 'method' | 'params' | 'query' | 'body'> & {
    readonly routeOptions: { readonly url?: string | undefined }
  },
): string {
  const { method, routeOptions, params, query, body = null } = request
  return createHash('sha256')
    .update(canonicalJson([method, routeOptions.url, params, query, body]))
    .digest('hex')
}
