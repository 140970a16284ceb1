// Pins in a Map, with the same steps in the same order as the scripts in ../redis/lua.

import { laneName, laneNamed, laneOf, saysTheSame } from '../../lane.ts'
import type { Pin } from '../../types.ts'
import type { StoreLimits } from '../limits.ts'
import type {
  MoveRequest,
  PinAnswer,
  PinLife,
  PinRequest,
  Pins,
  RememberedPin,
  RestoreAnswer,
  Touch,
} from '../store.ts'
import { makeExpiryQueue } from './expiry-queue.ts'
import type { MemoryFeed } from './feed.ts'
import type { Rings } from './rings.ts'
import type { Fleet } from './snapshot.ts'

type PinRecord = { -readonly [field in keyof Pin]: Pin[field] }

type Parts = {
  readonly rings: Rings
  readonly fleet: Fleet
  readonly feed: MemoryFeed
  readonly life: PinLife
  readonly now: () => number
  readonly limits: StoreLimits
}

export function makeMemoryPins({ rings, fleet, feed, life, now, limits }: Parts): Pins {
  const records = new Map<string, PinRecord>()
  const counts = new Map<string, number>()
  const queue = makeExpiryQueue<PinRecord>((record) => records.get(record.job.id) === record)

  function live(jobId: string): PinRecord | null {
    const record = records.get(jobId)
    return record && record.expiresAtMs > now() ? record : null
  }

  function extend(record: PinRecord): void {
    record.expiresAtMs = Math.min(now() + life.idleMs, record.pinnedAtMs + life.maxLifeMs)
  }

  function count(upstreamId: string, change: 1 | -1): void {
    const pinned = (counts.get(upstreamId) ?? 0) + change
    if (pinned > 0) counts.set(upstreamId, pinned)
    else counts.delete(upstreamId)
  }

  function drop(record: PinRecord): void {
    records.delete(record.job.id)
    count(record.upstreamId, -1)
    queue.compact(records.size)
  }

  function sweepExpired(limit: number): number {
    const expired = queue.take(limit, now())
    expired.forEach(drop)
    return expired.length
  }

  function keepPinned(record: PinRecord, { job, version }: PinRequest): PinAnswer {
    if (!saysTheSame(job, record.job)) return { kind: 'mismatch', pin: { ...record } }
    if (!fleet.has(record.upstreamId)) {
      const current = fleet.version()
      return version > current ? { kind: 'behind', version: current } : { kind: 'lost', pin: { ...record } }
    }
    extend(record)
    return { kind: 'pinned', pin: { ...record }, reused: true }
  }

  function pinNew(request: PinRequest): PinAnswer {
    const { job, gatewayId } = request
    const expired = records.get(job.id)
    if (!expired && records.size >= limits.maxPins) return { kind: 'too-many-pins' }
    const turn = rings.takeTurn({ ...request, lane: laneName(laneOf(job)) })
    if (turn.kind !== 'turn') return turn
    if (expired) drop(expired)
    const { upstreamId } = turn
    const record = { job, upstreamId, freshBy: gatewayId, pinnedAtMs: now(), expiresAtMs: 0 }
    extend(record)
    add(record)
    feed.tell({ kind: 'pinned', pin: { ...record } })
    return { kind: 'pinned', pin: { ...record }, reused: false }
  }

  function add(record: PinRecord): void {
    records.set(record.job.id, record)
    count(record.upstreamId, 1)
    queue.add(record)
  }

  function mayMove(record: PinRecord, { job, gatewayId, from, when }: MoveRequest): boolean {
    if (record.upstreamId !== from) return false
    if (record.job.type !== job.type || record.job.institution !== job.institution) return false
    return when === 'fresh' ? record.freshBy === gatewayId : !fleet.has(from)
  }

  /** @returns the touch to tell of; null where there is none */
  function touchOne({ jobId, upstreamId, used, tell = false }: Touch): {
    stands: boolean
    told: Touch | null
  } {
    const record = live(jobId)
    if (record?.upstreamId !== upstreamId) return { stands: false, told: null }
    const isFirst = used && record.freshBy !== null
    if (used) record.freshBy = null
    extend(record)
    return { stands: true, told: tell || isFirst ? { jobId, upstreamId, used } : null }
  }

  function touchAll(touches: readonly Touch[]): boolean[] {
    const answers = touches.map(touchOne)
    const told = answers.flatMap((answer) => answer.told ?? [])
    if (told.length > 0) feed.tell({ kind: 'touched', touches: told })
    return answers.map(({ stands }) => stands)
  }

  function restoreOne({ hashed, freshBy: maker, ...remembered }: RememberedPin): RestoreAnswer {
    const pin = { ...remembered, freshBy: hashed ? null : maker }
    if (pin.pinnedAtMs + life.maxLifeMs <= now()) return { kind: 'over' }
    const standing = live(pin.job.id)
    if (standing?.upstreamId === pin.upstreamId) {
      standing.freshBy &&= pin.freshBy
      extend(standing)
      return { kind: 'stands' }
    }
    // Its answer was lost, so nobody was told of it.
    const isUntold = hashed && standing?.freshBy != null && standing.freshBy === maker
    if (standing && !isUntold && (hashed || standing.pinnedAtMs >= pin.pinnedAtMs))
      return { kind: 'conflict', pin: { ...standing } }
    const old = records.get(pin.job.id)
    if (old) drop(old)
    const record = { ...pin, expiresAtMs: 0 }
    extend(record)
    add(record)
    if (standing) feed.tell({ kind: 'pinned', pin: { ...record } })
    return { kind: standing ? 'replaced' : 'written' }
  }

  return {
    async pin(request) {
      sweepExpired(limits.sweptPerPin)
      const record = live(request.job.id)
      return record ? keepPinned(record, request) : pinNew(request)
    },

    async move(request) {
      const record = live(request.job.id)
      if (!record) return { kind: 'gone' }
      if (!mayMove(record, request)) return { kind: 'kept', pin: { ...record } }
      const refused = [...request.refused, request.from]
      const turn = rings.takeTurn({ ...request, refused, lane: laneName(laneOf(request.job)) })
      if (turn.kind !== 'turn') return turn
      count(record.upstreamId, -1)
      record.upstreamId = turn.upstreamId
      record.freshBy = request.gatewayId
      count(record.upstreamId, 1)
      extend(record)
      feed.tell({ kind: 'pinned', pin: { ...record } })
      return { kind: 'moved', pin: { ...record } }
    },

    async use(jobId, upstreamId) {
      touchAll([{ jobId, upstreamId, used: true }])
      return copy(live(jobId))
    },

    async touch(touches) {
      return touchAll(touches)
    },

    async restore(remembered) {
      return remembered.map(restoreOne)
    },

    async release(jobId, onlyOn) {
      const pin = copy(live(jobId))
      if (onlyOn !== undefined && pin?.upstreamId !== onlyOn) return null
      const record = records.get(jobId)
      if (record) drop(record)
      if (pin) feed.tell({ kind: 'released', jobId, pinnedAtMs: pin.pinnedAtMs })
      return pin
    },

    async read(jobId) {
      return copy(live(jobId))
    },

    async sweep(limit) {
      return sweepExpired(limit)
    },

    async counts() {
      return new Map(counts)
    },

    async lanes() {
      return rings.lanes().map(laneNamed)
    },

    async scan() {
      return { pins: [...records.values()].map((record) => ({ ...record })), nowMs: now(), next: null }
    },
  }
}

function copy(record: PinRecord | null): Pin | null {
  return record && { ...record }
}
