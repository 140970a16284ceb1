// A probe's CONNECT to an upstream, and the upstream's answer. Gateways dial on their own: they blame and retry, while
// a probe only tells what it saw.

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { addAbortSignal } from 'node:stream'
import type { Upstream } from '../types.ts'

export type Probed = Pick<Upstream, 'id' | 'host' | 'port' | 'credentials'>

/** Probes of another address, or with other credentials, say nothing. */
export function isSameRoad(a: Probed, b: Probed): boolean {
  return a.host === b.host && a.port === b.port && a.credentials === b.credentials
}

/** Why a probe is bad: fixed words, never the upstream's own. `isOurs`: it says nothing of the upstream. */
export class ProbeProblem extends Error {
  readonly isOurs: boolean

  constructor(problem: string, { isOurs = false, cause }: { isOurs?: boolean; cause?: unknown } = {}) {
    super(problem, { cause })
    this.name = 'ProbeProblem'
    this.isOurs = isOurs
  }
}

type Asked = {
  readonly host: string
  readonly port: number
  /** `host:port`, where the tunnel is to lead. */
  readonly authority: string
  /** `user:password` */
  readonly credentials: string | null
}

/** More than any head of an upstream. */
const headBytes = 16_384
/** Our own want of sockets or ports is nobody else's fault. */
const ownFaults = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM', 'EADDRNOTAVAIL', 'EAGAIN'])

/**
 * @param signal  destroys the socket whenever it aborts, also after the answer
 * @returns the answer's status, and the socket, which the caller has to destroy
 * @throws ProbeProblem
 */
export async function askToConnect(
  { host, port, authority, credentials }: Asked,
  signal: AbortSignal,
): Promise<{ readonly status: number; readonly socket: Socket }> {
  const socket = connect({ host, port, noDelay: true })
  socket.on('error', ignore)
  addAbortSignal(signal, socket)
  try {
    await connected(socket, signal)
    socket.write(connectHead(authority, credentials))
    return { status: await readStatus(socket, signal), socket }
  } catch (error) {
    socket.destroy()
    throw error
  }
}

/** With the error's code, such as ECONNRESET, where it has one. Its message may hold what the other side said. */
export function problemWith(error: unknown, problem: string): ProbeProblem {
  const code = codeOf(error)
  return new ProbeProblem(code === null ? problem : `${problem} (${code})`, { cause: error })
}

function codeOf(error: unknown): string | null {
  const code = error instanceof Error && 'code' in error ? error.code : null
  return typeof code === 'string' ? code : null
}

async function connected(socket: Socket, signal: AbortSignal): Promise<void> {
  try {
    await once(socket, 'connect')
  } catch (error) {
    if (signal.aborted) throw new ProbeProblem('it takes no connection in time', { cause: error })
    throw connectProblem(error)
  }
}

function connectProblem(cause: unknown): ProbeProblem {
  const code = codeOf(cause) ?? ''
  if (ownFaults.has(code))
    return new ProbeProblem(`this process has no socket left (${code})`, { isOurs: true, cause })
  return code === 'ECONNREFUSED'
    ? new ProbeProblem('connection refused', { cause })
    : problemWith(cause, 'no connection')
}

function connectHead(authority: string, credentials: string | null): string {
  const authorization = credentials
    ? `Proxy-Authorization: Basic ${Buffer.from(credentials).toString('base64')}\r\n`
    : ''
  return `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${authorization}\r\n`
}

/** Bytes behind the answer's head are put back on the socket. */
async function readStatus(socket: Socket, signal: AbortSignal): Promise<number> {
  let bytes = Buffer.alloc(0)
  try {
    for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
      bytes = Buffer.concat([bytes, chunk as Buffer])
      const answer = readAnswer(bytes)
      if (answer === null) continue
      if (answer.rest.length > 0) socket.unshift(answer.rest)
      return answer.status
    }
  } catch (error) {
    if (error instanceof ProbeProblem) throw error
    if (signal.aborted) throw new ProbeProblem('no answer in time', { cause: error })
    throw problemWith(error, 'connection lost before an answer')
  }
  throw new ProbeProblem('connection closed before an answer')
}

/** Null: more has to come. Interim answers are passed over. @throws ProbeProblem */
function readAnswer(bytes: Buffer): { readonly status: number; readonly rest: Buffer } | null {
  const prefix = 'HTTP/1.'
  const begin = bytes.toString('latin1', 0, prefix.length)
  if (!prefix.startsWith(begin)) throw new ProbeProblem('its answer is not HTTP')
  const end = bytes.indexOf('\r\n\r\n')
  if (end === -1 && bytes.length <= headBytes) return null
  if (end === -1 || end > headBytes) throw new ProbeProblem('its answer has no end')
  const line = bytes.toString('latin1', 0, bytes.indexOf('\r\n'))
  const [, digits] = /^HTTP\/1\.[01] ([1-5]\d\d)(?: |$)/.exec(line) ?? []
  if (digits === undefined) throw new ProbeProblem('its answer is not HTTP')
  const [status, rest] = [Number(digits), bytes.subarray(end + 4)]
  return status >= 200 ? { status, rest } : readAnswer(rest)
}

function ignore(): void {}
