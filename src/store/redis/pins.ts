// Pins in Redis: each verb is one script, which does the deciding. Here values become arguments, and
// answers become pins again.

import { AnotherStore } from '../../errors.ts'
import { laneName, laneNamed, laneOf } from '../../lane.ts'
import type { Job, Pin } from '../../types.ts'
import type { StoreLimits } from '../limits.ts'
import type { MoveAnswer, PinAnswer, PinLife, PinRequest, Pins, RestoreAnswer } from '../store.ts'
import type { RedisClient } from './client.ts'
import type { Keys } from './keys.ts'
import { pinOf, recordOf } from './pin-record.ts'
import type { ArgValues, KeyValues, Scripts } from './scripts.ts'

/** Records handled by one script at most: about 3 ms, in which Redis serves nobody else. */
const perScript = 500

type Parts = {
  readonly client: RedisClient
  readonly scripts: Scripts
  readonly keys: Keys
  readonly life: PinLife
  readonly limits: StoreLimits
  readonly guard?: StoreGuard
}

/** Lets verbs pass only where the store is the one that the caller knows. */
export type StoreGuard = {
  /** What `born` must hold. */
  readonly mark: string
  /** @throws AnotherStore where even that could not tell */
  check(): void
}

/** The verbs whose answer depends on what the store may have lost. */
type Guarded = 'pin-job' | 'move-pin' | 'use-pin' | 'touch-pins' | 'release-pin' | 'read-pin' | 'restore-pins'

const anyStore: StoreGuard = { mark: '', check() {} }

export function makeRedisPins({ client, scripts, keys, life, limits, guard = anyStore }: Parts): Pins {
  const { idleMs, maxLifeMs } = life
  const { maxLanes, maxPins, laneUnusedMs, sweptPerPin } = limits

  function lane(job: Job) {
    const name = laneName(laneOf(job))
    return { name, keys: { ...keys, ring: keys.ring(name) } }
  }

  function commonArgs({ job, gatewayId, version, eligible, refused }: PinRequest, laneName: string) {
    return {
      job: job.id,
      jobType: job.type ?? '',
      institution: job.institution ?? '',
      gateway: gatewayId,
      version,
      lane: laneName,
      eligible: eligible === null ? '' : JSON.stringify(eligible),
      refused: JSON.stringify(refused),
      idleMs,
      maxLifeMs,
      maxLanes,
      laneUnusedMs,
      feed: keys.feed,
    }
  }

  async function run<Name extends Guarded>(
    name: Name,
    keys: KeyValues<Name>,
    args: Omit<ArgValues<Name>, 'mark'>,
  ): Promise<unknown> {
    guard.check()
    const reply = await scripts.run(name, keys, { ...args, mark: guard.mark } as ArgValues<Name>)
    if (reply === 'another-store') throw new AnotherStore()
    return reply
  }

  /** In calls of `perScript`. */
  async function inParts<T, R>(all: readonly T[], call: (part: readonly T[]) => Promise<R[]>): Promise<R[]> {
    const answers: R[] = []
    for (let first = 0; first < all.length; first += perScript)
      answers.push(...(await call(all.slice(first, first + perScript))))
    return answers
  }

  return {
    async pin(request) {
      const { name, keys } = lane(request.job)
      const args = { ...commonArgs(request, name), sweptPerPin, maxPins }
      const answer = await run('pin-job', keys, args)
      return pinAnswer(request.job.id, answer as PinReply)
    },

    async move(request) {
      const { name, keys } = lane(request.job)
      const { from, when } = request
      const refused = [...request.refused, from]
      const args = { ...commonArgs({ ...request, refused }, name), from, when }
      return moveAnswer(request.job.id, (await run('move-pin', keys, args)) as MoveReply)
    },

    async use(jobId, upstreamId) {
      return toPin(
        jobId,
        await run('use-pin', keys, { job: jobId, upstream: upstreamId, idleMs, maxLifeMs, feed: keys.feed }),
      )
    },

    touch(touches) {
      return inParts(touches, async (part) => {
        const list = part.map(({ jobId, upstreamId, used, tell = false }) => [jobId, upstreamId, used, tell])
        const args = { touches: JSON.stringify(list), idleMs, maxLifeMs, feed: keys.feed }
        const reply = (await run('touch-pins', keys, args)) as number[]
        return reply.map((extended) => extended === 1)
      })
    },

    restore(remembered) {
      return inParts(remembered, async (part) => {
        const list = part.map((pin) => [pin.job.id, recordOf(pin), pin.hashed])
        const args = { remembered: JSON.stringify(list), idleMs, maxLifeMs, feed: keys.feed }
        const reply = (await run('restore-pins', keys, args)) as (string | StoredPin)[]
        return reply.map((one, index) => restoreAnswer(part[index]!.job.id, one))
      })
    },

    async release(jobId, onlyOn = '') {
      return toPin(jobId, await run('release-pin', keys, { job: jobId, onlyOn, feed: keys.feed }))
    },

    async read(jobId) {
      return toPin(jobId, await run('read-pin', keys, { job: jobId }))
    },

    async sweep(limit) {
      let swept = 0
      while (swept < limit) {
        const asked = Math.min(limit - swept, perScript)
        const found = (await scripts.run('sweep-pins', keys, { limit: asked })) as number
        swept += found
        if (found < asked) break
      }
      return swept
    },

    async counts() {
      const fields = await client.ask((redis) => redis.hgetall(keys.counts))
      return new Map(Object.entries(fields).map(([upstreamId, count]) => [upstreamId, Number(count)]))
    },

    async lanes() {
      const [seconds] = await client.ask((redis) => redis.time())
      const since = Number(seconds) * 1000 - laneUnusedMs
      return (await client.ask((redis) => redis.zrangebyscore(keys.lanes, since, '+inf'))).map(laneNamed)
    },

    async scan(after) {
      const [next, flat] = await client.ask((redis) =>
        redis.hscan(keys.pins, after ?? '0', 'COUNT', perScript),
      )
      const jobs = flat.filter((_, index) => index % 2 === 0)
      const [[seconds, micros], ends] = await client.ask((redis) =>
        Promise.all([redis.time(), jobs.length === 0 ? [] : redis.zmscore(keys.expiry, ...jobs)]),
      )
      const pins = jobs.map((id, index) => pinOf(id, flat[2 * index + 1]!, Number(ends[index] ?? 0)))
      const nowMs = Number(seconds) * 1000 + Math.floor(Number(micros) / 1000)
      return { pins, nowMs, next: next === '0' ? null : next }
    },
  }
}

