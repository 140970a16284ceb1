// Joins two sockets until both have ended.
//
//   client ──data──► upstream     a full buffer pauses the side that reads
//   client ◄──data── upstream     an end is passed on behind the bytes before it; a reset is passed on as a reset
//
// No timer and no closure per chunk: byte counts are the sockets' own, idle tunnels are found by tunnels.ts.

import type { Socket } from 'node:net'
import type { TunnelEnd } from '../events.ts'
import { endInOrder, reset } from './reset.ts'

export type RelayEnd = { readonly bytesUp: number; readonly bytesDown: number; readonly endedBy: TunnelEnd }

export type Relay = {
  /** Settles when both sockets are closed; never rejects. */
  readonly ended: Promise<RelayEnd>
  /** Changes whenever bytes have moved. */
  bytes(): number
  close(why: 'idle' | 'life' | 'stop' | 'drained'): void
}

/**
 * Starts to carry bytes both ways. It owns both sockets from here on.
 * @param early  bytes of the client that came before the upstream was there; sent first
 */
export function relay(client: Socket, upstream: Socket, early: readonly Buffer[]): Relay {
  const earlyBytes = early.reduce((sum, chunk) => sum + chunk.length, 0)
  // Bytes that wait on a socket were read from the network, but are still to be carried.
  const readBefore = {
    client: client.bytesRead - client.readableLength,
    upstream: upstream.bytesRead - upstream.readableLength,
  }
  let endedBy: TunnelEnd | null = null

  const bytesUp = () => client.bytesRead - readBefore.client + earlyBytes
  const bytesDown = () => upstream.bytesRead - readBefore.upstream
  const endBy = (who: TunnelEnd) => {
    endedBy ??= who
  }

  for (const chunk of early) upstream.write(chunk)
  const bothClosed = Promise.all([
    carry(
      client,
      upstream,
      () => endBy('client'),
      () => endBy('client_reset'),
    ),
    carry(
      upstream,
      client,
      () => endBy('upstream'),
      () => endBy('upstream_reset'),
    ),
  ])

  return {
    ended: bothClosed.then(() => ({
      bytesUp: bytesUp(),
      bytesDown: bytesDown(),
      endedBy: endedBy ?? 'client',
    })),
    bytes: () => client.bytesRead + upstream.bytesRead + client.bytesWritten + upstream.bytesWritten,
    close(why) {
      endBy(why)
      cut(client, why === 'idle' || upstream.readableEnded)
      cut(upstream, why === 'idle' || client.readableEnded)
    },
  }
}

/** One direction. Resolves when `from` is closed. */
function carry(from: Socket, to: Socket, onEnd: () => void, onReset: () => void): Promise<void> {
  return new Promise((resolve) => {
    from.on('data', (chunk: Buffer) => {
      if (!to.write(chunk)) from.pause()
    })
    to.on('drain', () => from.resume())
    from.on('end', () => {
      onEnd()
      to.end()
    })
    from.on('error', () => {
      onReset()
      // After its end all it had to say is on the way to `to`, and a reset would throw that away there.
      if (from.readableEnded) to.destroySoon()
      else reset(to)
    })
    from.on('close', () => {
      // One that was closed in good order (`cut`) may still be saying so.
      if (!from.readableEnded && !to.destroyed && !to.writableEnded) reset(to)
      resolve()
    })
    if (from.destroyed) {
      onReset()
      reset(to)
      return resolve()
    }
    if (from.readableEnded) {
      onEnd()
      to.end()
    }
    from.resume()
  })
}

/**
 * Undelivered bytes would be cut silently by an orderly close, so then it is a reset.
 * @param isWhole  the other side has said all that it had to say, as far as we can know
 */
function cut(socket: Socket, isWhole: boolean): void {
  if (isWhole && socket.writableLength === 0) endInOrder(socket)
  else reset(socket)
}
