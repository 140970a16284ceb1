// What the driver throws -> `store_unavailable`, with a reason that an operator can act on. Pure.
// The driver's own error object stays here: it carries the arguments of the command, AUTH's among them.

import { GatewayError } from '../../errors.ts'
import { readRedisUrl } from '../../redis-url.ts'

/** By the code of a Redis error or of a socket error. What is not listed is shown as it is. */
const reasons: { readonly [code: string]: string } = {
  READONLY: 'it is a read-only replica',
  LOADING: 'it is loading its data',
  OOM: 'it is out of memory (maxmemory)',
  MISCONF: 'it refuses writes because it cannot save',
  BUSY: 'it is busy with a script',
  NOREPLICAS: 'it has too few replicas to take writes',
  MASTERDOWN: 'it has lost its primary',
  CLUSTERDOWN: 'its cluster is down',
  MOVED: 'another node of its cluster has our keys now',
  ASK: 'its cluster is moving our keys to another node',
  TRYAGAIN: 'its cluster is moving our keys to another node',
  NOPRIMARY: 'its sentinels know no primary of that name',
  UNBLOCKED: 'it is a replica now',
  WRONGPASS: 'it refuses our user name or password',
  NOAUTH: 'it asks for a password',
  NOPERM: 'its access rules refuse our commands',
  FORMAT: 'it holds a record of a format that this program cannot read; update this program',
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'its name does not resolve',
  EAI_AGAIN: 'its name does not resolve now',
  ETIMEDOUT: 'it cannot be reached',
  ECONNRESET: 'it closed the connection',
}

/** @param reason  ends the sentence "Redis cannot be used now: ..." */
export function unavailable(reason: string, options?: { cause: unknown }): GatewayError {
  return new GatewayError('store_unavailable', { detail: `Redis cannot be used now: ${reason}.` }, options)
}

/** @param hide  takes secrets out of a text */
export function storeUnavailable(error: unknown, hide: (text: string) => string): GatewayError {
  if (error instanceof GatewayError) return error
  const code = codeOf(error)
  const reason =
    code === null
      ? 'it does not answer in time, or there is no connection'
      : (reasons[code] ?? `it answered ${code}`)
  return unavailable(reason, {
    cause: new Error(hide(error instanceof Error ? error.message : String(error))),
  })
}

/** Whether Redis said it, or we made it of what Redis said; else the connection was lost. */
export function isAnswer(error: unknown): boolean {
  return error instanceof GatewayError || (error instanceof Error && error.name === 'ReplyError')
}

/** `READONLY`, `ECONNREFUSED`, ...; null for what the driver gives no code, such as a time limit of its own. */
export function codeOf(error: unknown): string | null {
  if (!(error instanceof Error)) return null
  if (error.name === 'ReplyError') return replyCode(error.message)
  return 'code' in error && typeof error.code === 'string' ? error.code : null
}

/** A Redis error has only a text: its code is the first word, or stands further in when a script met it. */
function replyCode(text: string): string | null {
  const words = text.match(/\b[A-Z]{2,}\b/g) ?? []
  return words.find((word) => Object.hasOwn(reasons, word)) ?? words[0] ?? null
}

/** Redis repeats the arguments of a command that it does not know, and AUTH may be one. */
export function hideSecrets({
  url,
  sentinelPassword = null,
}: {
  readonly url: string
  readonly sentinelPassword?: string | null
}): (text: string) => string {
  const answer = readRedisUrl(url)
  const secrets = [sentinelPassword, 'address' in answer ? answer.address.password : null]
  const written = /:\/\/[^/]*?:([^/]*)@/.exec(url)?.[1] ?? null
  const spellings = [...secrets, written].filter((secret) => secret !== null && secret !== '')
  return (text) => spellings.reduce((shown: string, secret) => shown.replaceAll(secret!, '***'), text)
}
