// From a job and a target to a tunnel that stands: resolve, admit, pin, dial, settle. The same for every road.
// Nothing costs a turn of a ring before the target is known to be allowed and to resolve.

import type { Socket } from 'node:net'
import { GatewayError, isGatewayError } from '../errors.ts'
import type { Events } from '../events.ts'
import type { KnownPin } from '../routing/known-pins.ts'
import type { Pinning } from '../routing/pin.ts'
import { formatTarget } from '../routing/target.ts'
import type { Job, Target, Upstream } from '../types.ts'
import type { ConnectFailures } from './connect-failures.ts'
import type { DialLimits } from './dial.ts'
import type { LaneTargets } from './lane-targets.ts'
import type { TargetWaits } from './target-waits.ts'
import type { UpstreamLoad } from './upstream-load.ts'

export type StandingTunnel = {
  readonly socket: Socket
  readonly upstream: Upstream
  readonly pin: KnownPin
}

type Parts = {
  readonly pinning: Pinning
  /** The addresses (or the name) to ask the upstream for; refuses what may not be reached. */
  readonly findTarget: (target: Target, job: Job, signal: AbortSignal) => Promise<readonly Target[]>
  readonly laneTargets: Pick<LaneTargets, 'afterPinning'>
  readonly dial: (upstream: Upstream, target: Target, limits: DialLimits) => Promise<Socket>
  readonly load: UpstreamLoad
  readonly waits: TargetWaits
  readonly failures: ConnectFailures
  readonly limits: { readonly connectTimeoutMs: number; readonly replyTimeoutMs: number }
  readonly credentialsOf: (upstream: Upstream) => string | null
  readonly events: Events
  readonly now: () => number
}

/** Dials of one request that may fail by the fault of their upstreams (design 7), and the time for all of them. */
const maxTries = 3
const triesBudgetMs = 10_000
/** A pin that keeps moving under our feet: each round a tunnel stood, and was dropped again. */
const maxSettles = 5
/** Addresses of one name that are tried through the same upstream (design 4). */
const maxAddresses = 3

/** @param admit  called once the target is known to be allowed; refuses where there is no room for another tunnel */
export type OpenTunnel = (
  job: Job,
  target: Target,
  signal: AbortSignal,
  admit?: () => void,
) => Promise<StandingTunnel>

/**
 * The function answers a tunnel that the client may be told of: its pin is held and will not move.
 * Let the pin go (`pinning.letGo`) once the socket is closed.
 * It throws GatewayError of any code but the head's, or the signal's reason once aborted.
 */
export function makeOpenTunnel(parts: Parts): OpenTunnel {
  const {
    pinning,
    findTarget,
    laneTargets,
    dial,
    load,
    waits,
    failures,
    limits,
    credentialsOf,
    events,
    now,
  } = parts

  async function openTunnel(
    job: Job,
    target: Target,
    signal: AbortSignal,
    admit: () => void = () => {},
  ): Promise<StandingTunnel> {
    const addresses = await whileThere(findTarget(target, job, signal), signal)
    const checkPinned = laneTargets.afterPinning(target)
    admit()
    const name = formatTarget(target)
    const startedMs = now()
    let tries = 0
    for (let settles = 0; settles < maxSettles;) {
      signal.throwIfAborted()
      const pin = await pinning.pinJob(job)
      checkPinned(pin.job)
      const upstream = pinning.upstreamOf(pin)
      try {
        const socket = await waits.during({ upstreamId: upstream.id, target: name, signal }, () =>
          dialUpstream(upstream, addresses, signal),
        )
        if (await settled(pin, upstream, socket, signal)) return { socket, upstream, pin }
        settles += 1
      } catch (error) {
        tries += 1
        const mayTry = tries < maxTries && now() - startedMs < triesBudgetMs
        if (!isBlamed(error) || !mayTry || !(await pinning.moveOn(pin, upstream.id))) throw error
      }
    }
    throw new GatewayError('overloaded', {
      detail: 'The pin of this job keeps moving. Try again.',
      job: job.id,
    })
  }

  async function settled(
    pin: KnownPin,
    upstream: Upstream,
    socket: Socket,
    signal: AbortSignal,
  ): Promise<boolean> {
    try {
      const stays = await pinning.settle(pin, upstream.id)
      signal.throwIfAborted()
      if (stays) pinning.hold(pin)
      else socket.destroy()
      return stays
    } catch (error) {
      socket.destroy()
      throw error
    }
  }

  async function dialUpstream(
    upstream: Upstream,
    addresses: readonly Target[],
    signal: AbortSignal,
  ): Promise<Socket> {
    const seat = load.take(upstream.id)
    try {
      const socket = await dialAddresses(upstream, addresses, signal)
      socket.once('close', seat.free)
      if (socket.destroyed) seat.free()
      failures.succeeded(upstream.id)
      return socket
    } catch (error) {
      seat.free()
      if (error instanceof GatewayError) judge(upstream, error)
      throw error
    }
  }

  /** One time budget for all addresses: each further one gets what is left of it. */
  async function dialAddresses(
    upstream: Upstream,
    addresses: readonly Target[],
    signal: AbortSignal,
  ): Promise<Socket> {
    const untilMs = now() + limits.connectTimeoutMs + limits.replyTimeoutMs
    const credentials = credentialsOf(upstream)
    for (const [index, address] of addresses.slice(0, maxAddresses).entries()) {
      const replyTimeoutMs = Math.min(limits.replyTimeoutMs, Math.max(1, untilMs - now()))
      try {
        return await dial(upstream, address, { ...limits, replyTimeoutMs, credentials, signal })
      } catch (error) {
        const isLast = index + 1 >= Math.min(addresses.length, maxAddresses)
        if (isLast || now() >= untilMs || !isGatewayError(error, 'target_failed')) throw error
      }
    }
    throw new Error('a target without addresses')
  }

  function judge(upstream: Upstream, error: GatewayError): void {
    const { blame, detail } = error.fields
    if (blame === 'connect') failures.failed(upstream.id)
    else if (error.code !== 'overloaded') failures.succeeded(upstream.id)
    if (blame) events.emit('upstream_blamed', { upstream: upstream.id, detail })
    else if (error.code === 'upstream_timeout') events.emit('probe_wanted', { upstream: upstream.id })
  }

  return openTunnel
}

/** Who leaves waits no longer; others may share what it waited for. */
function whileThere<T>(answer: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const leave = () => reject(signal.reason)
    if (signal.aborted) leave()
    signal.addEventListener('abort', leave, { once: true })
    answer.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave))
  })
}

function isBlamed(error: unknown): error is GatewayError {
  return error instanceof GatewayError && error.fields.blame !== undefined
}
