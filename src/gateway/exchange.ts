// One HTTP exchange inside a tunnel, as the registry of tunnels sees it: a plain request, or an upgrade that the
// target did not take. node:http carries the bytes; here they are only counted.

import type { Socket } from 'node:net'
import { GatewayError } from '../errors.ts'
import type { TunnelEnd } from '../events.ts'
import type { Relay } from './relay.ts'

type Client = {
  /** Whether the client left before it had the whole answer; asked when the exchange is over. */
  readonly left?: () => boolean
  /** Grows while the client reads: an answer that waits in our buffers is not idle. */
  readonly bytes?: () => number
}

/** Counts from here on, so call it before the exchange begins. It ends with the socket. */
export function watchExchange(socket: Socket, { left = () => false, bytes = () => 0 }: Client = {}): Relay {
  const readBefore = socket.bytesRead
  const writtenBefore = socket.bytesWritten
  let closedBy: TunnelEnd | null = null
  const ended = new Promise<void>((resolve) => {
    socket.once('close', () => resolve())
    if (socket.destroyed) resolve()
  })
  return {
    ended: ended.then(() => ({
      bytesUp: socket.bytesWritten - writtenBefore,
      bytesDown: socket.bytesRead - readBefore,
      endedBy: closedBy ?? (left() ? 'client' : 'upstream'),
    })),
    bytes: () => socket.bytesRead + socket.bytesWritten + bytes(),
    close(why) {
      closedBy = why
      // Who still waits for the answer is told so.
      socket.destroy(why === 'idle' ? tooQuiet() : undefined)
    },
  }
}

function tooQuiet(): GatewayError {
  return new GatewayError('upstream_timeout', {
    detail: 'Neither the client nor the target sent anything for too long.',
  })
}
