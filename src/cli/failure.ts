// What can go wrong between us and the admin API, and how a person is told: what happened, and what to do. Pure.

import { plain } from './table.ts'

export type Problem = {
  readonly type: string
  readonly title: string
  readonly status: number | null
  readonly code: string
  readonly detail: string
  readonly [more: string]: unknown
}

type Fault =
  /** It said no, in a problem document. */
  | {
      readonly kind: 'refused'
      readonly status: number
      readonly problem: Problem
      readonly retryAfterS: number | null
    }
  /** No connection, or it broke. */
  | { readonly kind: 'unreachable'; readonly cause: string; readonly wasSent: boolean }
  | { readonly kind: 'timeout'; readonly afterMs: number; readonly wasSent: boolean }
  /** Somebody answered, but not the admin API. */
  | { readonly kind: 'foreign'; readonly status: number; readonly found: string }

export type Failure = Fault & {
  readonly url: string
  readonly hasToken: boolean
  /** Of a change that may have been done, or not: what to repeat it with. */
  readonly unknownUnder: string | null
}

export class ApiError extends Error {
  readonly failure: Failure

  constructor(failure: Failure) {
    super(`${failure.kind} at ${failure.url}`)
    this.name = 'ApiError'
    this.failure = failure
  }
}

/** Refusals that a person may overrule. */
const forcible = ['names_nothing', 'lane_without_upstream']

/** 4: `--force` would do it. */
export function exitCodeOf(failure: Failure): number {
  return failure.kind === 'refused' && forcible.includes(failure.problem.code) ? 4 : 1
}

/** Whether it may have been done all the same: sent, and no definite answer came back. */
export function leavesOpen(fault: Fault): boolean {
  if (fault.kind === 'unreachable' || fault.kind === 'timeout') return fault.wasSent
  if (fault.kind === 'foreign') return fault.status < 300 || fault.status >= 500
  return fault.status >= 500 || fault.problem.code === 'idempotency_in_flight'
}

/** Whether the next look may find an answer again; a refusal stays one. */
export function isMomentary(fault: Fault): boolean {
  return fault.kind === 'unreachable' || fault.kind === 'timeout' || fault.status >= 500
}

/** One thought a line; the first says what happened. */
export function describe(failure: Failure): string[] {
  return [
    ...whatHappened(failure),
    ...(failure.unknownUnder === null ? [] : howToAskAgain(failure.unknownUnder)),
  ]
}

/** The API's own document, or one that we make in its place. */
export function problemOf(failure: Failure): Problem {
  const [title = '', ...rest] = whatHappened(failure)
  const problem =
    failure.kind === 'refused'
      ? failure.problem
      : {
          type: `urn:lanekeeper:error:${failure.kind}`,
          title,
          status: failure.kind === 'foreign' ? failure.status : null,
          code: failure.kind,
          detail: rest.join(' '),
        }
  return failure.unknownUnder === null ? problem : { ...problem, idempotencyKey: failure.unknownUnder }
}

function whatHappened(failure: Failure): string[] {
  const { url } = failure
  switch (failure.kind) {
    case 'refused':
      return refusal(failure)
    case 'timeout':
      return [
        `${url} did not answer within ${failure.afterMs / 1000} s.`,
        ...(failure.wasSent ? ['A longer --timeout waits longer.'] : [whereItIs]),
      ]
    case 'unreachable':
      return failure.wasSent
        ? [`The connection to ${url} broke (${plain(failure.cause)}).`]
        : [`Nothing answers at ${url} (${plain(failure.cause)}).`, whereItIs]
    case 'foreign':
      return [
        `${url} answered ${failure.status} with ${plain(failure.found)}, which is not the admin API's JSON.`,
        'Point ADMIN_URL or --url to the admin port of Lanekeeper (3129 unless set otherwise).',
      ]
  }
}

const whereItIs =
  'Start the program there (lanekeeper start), or say where its admin API is with ADMIN_URL or --url.'

function refusal({ problem, status, retryAfterS, url, hasToken }: Failure & { kind: 'refused' }): string[] {
  const advice =
    adviceOn(problem.code, url, hasToken) ?? (retryAfterS === null ? null : tryAgain(retryAfterS))
  return [
    `${plain(problem.title)} (${status} ${plain(problem.code)}).`,
    ...(problem.detail === '' ? [] : [plain(problem.detail)]),
    ...(advice === null ? [] : [advice]),
  ]
}

function adviceOn(code: string, url: string, hasToken: boolean): string | null {
  if (forcible.includes(code)) return 'With --force it is done all the same.'
  if (code === 'idempotency_mismatch') return 'Leave --idempotency-key out, or give a new one.'
  if (code !== 'unauthorized') return null
  return hasToken
    ? `ADMIN_TOKEN is not the token of ${url}; set it to the one that was set there.`
    : `Set ADMIN_TOKEN to the token of ${url}.`
}

function tryAgain(retryAfterS: number): string {
  return `Try again in ${retryAfterS} s.`
}

function howToAskAgain(key: string): string[] {
  return [
    'Whether it was done is not known. To ask again without doing it twice, repeat the command with',
    `  --idempotency-key ${key}`,
  ]
}
