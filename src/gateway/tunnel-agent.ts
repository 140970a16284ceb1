// An agent of node:http for one request inside one tunnel that stands already.

import { Agent, type ClientRequest } from 'node:http'
import type { Socket } from 'node:net'

export class TunnelAgent extends Agent {
  readonly #socket: Socket
  readonly #onRequest: (request: ClientRequest) => void

  /** @param onRequest  sees the request before its head is written */
  constructor(socket: Socket, onRequest: (request: ClientRequest) => void = () => {}) {
    // No limit of sockets, since with one node:http would tell the target that another request may follow.
    super({ keepAlive: false })
    this.#socket = socket
    this.#onRequest = onRequest
  }

  override createConnection(): Socket {
    return this.#socket
  }

  /** Called by node:http for each request of an agent; not in its types. */
  addRequest(request: ClientRequest, ...rest: unknown[]): void {
    this.#onRequest(request)
    // `dial` hands the socket over paused; by this event node:http listens to it.
    request.once('socket', (socket) => socket.resume())
    const { addRequest } = Agent.prototype as unknown as { addRequest: (...all: unknown[]) => void }
    addRequest.call(this, request, ...rest)
  }
}
