// What the password of the proxy URL proves, where a token is asked for: that its sender may name a job (a static token), or
// which job it is (a job token). Pure. No part of a token that is refused stands in an error.

import { GatewayError } from '../errors.ts'
import type { Job, NamedToken, TokenKey } from '../types.ts'
import type { Basic } from './basic-credentials.ts'
import { isLikeJobToken, readJobToken, type ReadToken } from './job-token.ts'
import { quoted } from './quoted.ts'
import { findToken } from './token.ts'

export type Passwords = {
  readonly tokens: readonly NamedToken[]
  /** Absent: job tokens are not known. `nowMs`: since 1970. */
  readonly jobTokens?: { readonly keys: readonly TokenKey[]; readonly nowMs: number }
}

export type Proof = {
  /** The name of a static token. */
  readonly token: string | null
  /** The id of the key that has signed a job token, and the job that it is good for. */
  readonly tokenKey: string | null
  readonly job: Job | null
}

export const noProof: Proof = { token: null, tokenKey: null, job: null }

/** @throws GatewayError proxy_auth_required */
export function readPassword(basic: Basic | null, { tokens, jobTokens }: Passwords): Proof {
  if (basic === null)
    throw refused(
      'A token is asked for. Give it as the password of the proxy URL: http://<job>:<token>@gateway.',
    )
  const named = findToken(basic.password, tokens)
  if (named) return { ...noProof, token: named.name }
  const password = basic.password.toString('latin1')
  if (!jobTokens || !isLikeJobToken(password))
    throw refused('The password of the proxy credentials is no token of ours. Check it in the proxy URL.')
  const read = readJobToken(password, jobTokens.keys, jobTokens.nowMs)
  if ('refused' in read) throw refused(`${whyRefused(read)} ${mintAnother}`)
  return { token: null, tokenKey: read.keyId, job: read.grant.job }
}

const mintAnother = 'Ask for another: lanekeeper token, or POST /v1/tokens of the admin API.'

function whyRefused(read: ReadToken & { readonly refused: unknown }): string {
  if (read.refused === 'expired') {
    const { job, expiresAtMs } = read.grant
    return `The token of job ${quoted(job.id)} expired at ${new Date(expiresAtMs).toISOString()}.`
  }
  if (read.refused === 'unknown_key')
    return 'No key of this gateway, any more or yet, has signed this job token.'
  return 'The password begins like a job token, but is none that we have signed: it may have been cut.'
}

function refused(detail: string): GatewayError {
  return new GatewayError('proxy_auth_required', { detail })
}
