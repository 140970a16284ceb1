// How a socket is left at once: by a reset, or by an end in good order. For TCP both are a call of node:net. Over TLS
// a reset is one of the TCP connection beneath (`resetAndDestroy` of a TLSSocket throws, Node 24), and an end in good
// order says close_notify first: without it a client takes the end for a cut (RFC 8446 section 6.1).

import type { Socket } from 'node:net'

/** For the close_notify: a client that reads nothing more does not take it. */
const lastWordMs = 1000

const beneath = new WeakMap<Socket, Socket>()

/** From now on a reset of `socket`, which speaks TLS, is one of `tcp`. */
export function carriedBy(socket: Socket, tcp: Socket): void {
  beneath.set(socket, tcp)
}

/** The other side reads ECONNRESET, never an end. `close` follows. Harmless where the socket is gone already. */
export function reset(socket: Socket): void {
  // Its last byte and its end are with the kernel. A reset in that moment fails with EINVAL, and Node 24 then
  // neither closes the descriptor nor says `close`.
  if (isShuttingDown(socket)) return void socket.destroy()
  // What speaks TLS on it closes in the next turn. To destroy it too, now, would take OpenSSL's state away under its feet
  // where it is what called us (a segmentation fault in Node 24.21).
  const tcp = beneath.get(socket) ?? socket
  tcp.resetAndDestroy()
}

/** For a socket on which everything was said. */
export function endInOrder(socket: Socket): void {
  if (!beneath.has(socket) || socket.writableFinished) return void socket.destroy()
  const timer = setTimeout(() => socket.destroy(), lastWordMs)
  timer.unref()
  socket.once('close', () => clearTimeout(timer))
  socket.destroySoon()
}

function isShuttingDown({ writableEnded, writableFinished, writableLength }: Socket): boolean {
  return writableEnded && !writableFinished && writableLength === 0
}
