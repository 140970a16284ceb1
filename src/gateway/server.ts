// The listener: connections in, limits on heads, each request handed to its road, and the end of it all.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Server as TlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { SecureContextOptions } from 'node:tls'
import { GatewayError, type HeadReason } from '../errors.ts'
import type { Events } from '../events.ts'
import { makeAdmission, type AdmissionLimits, type NoPlace, type Place } from './admission.ts'
import { memoryShort, type HeapGuard } from './heap-guard.ts'
import type { Sources } from './sources.ts'
import { refuseResponse, refuseSocket } from './refuse.ts'
import type { RequestStory } from './request.ts'
import { reset } from './reset.ts'
import { makeTlsListener } from './tls-listener.ts'
import { makeTurns } from './turns.ts'

export type SocketRoad = (req: IncomingMessage, socket: Socket, head: Buffer) => Promise<void>
export type ResponseRoad = (req: IncomingMessage, res: ServerResponse) => Promise<void>

type Parts = {
  readonly limits: AdmissionLimits & {
    readonly headTimeoutMs: number
    readonly headBytes: number
    readonly keepAliveMs: number
  }
  readonly sources: Sources
  readonly memory: Pick<HeapGuard, 'isShort'>
  /** Null: plain HTTP. */
  readonly tls: { readonly clientCertificates: boolean } | null
  readonly connect: SocketRoad
  readonly upgrade: SocketRoad
  readonly forward: ResponseRoad
  readonly jobApi: ResponseRoad
  readonly story: Pick<RequestStory, 'newId' | 'refusedUnread'>
  readonly events: Events
}

/** Connections that were turned away and may still read why. They have no place, so these are all that they cost. */
const maxTurnedAway = 32

/** That the kernel may have taken for us: twice node:net's backlog. */
const maxQueued = 1024

/** Requests of one connection that wait for the one under way. apt sends ten. */
const maxWaiting = 32

export type GatewayServer = ReturnType<typeof makeGatewayServer>

