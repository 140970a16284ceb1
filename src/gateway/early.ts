// Bytes that a client sends behind its CONNECT head before the tunnel stands (a TLS hello, say). Kept up to
// a limit, then the socket is paused, so that TCP holds the rest. Reading on is also how we hear that a
// client has left while we wait for the store or the dial.

import type { Socket } from 'node:net'

export type Early = {
  /** Stops holding; the bytes, in order. */
  take(): Buffer[]
}

/** @param onGone  the client reset, closed, or ended without having sent a byte for the tunnel */
export function holdEarly(socket: Socket, head: Buffer, maxBytes: number, onGone: () => void): Early {
  const chunks: Buffer[] = head.length > 0 ? [head] : []
  let held = head.length

  function onData(chunk: Buffer): void {
    chunks.push(chunk)
    held += chunk.length
    if (held >= maxBytes) socket.pause()
  }
  // With bytes for the tunnel it is a half-close: the answer may still be wanted.
  function onEnd(): void {
    if (held === 0) onGone()
  }

  socket.on('data', onData).on('end', onEnd).on('close', onGone)
  if (held >= maxBytes) socket.pause()
  return {
    take() {
      socket.pause()
      socket.off('data', onData).off('end', onEnd).off('close', onGone)
      return chunks
    },
  }
}
