// Is this one of the tokens that we gave out? For jobs and for operators alike. Pure.

import { createHash, timingSafeEqual } from 'node:crypto'

/** In constant time: digests have one length, and every token is compared, whichever matched. */
export function matchesToken(given: string | Buffer, tokens: readonly string[]): boolean {
  const digest = sha256(given)
  let matches = false
  for (const token of tokens) matches = timingSafeEqual(digest, sha256(token)) || matches
  return matches
}

function sha256(text: string | Buffer): Buffer {
  return createHash('sha256').update(text).digest()
}
