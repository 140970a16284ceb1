// The story of an absolute-form request with `Upgrade` (WebSocket). The tunnel carries the request; once the
// target has said 101, the two connections are joined like those of a CONNECT. Before that not one byte
// of the client goes on, and without a 101 its connection ends with the answer (hostile inputs E17).
//
// node:http and our own relay, not http-proxy's `ws`: that one ends a client in good order when the target
// was reset (http-proxy-3 2.0.1, ws-incoming.ts), and a reset is never turned into an orderly end here.

import { request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { startDeadline } from '../deadline.ts'
import { GatewayError } from '../errors.ts'
import type { Identity } from '../routing/job.ts'
import { holdEarly, type Early } from './early.ts'
import { answerFault, brokenAnswer, limitInterim, switchFault } from './answer-fault.ts'
import { watchExchange } from './exchange.ts'
import { requestHeaders, responseHeaders } from './forward-headers.ts'
import { hasBody, headerValues } from './head.ts'
import type { StandingTunnel } from './open-tunnel.ts'
import { httpAuthority, readPlainHead } from './plain-head.ts'
import { relay } from './relay.ts'
import type { Request, RequestStory } from './request.ts'
import { refuseSocket } from './refuse.ts'
import { reset } from './reset.ts'
import { TunnelAgent } from './tunnel-agent.ts'
import { viaEntry } from './via.ts'

type Parts = {
  readonly story: RequestStory
  readonly readIdentity: (req: IncomingMessage) => Identity
  readonly earlyBytes: number
  /** Read at each use: a reload may change it. */
  readonly limits: { readonly replyTimeoutMs: number }
  /** Our name in `Via`. */
  readonly via: string | null
}

export function makeUpgrade({ story, readIdentity, earlyBytes, limits, via }: Parts) {
  return async (req: IncomingMessage, client: Socket, head: Buffer): Promise<void> => {
    const request = story.begin('upgrade')
    const gone = new AbortController()
    const early = holdEarly(client, head, earlyBytes, () => gone.abort())
    try {
      const { path } = Object.assign(request, readUpgrade(req, readIdentity))
      const tunnel = await story.open(request, gone.signal)
      await exchange(req, client, tunnel, { request, path, early, signal: gone.signal })
    } catch (error) {
      early.take()
      const failure = story.refused(request, error, gone.signal)
      if (failure) refuseSocket(client, failure, request.requestId)
      else client.destroy()
    }
  }

  /**
   * Resolves once the client has the head of an answer; from then on the relay owns both sockets. A tunnel that
   * stood is recorded as one, whatever came of it, so a failure here is told to the client only.
   */
  async function exchange(
    req: IncomingMessage,
    client: Socket,
    tunnel: StandingTunnel,
    { request, path, early, signal }: { request: Request; path: string; early: Early; signal: AbortSignal },
  ): Promise<void> {
    const plain = watchExchange(tunnel.socket)
    const outgoing = sendUpgrade(req, tunnel.socket, request, { path, via })
    try {
      const answer = await firstAnswer(outgoing, { signal, timeoutMs: limits.replyTimeoutMs })
      const fault =
        answer.socket === null
          ? answerFault(answer.message)
          : switchFault(answer.message, asksForWebSocket(req) ? 'websocket' : null)
      if (fault) throw fault
      story.lookAgain(tunnel)
      const fromClient = early.take()
      // As node:http read it: every byte one character.
      client.write(answerHead(answer.message, via), 'latin1')
      if (answer.socket === null) {
        story.carry(request, tunnel, plain)
        return pipeAnswer(answer.message, client)
      }
      if (answer.head.length > 0) answer.socket.unshift(answer.head)
      story.carry(request, tunnel, relay(client, answer.socket, fromClient))
    } catch (error) {
      early.take()
      tunnel.socket.destroy()
      story.carry(request, tunnel, plain)
      if (signal.aborted) client.destroy()
      else refuseSocket(client, brokenUpgrade(error), request.requestId)
    }
  }
}

function readUpgrade(req: IncomingMessage, readIdentity: (req: IncomingMessage) => Identity) {
  const plain = { ...readIdentity(req), ...readPlainHead(req) }
  if (!hasBody(req) && plain.maxForwards === null) return plain
  throw new GatewayError('bad_request', {
    detail: 'A request with Upgrade must not have a body, nor Max-Forwards.',
    reason: 'not_implemented',
  })
}

/** Only WebSocket is asked for; a client that offers another protocol (curl and h2c) is answered without. */
function sendUpgrade(
  req: IncomingMessage,
  socket: Socket,
  { target }: Request,
  { path, via }: { path: string; via: string | null },
): ClientRequest {
  const headers = requestHeaders(req, httpAuthority(target!), { keepFraming: false, via })
  if (asksForWebSocket(req)) {
    headers['Connection'] = 'Upgrade'
    headers['Upgrade'] = 'websocket'
  }
  const outgoing = httpRequest({
    method: req.method ?? 'GET',
    path,
    headers,
    agent: new TunnelAgent(socket),
    setHost: false,
  })
  limitInterim(outgoing)
  outgoing.end()
  return outgoing
}

/** HTTP/1.0 knows no 101 (RFC 9110 section 7.8). */
function asksForWebSocket(req: IncomingMessage): boolean {
  if (req.httpVersion === '1.0') return false
  return headerValues(req, 'upgrade').some((protocol) => protocol.trim().toLowerCase() === 'websocket')
}

type Answer = { readonly message: IncomingMessage; readonly socket: Socket | null; readonly head: Buffer }

function firstAnswer(
  outgoing: ClientRequest,
  { signal, timeoutMs }: { readonly signal: AbortSignal; readonly timeoutMs: number },
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const onAbort = () => outgoing.destroy(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    const cancel = startDeadline(timeoutMs, () => outgoing.destroy(answerTooLate()))
    const settle = (answer: Answer) => {
      cancel()
      signal.removeEventListener('abort', onAbort)
      resolve(answer)
    }
    outgoing.on('error', (error) => {
      cancel()
      reject(error)
    })
    outgoing.once('upgrade', (message, socket, head) => settle({ message, socket: socket as Socket, head }))
    outgoing.once('response', (message) => settle({ message, socket: null, head: Buffer.alloc(0) }))
  })
}

function answerHead(message: IncomingMessage, via: string | null): string {
  const lines = responseHeaders(message.rawHeaders)
  if (via !== null) lines.push(['Via', viaEntry(message.httpVersion, via)])
  if (message.statusCode === 101)
    lines.push(['Connection', 'Upgrade'], ['Upgrade', message.headers.upgrade ?? 'websocket'])
  else lines.push(['Connection', 'close'])
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  return `HTTP/1.1 ${message.statusCode} ${message.statusMessage ?? ''}\r\n${head}\r\n`
}

/** The client asked for one thing only on this connection, so the end of the answer is its end. */
function pipeAnswer(message: IncomingMessage, client: Socket): void {
  message.once('error', () => reset(client))
  client.once('close', () => message.destroy())
  client.resume()
  message.pipe(client)
}

function brokenUpgrade(cause: unknown): GatewayError {
  if (cause instanceof GatewayError) return cause
  return brokenAnswer(cause)
}

function answerTooLate(): GatewayError {
  return new GatewayError('upstream_timeout', { detail: 'The target did not answer the upgrade in time.' })
}
