// --wait, for the commands whose work has only begun when the API answers: their flags, and what goes with them.

import type { Api } from './api.ts'
import type { Surroundings } from './command.ts'
import { duration, option, toggle } from './flags.ts'
import { makeProgress } from './progress.ts'
import type { Waiting } from './wait.ts'
import { defaultTimeoutMs, withApi } from './with-api.ts'

/** Behind the other flags: --timeout is theirs, and of the waiting too. */
export const waitFlags = {
  wait: toggle('show progress until that is done; Ctrl-C ends the waiting only'),
  timeout: option(
    'time',
    `with --wait: end the waiting after so long, such as 90s or 15m; without: the call, else after ${defaultTimeoutMs / 1000}s`,
    duration('1s', '30d'),
  ),
}

type WaitingCall = {
  readonly flags: Parameters<typeof withApi>[0]['flags'] & { readonly wait: boolean }
  readonly io: Surroundings
}

/** As `withApi`; but with --wait no call takes long, so that a server that fell silent is asked again. */
export function withPatientApi(call: WaitingCall, act: (api: Api) => Promise<number>): Promise<number> {
  const { wait, timeout } = call.flags
  const timeoutMs = wait ? Math.min(timeout ?? defaultTimeoutMs, defaultTimeoutMs) : timeout
  return withApi({ ...call, flags: { ...call.flags, timeout: timeoutMs } }, act)
}

export function waitingFor({ flags, io }: WaitingCall): Waiting {
  if (io.screen) io.err('Ctrl-C ends the waiting only; what was asked for goes on.')
  return { show: makeProgress(io), clock: io.clock, withinMs: flags.timeout }
}

/** @param how  to look how far it is @returns the exit code */
export function tellLate({ flags, io }: WaitingCall, what: string, how: string): number {
  io.err(`${what} not done after ${(flags.timeout ?? 0) / 1000} s. It goes on; ${how} tells how far it is.`)
  return 1
}