export function makeGatewayServer({
  limits,
  sources,
  memory,
  tls,
  connect,
  upgrade,
  forward,
  jobApi,
  story,
  events,
}: Parts) {
  const admission = makeAdmission(limits)
  const sockets = new Set<Socket>()
  const places = new WeakMap<Socket, Place>()
  const turnedAway = new Set<Socket>()
  const turns = makeTurns({ maxWaiting })
  let leaving = false
  let taken = 0
  const options = {
    maxHeaderSize: limits.headBytes,
    headersTimeout: limits.headTimeoutMs,
    // Node looks for late heads only this often; its default of 30 s would make 5 s mean 30 (hostile inputs 0.9).
    connectionsCheckingInterval: Math.min(500, limits.headTimeoutMs),
    // Bodies may take as long as they move: the idle limit of their tunnel ends them.
    requestTimeout: 0,
    keepAliveTimeout: limits.keepAliveMs,
    // Node answers a missing Host itself, bare (hostile inputs E5); we say what is wrong.
    requireHostHeader: false,
    noDelay: true,
  }
  const tlsServer: TlsServer | null =
    tls &&
    makeTlsListener({
      ...tls,
      http: options,
      handshakeMs: limits.headTimeoutMs,
      takeIn: (tcp) => takeIn(tcp, { answers: false }),
      secured,
      failed: handshakeFailed,
    })
  const server = tlsServer ?? createServer(options)
  /** What a connection that may speak HTTP is told by. */
  const readable = tlsServer ? 'secureConnection' : 'connection'

  if (!tlsServer)
    server.on('connection', (socket) => {
      // A challenged CONNECT is handed back here, so a socket may come twice.
      if (!places.has(socket) && !sockets.has(socket)) takeIn(socket)
    })
  server.on('connect', (req, socket, head) => {
    hand(connect, req, socket as Socket, head)
  })
  server.on('upgrade', (req, socket, head) => {
    hand(upgrade, req, socket as Socket, head)
  })
  server.on('request', onRequest)
  server.on('checkContinue', onRequest)
  server.on('checkExpectation', (req, res) => {
    if (!hears(req.socket)) return
    const error = headError('expectation_unknown', 'The only expectation known here is 100-continue.')
    const refuse = () => refuseResponse(req, res, error, story.refusedUnread(error))
    turns.take(req, res, refuse, refuse)
  })
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    const refuse = () => onClientError(error, socket as Socket)
    if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') unlessHeadIsThere(socket as Socket, refuse)
    else refuse()
  })
  // Idle for too long between two requests.
  server.on('timeout', (socket: Socket) => unlessHeadIsThere(socket, () => socket.destroy()))

  /** @param answers  false where the other side would not understand us (TLS) @returns whether it may go on */
  function takeIn(socket: Socket, { answers = true } = {}): boolean {
    taken += 1
    sockets.add(socket)
    // Before anything else: a reset while nobody listens would end the process (hostile inputs 0.4).
    socket.on('error', () => {})
    socket.once('close', () => sockets.delete(socket))
    const { remoteAddress } = socket
    if (remoteAddress === undefined) {
      socket.destroy()
      return false
    }
    const place = placeFor(remoteAddress)
    if ('error' in place) {
      turnAway(socket, place, answers)
      return false
    }
    places.set(socket, place)
    socket.once('close', place.leave)
    return true
  }

  function placeFor(address: string): Place | NoPlace {
    if (!sources.allows(address)) return sourceRefused()
    return memory.isShort ? { reason: 'memory', error: memoryShort() } : admission.enter(address)
  }

  /** From here on the TLS socket stands for the connection. */
  function secured(socket: Socket, tcp: Socket): void {
    sockets.delete(tcp)
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    places.set(socket, places.get(tcp)!)
  }

  function handshakeFailed(socket: Socket): string {
    const requestId = story.newId()
    events.emit('connection_refused', {
      requestId,
      reason: 'handshake',
      source: socket.remoteAddress ?? null,
    })
    return requestId
  }

  /** One too many, and the one that had the most time to read its answer goes. */
  function turnAway(socket: Socket, { reason, error }: NoPlace, answers: boolean): void {
    const requestId = story.newId()
    events.emit('connection_refused', { requestId, reason, source: socket.remoteAddress ?? null })
    if (!answers) return void socket.destroy()
    turnedAway.add(socket)
    socket.once('close', () => turnedAway.delete(socket))
    refuseSocket(socket, error, requestId)
    const [oldest] = turnedAway
    if (turnedAway.size > maxTurnedAway) oldest?.destroy()
  }

  /** What it says that was turned away is dropped: node:http parses it all the same. */
  function hears(socket: Socket): boolean {
    const place = places.get(socket)
    if (place) place.headIsWhole()
    else socket.resume()
    return place !== undefined
  }

  /** After a stall of ours timers run before sockets are read, so a head that came in time may be unread. */
  function unlessHeadIsThere(socket: Socket, late: () => void): void {
    const heads = places.get(socket)?.heads
    setImmediate(() => {
      if (!socket.destroyed && places.get(socket)?.heads === heads) late()
    })
  }

  function hand(road: SocketRoad, req: IncomingMessage, socket: Socket, head: Buffer): void {
    if (hears(socket)) afterAnswers(socket, () => void road(req, socket, head))
  }

  function onRequest(req: IncomingMessage, res: ServerResponse): void {
    if (!hears(req.socket)) return
    if (leaving) res.shouldKeepAlive = false
    const isOwn = req.url?.startsWith('/') || req.url === '*'
    const road = isOwn ? jobApi : forward
    turns.take(
      req,
      res,
      () => void road(req, res),
      () => {
        const error = tooManyWait()
        // What came behind it has no answer, and would keep those of all that comes later.
        res.shouldKeepAlive = false
        refuseResponse(req, res, error, story.refusedUnread(error))
      },
    )
  }

  /**
   * What the kernel has taken for us already would be reset with the listener. libuv takes one connection in a turn of the
   * event loop (1.52), and the first turn here may have looked before.
   */
  async function takeQueued(): Promise<void> {
    for (let turn = 0, empty = 0; empty < 2 && turn < maxQueued; turn++) {
      const before = taken
      await new Promise((resolve) => setImmediate(resolve))
      empty = taken === before ? empty + 1 : 0
    }
  }

  return {
    admission,

    /** @throws the listen error, such as EADDRINUSE */
    listen({ host, port }: { host: string; port: number }): Promise<AddressInfo> {
      return new Promise((resolve, reject) => {
        server.once('error', reject)
        server.listen({ host, port }, () => {
          server.off('error', reject)
          resolve(server.address() as AddressInfo)
        })
      })
    },

    /** Gives a connection back to the HTTP parser, for the next request on it. */
    keepReading(socket: Socket): void {
      server.emit(readable, socket)
      socket.resume()
    },

    /** For new connections; with `tls`, before it listens. */
    useCertificate(context: SecureContextOptions): void {
      tlsServer?.setSecureContext(context)
    },

    get connections(): number {
      return sockets.size
    },

    /** From here on each answer is the last of its connection, so that clients come back elsewhere. */
    leave(): void {
      leaving = true
    },

    /**
     * No new connections; idle ones are closed, the others end with their request or tunnel.
     * Resolves when none is left, or when the signal aborts.
     */
    async stopAccepting(deadline: AbortSignal): Promise<void> {
      await takeQueued()
      server.close()
      while (sockets.size > 0 && !deadline.aborted) {
        server.closeIdleConnections()
        await delay(50, undefined, { signal: deadline }).catch(() => undefined)
      }
    },

    /** Tunnels too: node:http does not count them among its connections any more. */
    destroyAll(): void {
      for (const socket of sockets) reset(socket)
    },
  }

  function onClientError(error: NodeJS.ErrnoException, socket: Socket): void {
    if (!hears(socket)) return
    // One answer: the parser calls again for all that still comes, and that is dropped.
    places.delete(socket)
    if (error.code === 'ECONNRESET') return void socket.destroy()
    const failure = clientError(error)
    afterAnswers(socket, () => refuseSocket(socket, failure, story.refusedUnread(failure)))
  }
}

