// Pins in Redis: each verb is one script, which does the deciding. Here values become arguments, and
// answers become pins again.

import { laneName, laneNamed, laneOf } from '../../lane.ts'
import type { Job, Pin } from '../../types.ts'
import type { StoreLimits } from '../limits.ts'
import type { MoveAnswer, PinAnswer, PinLife, PinRequest, Pins } from '../store.ts'
import type { RedisClient } from './client.ts'
import { refuseUnreadable } from './format.ts'
import type { Keys } from './keys.ts'
import type { Scripts } from './scripts.ts'

/** Records handled by one script at most: about 3 ms, in which Redis serves nobody else. */
const perScript = 500

type Parts = {
  readonly client: RedisClient
  readonly scripts: Scripts
  readonly keys: Keys
  readonly life: PinLife
  readonly limits: StoreLimits
}

export function makeRedisPins({ client, scripts, keys, life, limits }: Parts): Pins {
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
    }
  }

  return {
    async pin(request) {
      const { name, keys } = lane(request.job)
      const args = { ...commonArgs(request, name), sweptPerPin, maxPins }
      const answer = await scripts.run('pin-job', keys, args)
      return pinAnswer(request.job.id, answer as PinReply)
    },

    async move(request) {
      const { name, keys } = lane(request.job)
      const { from, when } = request
      const refused = [...request.refused, from]
      const args = { ...commonArgs({ ...request, refused }, name), from, when }
      return moveAnswer(request.job.id, (await scripts.run('move-pin', keys, args)) as MoveReply)
    },

    async use(jobId, upstreamId) {
      return toPin(
        jobId,
        await scripts.run('use-pin', keys, { job: jobId, upstream: upstreamId, idleMs, maxLifeMs }),
      )
    },

    async touch(touches) {
      const answers: boolean[] = []
      for (let first = 0; first < touches.length; first += perScript) {
        const part = touches.slice(first, first + perScript)
        const list = part.map(({ jobId, upstreamId, used }) => [jobId, upstreamId, used])
        const reply = await scripts.run('touch-pins', keys, {
          touches: JSON.stringify(list),
          idleMs,
          maxLifeMs,
        })
        answers.push(...(reply as number[]).map((extended) => extended === 1))
      }
      return answers
    },

    async release(jobId, onlyOn = '') {
      return toPin(jobId, await scripts.run('release-pin', keys, { job: jobId, onlyOn, feed: keys.feed }))
    },

    async read(jobId) {
      return toPin(jobId, await scripts.run('read-pin', keys, { job: jobId }))
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
      const jobs = flat.flatMap((id, index) => (index % 2 === 0 ? [pinOf(id, flat[index + 1]!, 0)] : []))
      return { jobs, next: next === '0' ? null : next }
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

/** What lua/pin-record.lua describes. */
type PinRecord = { f: number; u: string; t?: string; i?: string; at: number; by?: string }

function pinOf(jobId: string, text: string, expiresAtMs: number): Pin {
  const record = JSON.parse(text) as PinRecord
  refuseUnreadable('pin record', record.f)
  return {
    job: { id: jobId, type: record.t ?? null, institution: record.i ?? null },
    upstreamId: record.u,
    freshBy: record.by ?? null,
    pinnedAtMs: record.at,
    expiresAtMs,
  }
}
