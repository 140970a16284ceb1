// Ends a request in an error: on a raw socket, or on node:http's response. One answer, then the end.

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { GatewayError, isGatewayError } from '../errors.ts'
import { hasBody } from './head.ts'
import { errorBytes, errorReply } from './reply.ts'

/** A client that does not read its answer and close is cut off then. */
const lingerMs = 1000

/** What a client is told of an error that nobody foresaw: nothing of it. */
export function asGatewayError(error: unknown): GatewayError {
  if (isGatewayError(error)) return error
  return new GatewayError(
    'overloaded',
    { detail: 'The gateway met an error of its own; its log says more.', token: 'proxy_internal_error' },
    { cause: error },
  )
}

/** Bytes that still arrive are dropped, never parsed: they were meant for a tunnel. */
export function refuseSocket(socket: Socket, error: GatewayError, requestId: string): void {
  if (!socket.writable) {
    socket.destroy()
    return
  }
  socket.end(errorBytes(error, { keepAlive: false, requestId }))
  lingerThenDestroy(socket)
}

export function refuseResponse(
  req: IncomingMessage,
  res: ServerResponse,
  error: GatewayError,
  requestId: string,
): void {
  if (res.headersSent || res.destroyed) {
    // Half an answer is out: only a reset tells the client that the rest is missing.
    req.socket.resetAndDestroy()
    return
  }
  // Keeping the connection would mean reading the rest of a body that nobody wants.
  const keepAlive = res.shouldKeepAlive && req.httpVersion === '1.1' && (req.complete || !hasBody(req))
  const reply = errorReply(error, { keepAlive, requestId, withBody: req.method !== 'HEAD' })
  res.writeHead(reply.status, reply.headers.flat())
  res.end(reply.body)
  if (!keepAlive) res.once('finish', () => lingerThenDestroy(req.socket))
}

/** Closing with unread bytes would reset the connection and could take the answer with it. */
function lingerThenDestroy(socket: Socket): void {
  socket.resume()
  const timer = setTimeout(() => socket.destroy(), lingerMs)
  timer.unref()
  socket.once('close', () => clearTimeout(timer))
}