/**
 * The parser is ahead of the answers: one that is written at once, or a tunnel, would be taken for a part of them.
 * Where it is the body of such a request that broke, none of them is to be had.
 */
function afterAnswers(socket: Socket, next: () => void): void {
  const answer = (socket as Socket & { _httpMessage?: ServerResponse | null })._httpMessage
  if (answer == null) return void (socket.writable && next())
  if (!answer.req.complete) return void socket.destroy()
  // The parser's own listener leaves with it when it hands a CONNECT over.
  const drain = () => answer.emit('drain')
  socket.on('drain', drain)
  answer.once('close', () => {
    socket.off('drain', drain)
    afterAnswers(socket, next)
  })
}

function clientError(error: NodeJS.ErrnoException): GatewayError {
  if (error.code === 'HPE_HEADER_OVERFLOW')
    return headError('head_too_large', 'The request head is too long.')
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return headError('head_too_slow', 'The request head did not arrive in time.')
  return new GatewayError(
    'bad_request',
    { detail: `This is not an HTTP/1.1 request (${error.code ?? 'unknown'}).` },
    { cause: error },
  )
}

function headError(reason: HeadReason, detail: string): GatewayError {
  return new GatewayError('bad_request', { detail, reason })
}

function tooManyWait(): GatewayError {
  return new GatewayError('rate_limited', {
    detail: `More than ${maxWaiting} requests wait on this connection; send fewer before their answers are there.`,
  })
}

function sourceRefused() {
  const error = new GatewayError('proxy_auth_required', {
    detail: 'Connections from this address are not taken. Configure gateway.tokens or gateway.allowSources.',
  })
  return { reason: 'address' as const, error }
}
