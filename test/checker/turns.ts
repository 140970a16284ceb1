// Invariant 4: between two turns of an upstream in a lane, each one eligible throughout came up once.
//
// Told in rounds: each turn raises an upstream's round by one, who enters does so at the tail, with the highest round
// there is; then no two may ever be more than one apart, over all versions.
//
// One Redis gave the turns one by one, but gateways tell of them in the order of their own clocks: each line may be late by
// up to `tieMs`. So as many of other gateways as are that close to one may have come before or after it, and by so many
// more may the rounds seem apart. What is lost that way in the single case adds up, and is found, where turns are unfair.
//
// Whose turns are not all told (it was refused as failing, or a reply was lost) has no round until it comes up again.

import { laneName } from '../../src/lane.ts'
import type { History } from './history.ts'
import type { OpenJob } from './job.ts'
import type { GatewayLine, Settings } from './records.ts'
import type { Findings } from './verdict.ts'

type Turn = { readonly line: GatewayLine; readonly upstream: string; readonly apart: number }

type Ring = {
  version: number
  /** Null: not known. */
  rounds: Map<string, number | null>
  /** Entered and not come up yet. Whether a last turn of the old ring came before or after that is not told, so they may wait for one more. */
  fresh: Set<string>
  /** The lowest round, and how many have it; null where that must be looked for again. */
  lowest: { round: number; count: number } | null
  /** So close to now that others may still come that belong before them. */
  recent: Turn[]
  waiting: Turn[]
}

export type Turns = ReturnType<typeof makeTurns>

export function makeTurns({
  settings,
  history,
  findings,
}: {
  readonly settings: Settings
  readonly history: History
  readonly findings: Findings
}) {
  const { tieMs } = settings
  const rings = new Map<string, Ring>()
  const aside = new Map<string, number>()
  let isAway = false

  function ringOf(job: OpenJob): Ring {
    const name = laneName(job.lane)
    let ring = rings.get(name)
    if (!ring) {
      const none = { version: -1, rounds: new Map(), fresh: new Set<string>(), lowest: null }
      rings.set(name, (ring = { ...none, recent: [], waiting: [] }))
    }
    return ring
  }

  /** @returns false where nobody knows who was eligible */
  function toVersion(ring: Ring, job: OpenJob, version: number): boolean {
    if (version <= ring.version) return true
    const eligible = history.eligible(version, job.lane)
    if (!eligible) return false
    const isFirst = ring.version === -1
    const rounds = new Map<string, number | null>()
    for (const [id, round] of ring.rounds) if (eligible.has(id)) rounds.set(id, round)
    const tail = highest(ring.rounds)
    for (const id of ring.fresh) if (!eligible.has(id)) ring.fresh.delete(id)
    for (const id of eligible) {
      if (rounds.has(id)) continue
      rounds.set(id, isFirst ? 0 : tail)
      if (!isFirst) ring.fresh.add(id)
    }
    Object.assign(ring, { rounds, version, lowest: null })
    return true
  }

  function take(ring: Ring, upstream: string, line: GatewayLine): void {
    const { rounds, fresh } = ring
    const round = rounds.get(upstream)
    if (round === undefined) return
    const isAside = (aside.get(upstream) ?? -Infinity) >= line.atMs
    // Where it was is not known; now it is at the tail, as the last one to have had a turn.
    if (round === null) {
      set(ring, upstream, isAside ? null : highest(rounds))
      return
    }
    set(ring, upstream, round + 1)
    const turn = { line, upstream, apart: round + 1 - lowest(ring) }
    if (fresh.delete(upstream)) set(ring, upstream, Math.max(round + 1, highest(rounds)))
    ring.recent.push(turn)
    ring.waiting.push(turn)
    settle(ring, line.atMs)
  }

  function set(ring: Ring, upstream: string, round: number | null): void {
    const before = ring.rounds.get(upstream)
    ring.rounds.set(upstream, round)
    if (!ring.lowest) return
    // Once in a round the lowest is left by its last one, and must be looked for.
    if (before === ring.lowest.round && !ring.fresh.has(upstream)) ring.lowest.count -= 1
    if (ring.lowest.count === 0 || before == null || ring.fresh.has(upstream)) ring.lowest = null
  }

  function lowest(ring: Ring): number {
    if (ring.lowest) return ring.lowest.round
    let found = { round: Infinity, count: 0 }
    for (const [id, round] of ring.rounds) {
      if (round === null) continue
      const waits = round + (ring.fresh.has(id) ? 1 : 0)
      if (waits < found.round) found = { round: waits, count: 0 }
      if (waits === found.round && !ring.fresh.has(id)) found.count += 1
    }
    if (found.count > 0) ring.lowest = found
    return found.round
  }

  function settle(ring: Ring, atMs: number): void {
    while (ring.waiting.length > 0 && ring.waiting[0]!.line.atMs + tieMs < atMs) {
      const { line, upstream, apart } = ring.waiting.shift()!
      if (apart <= 1) continue
      const close = ring.recent.filter(
        (other) => other.line.gateway !== line.gateway && Math.abs(other.line.atMs - line.atMs) <= tieMs,
      )
      if (apart - 1 <= close.length) continue
      findings.violated(4, `${upstream} came up ${apart} times while another waited`, line, [...ring.rounds])
      forget(ring)
    }
    while (ring.recent.length > 0 && ring.recent[0]!.line.atMs + 2 * tieMs < atMs) ring.recent.shift()
  }

  function forget(ring: Ring): void {
    for (const id of ring.rounds.keys()) ring.rounds.set(id, null)
    ring.fresh.clear()
    ring.lowest = null
    ring.waiting.length = 0
  }

  function forgetAll(): void {
    for (const ring of rings.values()) forget(ring)
  }

  function forgetOne(id: string): void {
    for (const ring of rings.values()) if (ring.rounds.has(id)) set(ring, id, null)
  }

  return {
    /** A store that lost data, or a gateway that told of its last turns no more. */
    forgetAll,

    line({ name, upstream, forMs = 0, atMs, code }: GatewayLine): void {
      if (name === 'store_lost') isAway = true
      else if (name === 'store_found') isAway = false
      else if (name === 'upstream_set_aside' && upstream !== undefined) {
        aside.set(upstream, Math.max(aside.get(upstream) ?? 0, atMs + forMs))
        return forgetOne(upstream)
      } else if (name === 'request_refused' && (code === 'overloaded' || code === 'store_unavailable')) {
        // Who was full had turns that no line tells; and who was refused a pin may have been given one.
      } else return
      forgetAll()
    },

    pinned(job: OpenJob, upstream: string, line: GatewayLine): void {
      // That one takes no turn of a ring.
      if (line.name === 'pin_hashed' || line.name === 'tunnel_opened') return
      const ring = ringOf(job)
      const version = line.version ?? ring.version
      if (isAway || !toVersion(ring, job, version)) return
      // Who failed it was refused at its turn.
      for (const id of job.failed) if (ring.rounds.has(id)) set(ring, id, null)
      take(ring, upstream, line)
    },

    /** A turn of which no line tells when it was. */
    unlogged(job: OpenJob): void {
      findings.undecided('turns that no line tells')
      const ring = rings.get(laneName(job.lane))
      if (ring) forget(ring)
    },

    end(): void {
      for (const ring of rings.values()) settle(ring, Infinity)
    },
  }
}

function highest(rounds: ReadonlyMap<string, number | null>): number {
  let highest = 0
  for (const round of rounds.values()) if (round !== null && round > highest) highest = round
  return highest
}
