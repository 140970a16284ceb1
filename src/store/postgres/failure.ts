// What a database throws -> `database_unavailable` with a reason that an operator can act on, or the SQL error as it
// is. Pure. Connection errors of the driver stay here: what they carry leads to the password.

import pg from 'pg'
import { ControlError } from '../../errors.ts'

/** Lost to another transaction, by no fault of its own: serialization, deadlock, lock timeout. */
const lostRaces = ['40001', '40P01', '55P03']

/** By SQLSTATE, its class (first two), or the code of a socket error. */
const reasons: { readonly [code: string]: string } = {
  '08': 'the connection broke',
  // So says PgBouncer, whatever happened: no connection to the server, or none free in time.
  '08P01': 'the connection was ended, by the server or by a pooler before it',
  25006: 'it is read-only (a standby, or out of space)',
  '25P03': 'a transaction was idle for too long',
  '25P04': 'a transaction took too long',
  28: 'it refuses our user name or password',
  '3D000': 'it has no such database',
  40003: 'the connection broke',
  53: 'it is short of something',
  53100: 'its disk is full',
  53200: 'it is out of memory',
  53300: 'it has no connection left for us',
  57: 'an operator stopped it',
  57014: 'a statement took too long, or an operator stopped it',
  '57P01': 'it is shutting down',
  '57P02': 'it has crashed and starts again',
  '57P03': 'it is starting up or shutting down',
  58: 'its system fails (disk, files)',
  ECONNREFUSED: 'nothing listens there',
  ECONNRESET: 'the connection broke',
  EPIPE: 'the connection broke',
  ENOENT: 'nothing listens there',
  ENOTFOUND: 'its name does not resolve',
  EAI_AGAIN: 'its name cannot be resolved now',
}

/** @param reason  ends the sentence */
export function databaseUnavailable(reason: string, cause?: unknown): ControlError {
  const detail = `PostgreSQL cannot be used now: ${reason}.`
  return new ControlError('database_unavailable', detail, cause === undefined ? {} : { cause })
}

/** For what a statement threw: SQL errors that the caller must understand come back as they are. */
export function statementFailure(error: unknown, hide: (text: string) => string): unknown {
  if (!(error instanceof pg.DatabaseError)) return error
  return reasonOf(error.code) === undefined ? error : connectionFailure(error, hide)
}

/**
 * For what broke a connection, or kept it from being made: whatever it was, the database cannot be used.
 * @param hide  takes secrets out of a text
 */
export function connectionFailure(error: unknown, hide: (text: string) => string): ControlError {
  if (error instanceof ControlError) return error
  const code = codeOf(error)
  const told = code === undefined ? undefined : (reasonOf(code) ?? `it answered ${code}`)
  const cause = new Error(hide(error instanceof Error ? error.message : String(error)))
  return databaseUnavailable(told ?? 'it does not answer in time, or the connection broke', cause)
}

export function isLostRace(error: unknown): boolean {
  return error instanceof pg.DatabaseError && lostRaces.includes(error.code ?? '')
}

/** The password of a URL, in both its spellings. */
export function hideSecrets(url: string): (text: string) => string {
  const { password, searchParams } = new URL(url)
  const secrets = [password, searchParams.get('password') ?? ''].flatMap((text) => [text, decoded(text)])
  const shown = secrets.filter((secret) => secret !== '')
  return (text) => shown.reduce((rest, secret) => rest.replaceAll(secret, '***'), text)
}

function reasonOf(code: string | undefined): string | undefined {
  if (code === undefined) return undefined
  return reasons[code] ?? (/^[0-9A-Z]{5}$/.test(code) ? reasons[code.slice(0, 2)] : undefined)
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
