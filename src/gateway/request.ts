// What every road of a request has in common: its id and its times, the tunnel and its end, and the facts
// that are published about it. Exactly one of `tunnel_closed` and `request_refused` ends a story.

import { GatewayError } from '../errors.ts'
import type { Events, Facts } from '../events.ts'
import { pinLost } from '../routing/pin-refusals.ts'
import type { Pinning } from '../routing/pin.ts'
import type { Job, Target } from '../types.ts'
import { memoryShort, type HeapGuard } from './heap-guard.ts'
import type { OpenTunnel, StandingTunnel } from './open-tunnel.ts'
import { asGatewayError } from './refuse.ts'
import type { Relay } from './relay.ts'
import type { TunnelLimits, TunnelPlace } from './tunnel-limits.ts'
import type { Tunnels } from './tunnels.ts'

type Road = Facts['tunnel_opened'][0]['road']

/** `job`, `token`, `tokenKey` and `target` are filled in as they are read. */
export type Request = {
  readonly requestId: string
  readonly road: Road
  readonly startedMs: number
  job: Job | null
  /** The name of the static token that was given, or the id of the key that signed the job token. */
  token: string | null
  tokenKey: string | null
  target: Target | null
  /** From where its target is known to be allowed until its tunnel has ended. */
  place: TunnelPlace | null
}

export type RequestStory = ReturnType<typeof makeRequestStory>

type Parts = {
  readonly gatewayId: string
  readonly openTunnel: OpenTunnel
  readonly tunnels: Tunnels
  readonly limits: TunnelLimits
  readonly pinning: Pinning
  /** Whether an upstream is in the fleet. */
  readonly isThere: (upstreamId: string) => boolean
  readonly memory: Pick<HeapGuard, 'isShort'>
  readonly events: Events
  readonly now: () => number
}

export function makeRequestStory({
  gatewayId,
  openTunnel,
  tunnels,
  limits,
  pinning,
  isThere,
  memory,
  events,
  now,
}: Parts) {
  /** What tells a gateway from others stands at the end of its id; before it, the name of the machine, which is not for clients. */
  const prefix = gatewayId.slice(gatewayId.lastIndexOf('-') + 1)
  let requests = 0

  function newId(): string {
    requests += 1
    return `${prefix}-${requests}`
  }

  function publishRefusal(
    request: Pick<Request, 'requestId' | 'job' | 'token' | 'tokenKey' | 'target'>,
    error: GatewayError,
    status = error.status,
  ): void {
    const { requestId, job, token, tokenKey, target } = request
    const { detail, upstream = null } = error.fields
    events.emit('request_refused', {
      requestId,
      code: error.code,
      status,
      detail,
      job,
      token,
      tokenKey,
      target,
      upstream,
    })
  }

  function facts({ requestId, job, token, tokenKey, target }: Request, tunnel: StandingTunnel) {
    return { requestId, job: job!, token, tokenKey, target: target!, upstream: tunnel.upstream.id }
  }

  return {
    newId,

    /** Of one whose head was not read: nothing is known of it but that it came. @returns its id, for the answer */
    refusedUnread(error: GatewayError): string {
      const requestId = newId()
      publishRefusal({ requestId, job: null, token: null, tokenKey: null, target: null }, error)
      return requestId
    },

    begin(road: Road): Request {
      return {
        requestId: newId(),
        road,
        startedMs: now(),
        job: null,
        token: null,
        tokenKey: null,
        target: null,
        place: null,
      }
    },

    /** @throws GatewayError; the signal's reason once the client has gone */
    async open(request: Request, signal: AbortSignal): Promise<StandingTunnel> {
      if (memory.isShort) throw memoryShort()
      const { job, token, target } = request
      try {
        return await openTunnel(job!, target!, signal, () => {
          request.place = limits.take({ job: job!, token })
        })
      } catch (error) {
        request.place?.free()
        throw error
      }
    },

    /** For a road on which the client is told later. @throws GatewayError pin_lost where its upstream has left meanwhile */
    lookAgain({ pin, upstream }: StandingTunnel): void {
      if (!isThere(upstream.id)) throw pinLost(pin.job, upstream.id)
    },

    /** Counts the tunnel until its relay has ended, and lets its pin go then. */
    carry(request: Request, tunnel: StandingTunnel, relay: Relay): void {
      const openedMs = now()
      const open = {
        requestId: request.requestId,
        job: request.job!,
        token: request.token,
        target: request.target!,
        upstreamId: tunnel.upstream.id,
        openedMs,
        relay,
      }
      tunnels.add(open)
      const setupMs = toMicros(openedMs - request.startedMs)
      events.emit('tunnel_opened', {
        ...facts(request, tunnel),
        road: request.road,
        egressIp: tunnel.upstream.egressIp,
        setupMs,
      })
      void relay.ended.then((end) => {
        tunnels.remove(open)
        request.place?.free()
        pinning.letGo(tunnel.pin)
        events.emit('tunnel_closed', { ...facts(request, tunnel), ...end, ms: toMicros(now() - openedMs) })
      })
      // It may have left after the tunnel was opened, and before anybody could close it.
      if (!isThere(tunnel.upstream.id)) relay.close('drained')
    },

    /** @returns what to tell the client; null where it has left */
    refused(request: Request, error: unknown, signal: AbortSignal): GatewayError | null {
      const left = signal.aborted
      const failure = left
        ? new GatewayError(
            'bad_request',
            { detail: 'The client left before it had an answer.' },
            { cause: error },
          )
        : asGatewayError(error)
      if (!left && failure !== error) events.emit('pass_failed', { pass: 'request', error })
      publishRefusal(request, failure, left ? 499 : failure.status)
      return left ? null : failure
    },
  }
}

/** Milliseconds with three places: what a person reads in a log line. */
function toMicros(ms: number): number {
  return Math.round(ms * 1000) / 1000
}
