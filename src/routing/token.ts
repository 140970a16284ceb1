// Is this one of the tokens that we gave out? For jobs and for operators alike. Pure.

import { createHash, timingSafeEqual } from 'node:crypto'
import type { NamedToken } from '../types.ts'

/** In constant time: digests have one length, and every token is compared, whichever matched. */
export function findToken<T extends NamedToken>(given: string | Buffer, tokens: readonly T[]): T | null {
  const digest = sha256(given)
  let found: T | null = null
  for (const named of tokens) if (timingSafeEqual(digest, sha256(named.token))) found ??= named
  return found
}

function sha256(text: string | Buffer): Buffer {
  return createHash('sha256').update(text).digest()
}
