// Our own want of sockets, ports or memory for them: nobody else's fault, and over soon.

import { closeSync, openSync } from 'node:fs'
import { GatewayError } from '../errors.ts'

const codes = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM', 'EADDRNOTAVAIL', 'EAGAIN'])

export function isOwnWant({ code = '' }: NodeJS.ErrnoException): boolean {
  return codes.has(code)
}

export function noSocketLeft(cause: NodeJS.ErrnoException): GatewayError {
  return new GatewayError(
    'overloaded',
    { detail: `The gateway has no socket left (${cause.code}).` },
    { cause },
  )
}

/**
 * Whether this process can open one more file, for those who do not say it: c-ares calls it ECONNREFUSED (Node 24.21).
 * @returns why not; null where it can
 */
export function wantOfFiles(): NodeJS.ErrnoException | null {
  try {
    closeSync(openSync('/dev/null', 'r'))
    return null
  } catch (error) {
    return isOwnWant(error as NodeJS.ErrnoException) ? (error as NodeJS.ErrnoException) : null
  }
}
