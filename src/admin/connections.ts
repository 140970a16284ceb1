// How many connections the admin port holds: whoever reaches it needs no token to connect, and all that they hold are
// files that the gateway in the same process does without.

import type { Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/**
 * Beyond the limit the oldest is closed, before others one without a request: a probe is answered in milliseconds, so
 * that who holds connections cannot keep it out.
 */
export function limitConnections(server: Server, maxConnections: number): void {
  const open = new Set<Socket>()
  const busy = new Set<Socket>()

  server.on('connection', (socket: Socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
    if (open.size <= maxConnections) return
    const idle = [...open].find((other) => other !== socket && !busy.has(other))
    const [oldest] = open
    ;(idle ?? oldest)?.destroy()
  })
  server.on('request', ({ socket }, response: ServerResponse) => {
    busy.add(socket)
    response.once('close', () => busy.delete(socket))
  })
}