type RefusalReply = ['stale' | 'behind', number] | ['no-ring' | 'none' | 'too-many-lanes']
type StoredPin = [record: string, expiresAtMs: number]
type PinReply = ['pinned' | 'reused' | 'mismatch' | 'lost', ...StoredPin] | ['too-many-pins'] | RefusalReply
type MoveReply = ['moved' | 'kept', ...StoredPin] | ['gone'] | RefusalReply

function pinAnswer(jobId: string, reply: PinReply): PinAnswer {
  switch (reply[0]) {
    case 'pinned':
    case 'reused':
      return { kind: 'pinned', pin: pinOf(jobId, reply[1], reply[2]), reused: reply[0] === 'reused' }
    case 'mismatch':
    case 'lost':
      return { kind: reply[0], pin: pinOf(jobId, reply[1], reply[2]) }
    case 'too-many-pins':
      return { kind: reply[0] }
    default:
      return refusal(reply)
  }
}

function moveAnswer(jobId: string, reply: MoveReply): MoveAnswer {
  switch (reply[0]) {
    case 'moved':
    case 'kept':
      return { kind: reply[0], pin: pinOf(jobId, reply[1], reply[2]) }
    case 'gone':
      return { kind: 'gone' }
    default:
      return refusal(reply)
  }
}

function refusal(reply: RefusalReply): Extract<PinAnswer, { kind: RefusalReply[0] }> {
  if (reply[0] === 'stale' || reply[0] === 'behind') return { kind: reply[0], version: reply[1] }
  return { kind: reply[0] }
}

function toPin(jobId: string, reply: unknown): Pin | null {
  return reply === null ? null : pinOf(jobId, ...(reply as StoredPin))
}

function restoreAnswer(jobId: string, reply: string | StoredPin): RestoreAnswer {
  if (typeof reply !== 'string') return { kind: 'conflict', pin: pinOf(jobId, ...reply) }
  return { kind: reply as Exclude<RestoreAnswer['kind'], 'conflict'> }
}
