// The story of a CONNECT: read, open the tunnel (pin and dial), reply, relay, record.

import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { GatewayError } from '../errors.ts'
import type { Identity } from '../routing/job.ts'
import { parseAuthority } from '../routing/target.ts'
import { holdEarly } from './early.ts'
import { keepsConnection } from './head.ts'
import type { RequestStory } from './request.ts'
import { refuseSocket } from './refuse.ts'
import { relay } from './relay.ts'
import { errorBytes, establishedReply } from './reply.ts'

type Parts = {
  readonly story: RequestStory
  /** Throws GatewayError for a head that must not go on. */
  readonly readIdentity: (req: IncomingMessage) => Identity
  readonly earlyBytes: number
  /** Gives a connection back to the HTTP parser, for the next request on it. */
  readonly keepReading: (socket: Socket) => void
}

export function makeConnect({ story, readIdentity, earlyBytes, keepReading }: Parts) {
  return async (req: IncomingMessage, client: Socket, head: Buffer): Promise<void> => {
    const request = story.begin('connect')
    const gone = new AbortController()
    const early = holdEarly(client, head, earlyBytes, () => gone.abort())
    try {
      Object.assign(request, readIdentity(req))
      request.target = parseAuthority(req.url ?? '')
      const tunnel = await story.open(request, gone.signal)
      const fromClient = early.take()
      client.write(establishedReply({ upstreamId: tunnel.upstream.id, egressIp: tunnel.upstream.egressIp }))
      story.carry(request, tunnel, relay(client, tunnel.socket, fromClient))
    } catch (error) {
      const fromClient = early.take()
      const failure = story.refused(request, error, gone.signal)
      if (failure === null) client.destroy()
      else if (failure.code === 'proxy_auth_required' && goesOn(fromClient)) challenge(failure)
      else refuseSocket(client, failure, request.requestId)
    }

    function goesOn(fromClient: readonly Buffer[]): boolean {
      return keepsConnection(req) && fromClient.length === 0 && !client.readableEnded
    }

    // git, Chromium and Java send credentials only on the connection that was challenged (facts, section 7).
    function challenge(failure: GatewayError): void {
      client.write(errorBytes(failure, { keepAlive: true, requestId: request.requestId }))
      keepReading(client)
    }
  }
}
