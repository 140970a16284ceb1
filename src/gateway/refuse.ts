// Ends a request in an error: on a raw socket, or on node:http's response. One answer, then the end.

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { GatewayError, isGatewayError } from '../errors.ts'
import { hasBody } from './head.ts'
import { errorBytes, errorReply, optionsReply } from './reply.ts'
import { reset } from './reset.ts'

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
    reset(req.socket)
    return
  }
  const keepAlive = !isFinal(error) && mayBeKept(req, res)
  if (!keepAlive) lingerAfter(req, res)
  const reply = errorReply(error, { keepAlive, requestId, withBody: req.method !== 'HEAD' })
  res.writeHead(reply.status, reply.headers.flat())
  res.end(reply.body)
}

/** To OPTIONS that ends here: `*`, or Max-Forwards used up. */
export function answerOptions(req: IncomingMessage, res: ServerResponse): void {
  const { status, headers } = optionsReply()
  const keepAlive = mayBeKept(req, res)
  if (!keepAlive) lingerAfter(req, res)
  res.writeHead(status, [...headers, ['Connection', keepAlive ? 'keep-alive' : 'close']].flat())
  res.end()
}

/** After a head that is none, or asks for what it may not have, nothing more on its connection is heard. */
function isFinal({ code, status }: GatewayError): boolean {
  return code === 'bad_request' || status === 403
}

/** Keeping the connection would mean reading the rest of a body that nobody wants. */
function mayBeKept(req: IncomingMessage, res: ServerResponse): boolean {
  return res.shouldKeepAlive && req.httpVersion === '1.1' && (req.complete || !hasBody(req))
}

/**
 * For an answer that is the last of its connection, before it ends: what the client still sends is dropped for a
 * moment. node:http would close at once, and bytes unread then reset the connection, which can take the answer with it.
 */
export function lingerAfter(req: IncomingMessage, res: ServerResponse): void {
  const { socket } = res
  if (socket === null) return
  res.once('prefinish', () => req.unpipe().resume())
  socket.destroySoon = () => {
    socket.end()
    lingerThenDestroy(socket)
  }
}

/** Closing with unread bytes would reset the connection and could take the answer with it. */
function lingerThenDestroy(socket: Socket): void {
  socket.resume()
  const timer = setTimeout(() => socket.destroy(), lingerMs)
  timer.unref()
  socket.once('close', () => clearTimeout(timer))
}
