// The listener over TLS: node:https, and what belongs to a TCP connection and to the TLS on it brought together.
//
//   TCP connection ──► takeIn ──► handshake ──► secured ──► HTTP, as on the plain listener
//
// A failed handshake is no line in the log by itself: whoever floods us would flood the log too.

import type { ServerOptions } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { startDeadline } from '../deadline.ts'
import { GatewayError } from '../errors.ts'
import { errorBytes } from './reply.ts'
import { carriedBy } from './reset.ts'

type Parts = {
  readonly http: ServerOptions
  /** All of it. */
  readonly handshakeMs: number
  /** Whether clients have to show one that our authorities signed. */
  readonly clientCertificates: boolean
  /** Called with each TCP connection; false, and destroyed, where it may not go on. */
  readonly takeIn: (tcp: Socket) => boolean
  /** Called once the handshake is done, before a byte of HTTP is read. */
  readonly secured: (socket: Socket, tcp: Socket) => void
  /** The handshake has failed. Not called for who just left. @returns an id for the answer, where there is one */
  readonly failed: (socket: Socket) => string
}

/** What OpenSSL calls HTTP where TLS should be. */
const plainHttp = new Set(['ERR_SSL_HTTP_REQUEST', 'ERR_SSL_HTTPS_PROXY_REQUEST'])

/** OpenSSL waits for the head of a record, whatever its beginning is; a SOCKS greeting is shorter. TLS clients send it whole. */
const recordHeadBytes = 5
const recordHeadMs = 800
/** The longest that node:timers know. */
const noTimeoutMs = 2 ** 31 - 1

/** It needs its certificate (`setSecureContext`) before it listens. */
export function makeTlsListener({
  http,
  handshakeMs,
  clientCertificates,
  takeIn,
  secured,
  failed,
}: Parts): Server {
  /** In their handshake. Node tells only the TLS socket when it is done; both have the other side's address and port. */
  const inHandshake = new Map<string, { readonly tcp: Socket; readonly cancel: () => void }>()
  const known = new WeakSet<Socket>()
  const server = createServer({
    ...http,
    // Who ends in the handshake has left, and would be waited for otherwise.
    allowHalfOpen: false,
    // Ours is for all of it, and counts no lag of ours; this one begins anew with each byte.
    handshakeTimeout: noTimeoutMs,
    requestCert: clientCertificates,
    rejectUnauthorized: clientCertificates,
  })

  server.on('connection', (tcp: Socket) => {
    const name = nameOf(tcp)
    if (!takeIn(tcp)) return
    const giveUp = () => {
      failed(tcp)
      tcp.destroy()
    }
    const limits = [
      startDeadline(handshakeMs, giveUp),
      startDeadline(recordHeadMs, () => {
        if (tcp.bytesRead > 0 && tcp.bytesRead < recordHeadBytes) giveUp()
      }),
    ]
    const cancel = () => limits.forEach((cancelOne) => cancelOne())
    inHandshake.set(name, { tcp, cancel })
    tcp.once('close', () => {
      cancel()
      if (inHandshake.get(name)?.tcp === tcp) inHandshake.delete(name)
    })
  })

  // Before node:http reads from it.
  server.prependListener('secureConnection', (socket: TLSSocket) => {
    // A challenged CONNECT is handed back here, so a socket may come twice.
    if (known.has(socket)) return
    known.add(socket)
    socket.allowHalfOpen = true
    // A record that cannot be read is an error that does not close the socket by itself.
    socket.on('error', () => socket.destroy())
    const name = nameOf(socket)
    const { tcp, cancel } = inHandshake.get(name) ?? {}
    // Gone already: then it has no address either.
    if (tcp === undefined) return void socket.destroy()
    cancel?.()
    inHandshake.delete(name)
    carriedBy(socket, tcp)
    secured(socket, tcp)
  })

  server.on('tlsClientError', (error: NodeJS.ErrnoException, socket: TLSSocket) => {
    // Node says the same of who leaves and of who showed a certificate that is not good enough.
    if (error.code === 'ECONNRESET' && !socket.authorizationError) return void socket.destroy()
    const requestId = failed(socket)
    if (plainHttp.has(error.code ?? '')) inHandshake.get(nameOf(socket))?.tcp.write(speakTls(requestId))
    socket.destroy()
  })

  return server
}

function nameOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`
}

function speakTls(requestId: string): Buffer {
  const error = new GatewayError('bad_request', {
    detail: 'This port speaks TLS: the proxy URL begins with https:// here.',
  })
  return errorBytes(error, { keepAlive: false, requestId })
}
