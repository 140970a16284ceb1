// The requests of one connection, one after the other. node:http hands on a pipelined request while the one before
// is still under way, and only keeps the answers in order: a hundred requests in one packet would be a hundred tunnels
// at once, a POST could arrive behind the GET that was sent after it, and what came behind a refusal would be done.

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { reset } from './reset.ts'

type Exchange = { readonly req: IncomingMessage; readonly res: ServerResponse; readonly run: () => void }

/** Times `maxWaiting`. node:http keeps all that it has parsed, 1.6 KB each, as long as one before waits for its answer. */
const tooManyTimes = 4

/**
 * @param maxWaiting  requests behind the one under way; the next is told so in its turn, and is the last. Who goes on
 *   all the same is cut off
 */
export function makeTurns({ maxWaiting }: { maxWaiting: number }) {
  const lines = new WeakMap<Socket, Exchange[]>()
  /** Behind the last. */
  const unheard = new WeakMap<Socket, number>()

  function start({ req, res, run }: Exchange): void {
    const { socket } = req
    res.once('close', () => {
      const next = lines.get(socket)?.shift()
      // After the last answer of a connection nothing on it is heard any more.
      if (next && socket.writable) start(next)
      else lines.delete(socket)
    })
    run()
  }

  function drop(socket: Socket): void {
    const count = (unheard.get(socket) ?? 0) + 1
    unheard.set(socket, count)
    if (count >= maxWaiting * tooManyTimes) reset(socket)
  }

  return {
    /**
     * Runs it when its turn comes; never, where the connection ends before.
     * @param refuse  run instead where too many wait already
     */
    take(req: IncomingMessage, res: ServerResponse, run: () => void, refuse: () => void): void {
      const { socket } = req
      if (!socket.writable) return
      const line = lines.get(socket)
      if (line === undefined) {
        lines.set(socket, [])
        start({ req, res, run })
      } else if (line.length < maxWaiting) line.push({ req, res, run })
      else if (line.length === maxWaiting) line.push({ req, res, run: refuse })
      else drop(socket)
    },
  }
}
