// TCP to an upstream, our CONNECT, its answer: one tunnel through one upstream to one address.
// Separate limits for the connect and for the answer, since they fail for different reasons: a connect is
// the upstream's own, while Tinyproxy is silent for as long as its target is (design 4). Our own lag is nobody's fault.

import { connect, type Socket } from 'node:net'
import { startDeadline } from '../deadline.ts'
import { GatewayError } from '../errors.ts'
import { formatTarget } from '../routing/target.ts'
import type { Target, Upstream } from '../types.ts'
import { makeConnectReplyReader, type ReplyProgress } from './connect-reply.ts'
import { isOwnWant, noSocketLeft } from './own-want.ts'

export type DialLimits = {
  readonly connectTimeoutMs: number
  /** From the connect to the end of the answer's head. */
  readonly replyTimeoutMs: number
  /** `user:password` where the upstream asks for Basic credentials. */
  readonly credentials: string | null
  readonly signal: AbortSignal
}

/** Ours (401 and 407: credentials) or its own (403: ConnectPort, Filter, Allow), so never the client's status. */
const configured = new Set([400, 401, 403, 407])
const unroutable = new Set(['EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN', 'ENETDOWN'])

/**
 * Opens a tunnel through an upstream.
 * @returns a connected, paused socket; bytes that came after the reply are put back on it
 * @throws GatewayError upstream_failed, upstream_timeout, target_failed, overloaded (we have no socket left);
 *         the signal's reason once aborted
 * @see RFC 9110 section 9.3.6 (CONNECT)
 */
export async function dial(upstream: Upstream, target: Target, limits: DialLimits): Promise<Socket> {
  const socket = await connectTcp(upstream, limits)
  try {
    socket.write(connectHead(formatTarget(target), limits.credentials))
    const rest = await readReply(socket, upstream, limits)
    if (rest.length > 0) socket.unshift(rest)
    return socket
  } catch (error) {
    socket.destroy()
    throw error
  }
}

/** What an upstream is asked. */
export function connectHead(authority: string, credentials: string | null): string {
  const authorization = credentials
    ? `Proxy-Authorization: Basic ${Buffer.from(credentials).toString('base64')}\r\n`
    : ''
  return `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${authorization}\r\n`
}

/** Throws as `dial`. */
export function connectTcp(
  upstream: Upstream,
  { connectTimeoutMs, signal }: Pick<DialLimits, 'connectTimeoutMs' | 'signal'>,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const socket = connect({
      host: upstream.host,
      port: upstream.port,
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      // A machine that is gone is noticed within 30 s: Node asks ten times more, a second apart.
      keepAliveInitialDelay: 20_000,
    })
    const cancel = startDeadline(connectTimeoutMs, () => fail(connectTimeout(upstream, connectTimeoutMs)))
    const onError = (error: NodeJS.ErrnoException) => fail(connectFailure(upstream, error))
    const onAbort = () => fail(signal.reason)

    function settle(): void {
      cancel()
      signal.removeEventListener('abort', onAbort)
      socket.off('error', onError)
    }
    function fail(reason: unknown): void {
      settle()
      socket.on('error', ignore)
      socket.destroy()
      reject(reason)
    }

    signal.addEventListener('abort', onAbort)
    socket.on('error', onError)
    socket.once('connect', () => {
      settle()
      resolve(socket)
    })
  })
}

/** Resolves to the bytes behind the reply's head; the socket is paused then, and has no listener of ours. */
function readReply(
  socket: Socket,
  upstream: Upstream,
  { replyTimeoutMs, signal }: DialLimits,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const reader = makeConnectReplyReader()
    const cancel = startDeadline(replyTimeoutMs, () => fail(replyTimeout(upstream, replyTimeoutMs)))
    const onAbort = () => fail(signal.reason)
    const onClosed = () => fail(closedEarly(upstream))

    function settle(): void {
      cancel()
      signal.removeEventListener('abort', onAbort)
      socket.off('data', onData).off('end', onClosed).off('close', onClosed).off('error', onClosed)
      socket.on('error', ignore)
    }
    function fail(reason: unknown): void {
      settle()
      reject(reason)
    }
    function onData(chunk: Buffer): void {
      const progress = reader.push(chunk)
      if (progress.kind === 'more') return
      if (progress.kind !== 'established') return fail(replyFailure(upstream, progress))
      settle()
      socket.pause()
      resolve(progress.rest)
    }

    if (signal.aborted) return fail(signal.reason)
    signal.addEventListener('abort', onAbort)
    socket.on('data', onData).on('end', onClosed).on('close', onClosed).on('error', onClosed)
  })
}

function connectFailure(upstream: Upstream, error: NodeJS.ErrnoException): GatewayError {
  if (isOwnWant(error)) return noSocketLeft(error)
  return new GatewayError(
    'upstream_failed',
    {
      detail: `The upstream ${upstream.id} did not take the connection (${error.code ?? 'unknown'}).`,
      token: unroutable.has(error.code ?? '') ? 'destination_ip_unroutable' : 'connection_refused',
      blame: 'connect',
      upstream: upstream.id,
    },
    { cause: error },
  )
}

function connectTimeout(upstream: Upstream, ms: number): GatewayError {
  return new GatewayError('upstream_timeout', {
    detail: `The upstream ${upstream.id} did not take the connection within ${ms} ms.`,
    token: 'connection_timeout',
    blame: 'connect',
    upstream: upstream.id,
  })
}

/** Not blamed: a silent upstream may be waiting for a silent target (facts: 16 s and more). */
function replyTimeout(upstream: Upstream, ms: number): GatewayError {
  return new GatewayError('upstream_timeout', {
    detail: `Neither the upstream ${upstream.id} nor the target answered within ${ms} ms.`,
    upstream: upstream.id,
  })
}

function closedEarly(upstream: Upstream): GatewayError {
  return new GatewayError('upstream_failed', {
    detail: `The upstream ${upstream.id} closed the connection before it answered.`,
    blame: 'reply',
    upstream: upstream.id,
  })
}

function replyFailure(
  upstream: Upstream,
  reply: Extract<ReplyProgress, { kind: 'refused' | 'malformed' }>,
): GatewayError {
  if (reply.kind === 'malformed') {
    return new GatewayError('upstream_failed', {
      detail: `The upstream ${upstream.id} did not answer in HTTP: ${reply.detail}`,
      token: reply.token,
      blame: 'reply',
      upstream: upstream.id,
    })
  }
  return refusedBy(upstream, reply.status)
}

function refusedBy(upstream: Upstream, status: number): GatewayError {
  if (status >= 500) {
    return new GatewayError('target_failed', {
      detail: `The upstream ${upstream.id} could not reach the target (it answered ${status}).`,
      receivedStatus: status,
      upstream: upstream.id,
    })
  }
  return new GatewayError('upstream_failed', {
    detail: `The upstream ${upstream.id} refused to open the tunnel (it answered ${status}); check its configuration.`,
    token: configured.has(status) ? 'proxy_configuration_error' : 'http_protocol_error',
    receivedStatus: status,
    upstream: upstream.id,
  })
}

function ignore(): void {}
