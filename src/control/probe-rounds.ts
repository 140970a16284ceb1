// When which upstream is probed, and what its probes saw. Each has its turn once in an interval, evenly spread, so that
// thousands are not probed in one second; a turn that finds all places taken waits for the next free one.

import type { Events } from '../events.ts'
import { noHistory, remember, type History } from './ejection.ts'
import type { Probe } from './probe.ts'
import { isSameRoad, type Probed } from './probe-tunnel.ts'

type Parts = {
  readonly probe: Probe
  /** Each upstream once in this time. Read at each use: a reload may change it. */
  readonly everyMs: number
  /** Probes at once. */
  readonly concurrency: number
  readonly events: Events
  /** Monotonic. */
  readonly now: () => number
}

type Round = {
  readonly upstream: Probed
  history: History
  /** Its next turn, at the same place of each interval. */
  turnMs: number
  /** Somebody wants to know sooner. */
  wantedMs: number
  begunMs: number
  /** Of the probe under way. */
  over: AbortController | null
}

/** A wanted probe comes no sooner after the last one than this part of the interval: many jobs may ask at once. */
const wantedShare = 1 / 4

export function makeProbeRounds(parts: Parts) {
  const { probe, concurrency, events, now } = parts
  const rounds = new Map<string, Round>()
  const running = new Set<Promise<void>>()
  /** Due, the longest due last. */
  let steady: Round[] = []
  let suspects: Round[] = []
  let suspectsRunning = 0
  let isStopped = false

  /** Those that have left the fleet, or are reached by another road now, are forgotten. */
  function follow(upstreams: readonly Probed[]): void {
    const { everyMs } = parts
    const byId = new Map(upstreams.map((upstream) => [upstream.id, upstream]))
    for (const [id, round] of rounds) {
      const standing = byId.get(id)
      if (standing && isSameRoad(standing, round.upstream)) {
        // Where the interval is shorter now, its place is within that one.
        if (round.turnMs > now() + everyMs) round.turnMs = now() + ((round.turnMs - now()) % everyMs)
        continue
      }
      round.over?.abort()
      rounds.delete(id)
    }
    const fresh = upstreams.filter(({ id }) => !rounds.has(id))
    for (const [index, upstream] of fresh.entries()) {
      const turnMs = now() + (everyMs * index) / fresh.length
      const none = { history: noHistory, wantedMs: Infinity, begunMs: -Infinity, over: null }
      rounds.set(upstream.id, { upstream, turnMs, ...none })
    }
  }

  function line(): void {
    const nowMs = now()
    const due = [...rounds.values()].filter((round) => !round.over && dueMs(round) <= nowMs)
    due.sort((a, b) => dueMs(b) - dueMs(a))
    steady = due.filter(({ history }) => history.bad === 0)
    suspects = due.filter(({ history }) => history.bad > 0)
  }

  function fill(): void {
    while (!isStopped && running.size < concurrency) {
      const round = next()
      if (!round) return
      begin(round)
    }
  }

  /** Those whose last probe was bad may take their whole time, so half of the places are kept from them. */
  function next(): Round | undefined {
    const suspect = suspectsRunning < Math.ceil(concurrency / 2) ? suspects.pop() : undefined
    return suspect ?? steady.pop()
  }

  function begin(round: Round): void {
    const { everyMs } = parts
    const nowMs = now()
    const isSuspect = round.history.bad > 0
    const over = new AbortController()
    Object.assign(round, { begunMs: nowMs, wantedMs: Infinity, over })
    // However late, its place in the interval stays; one that is still to come stays where it is.
    round.turnMs += everyMs * (1 + Math.floor((nowMs - round.turnMs) / everyMs))
    if (isSuspect) suspectsRunning += 1
    const work = probe(round.upstream, over.signal)
      .then(
        (result) => void (round.history = remember(round.history, result)),
        (error: unknown) => {
          if (!over.signal.aborted)
            events.emit('pass_failed', { pass: `probe of ${round.upstream.id}`, error })
        },
      )
      .then(() => {
        running.delete(work)
        if (isSuspect) suspectsRunning -= 1
        round.over = null
        fill()
      })
    running.add(work)
  }

  async function idle(): Promise<void> {
    while (running.size > 0) await Promise.all(running)
  }

  return {
    /** Begins the probes of those whose turn has come; waits for none. */
    begin(upstreams: readonly Probed[]): void {
      follow(upstreams)
      line()
      fill()
    },

    /** As soon as can be. */
    want(id: string): void {
      const round = rounds.get(id)
      if (round) round.wantedMs = Math.max(now(), round.begunMs + parts.everyMs * wantedShare)
    },

    historyOf: (id: string): History => rounds.get(id)?.history ?? noHistory,

    /** Resolves when no probe is under way. */
    idle,

    async stop(): Promise<void> {
      isStopped = true
      for (const { over } of rounds.values()) over?.abort()
      await idle()
    },
  }
}

function dueMs({ turnMs, wantedMs }: Round): number {
  return Math.min(turnMs, wantedMs)
}
