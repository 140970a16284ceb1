// How many CONNECTs of one upstream wait for one target. A Tinyproxy goes on dialling a silent target after we have left,
// with a thread of its own each time, so one dead bank would take all places of an upstream from the jobs of the others.
// It gets a part of them: who comes then waits here, which costs the upstream nothing, until one of those before was
// answered, or is refused as soon as one of them was not.

import { GatewayError, isGatewayError } from '../errors.ts'

export type TargetWaits = ReturnType<typeof makeTargetWaits>

/** Linux gives up a connect that nobody answers after 127 s (tcp_syn_retries); Tinyproxy 1.11 waits for that (T). */
const dialsOnMs = 130_000
const sweepMs = 10_000
/** Of an upstream's tunnels, that may wait for one target. */
const share = 1 / 4

type Line = {
  readonly upstreamId: string
  readonly target: string
  onWay: number
  /** As the last of those said that were waited for. */
  isSilent: boolean
  /** Until when the upstream may be at those that got no answer; the oldest first. */
  dialledOn: number[]
  readonly waiting: Set<{ readonly go: () => void; readonly refuse: (error: GatewayError) => void }>
}

export function makeTargetWaits(parts: {
  /** Of an upstream. */
  readonly maxTunnels: number
  /** Monotonic milliseconds. */
  readonly now: () => number
}) {
  const { now } = parts
  const lines = new Map<string, Line>()
  let sweptMs = -Infinity

  function lineOf(upstreamId: string, target: string): Line {
    const key = keyOf(upstreamId, target)
    let line = lines.get(key)
    if (!line) {
      line = { upstreamId, target, onWay: 0, isSilent: false, dialledOn: [], waiting: new Set() }
      lines.set(key, line)
    }
    return line
  }

  /** One is always tried: else nobody would see that the target answers again. */
  function hasRoom(line: Line): boolean {
    forget(line)
    return line.onWay === 0 || line.onWay + line.dialledOn.length < parts.maxTunnels * share
  }

  function forget({ dialledOn }: Line): void {
    const nowMs = now()
    while (dialledOn.length > 0 && dialledOn[0]! <= nowMs) dialledOn.shift()
  }

  async function ask<T>(line: Line, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    try {
      const answer = await work()
      answered(line)
      return answer
    } catch (error) {
      if (signal.aborted) line.dialledOn.push(now() + dialsOnMs)
      else if (isGatewayError(error, 'target_failed')) answered(line)
      else if (isSilence(error)) {
        line.isSilent = true
        line.dialledOn.push(now() + dialsOnMs)
      }
      throw error
    } finally {
      line.onWay -= 1
      letIn(line)
    }
  }

  function letIn(line: Line): void {
    for (const next of line.waiting) {
      if (line.isSilent) next.refuse(refusal(line))
      else if (hasRoom(line)) next.go()
      else break
    }
    if (isEmpty(line)) lines.delete(keyOf(line.upstreamId, line.target))
    else if (line.dialledOn.length > 0) sweep()
  }

  /** Those that nobody asks for any more. */
  function sweep(): void {
    if (now() - sweptMs < sweepMs) return
    sweptMs = now()
    for (const [key, line] of lines) {
      forget(line)
      if (isEmpty(line)) lines.delete(key)
    }
  }

  function queue(line: Line, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = () => end(() => reject(signal.reason))
      const place = {
        go: () => end(() => resolve(void (line.onWay += 1))),
        refuse: (error: GatewayError) => end(() => reject(error)),
      }
      function end(then: () => void): void {
        line.waiting.delete(place)
        signal.removeEventListener('abort', leave)
        then()
      }
      signal.addEventListener('abort', leave, { once: true })
      line.waiting.add(place)
    })
  }

  return {
    /**
     * Asks the upstream once it may be asked, and learns from the outcome.
     * @param target  as the client named it
     * @throws GatewayError overloaded, where the target is silent there or too many wait; the signal's reason once aborted;
     *   what `work` throws
     */
    async during<T>({ upstreamId, target, signal }: Asked, work: () => Promise<T>): Promise<T> {
      signal.throwIfAborted()
      const line = lineOf(upstreamId, target)
      if (hasRoom(line)) line.onWay += 1
      else if (line.isSilent || line.waiting.size >= parts.maxTunnels) throw refusal(line)
      else await queue(line, signal)
      return ask(line, signal, work)
    },

    /** Pairs of an upstream and a target that are counted now. */
    get counted(): number {
      return lines.size
    },
  }
}

type Asked = { readonly upstreamId: string; readonly target: string; readonly signal: AbortSignal }

const keyOf = (upstreamId: string, target: string) => `${upstreamId} ${target}`

function answered(line: Line): void {
  line.isSilent = false
  line.dialledOn = []
}

/** Of a target: a connect that is not taken is the upstream's own. */
function isSilence(error: unknown): boolean {
  return isGatewayError(error, 'upstream_timeout') && error.fields.blame === undefined
}

function isEmpty({ onWay, dialledOn, waiting }: Line): boolean {
  return onWay === 0 && dialledOn.length === 0 && waiting.size === 0
}

function refusal({ upstreamId, target, onWay, dialledOn }: Line): GatewayError {
  return new GatewayError('overloaded', {
    detail: `${onWay + dialledOn.length} requests wait at the upstream ${upstreamId} for ${target}, which does not answer. Try again later.`,
    upstream: upstreamId,
  })
}
