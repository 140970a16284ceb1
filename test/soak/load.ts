// Jobs, all the time, over all gateways: short and long ones, that move few bytes or many, in tunnels or as plain requests,
// that release themselves, come back under the same id, or are forgotten until their pin expires. What is refused is tried
// again, as a worker would, until the gateway says that the pin is lost.

import { setTimeout as delay } from 'node:timers/promises'
import type { ClientRecord } from '../checker/records.ts'
import { requestThrough, tunnelThrough, type Place, type RecordedJob } from '../fixtures/recorded-client.ts'
import type { RecordedTarget } from '../fixtures/recorded-target.ts'
import type { Random } from '../fuzz/random.ts'
import { jobMark, token } from './world.ts'

const lanes = [
  { type: 'payment', institution: 'bank-a' },
  { type: 'payment', institution: 'bank-b' },
  { type: 'statement', institution: null },
  // Served by hash while Redis is away.
  { type: 'report', institution: 'bank-a' },
  { type: 'flexible', institution: null },
  { type: null, institution: null },
] as const

/** A machine that cannot follow gets fewer jobs, never a queue. */
const atOnceMost = 150
const triesMost = 12
/** Longer than anything here makes Redis late. */
const returnsAfterMs = 6000

export type Load = ReturnType<typeof startLoad>

type Parts = {
  readonly perSecond: number
  readonly random: Random
  readonly gateways: readonly { readonly name: string; readonly gatewayPort: number }[]
  readonly target: RecordedTarget
  readonly write: (record: ClientRecord) => void
}

export function startLoad({ perSecond, random, gateways, target, write }: Parts) {
  const running = new Set<Promise<void>>()
  const outcomes = new Map<string, number>()
  let jobs = 0
  let longestMs = 0
  let isPaused = false
  const timer = setInterval(() => {
    if (!isPaused && running.size < atOnceMost) begin()
  }, 1000 / perSecond)

  function begin(): void {
    jobs += 1
    const lane = random.pick(lanes)
    const job: RecordedJob = { id: `${jobMark}${jobs}`, ...lane }
    const done = run(job).finally(() => running.delete(done))
    running.add(done)
  }

  function anyPlace(): Place {
    const { name, gatewayPort } = random.pick(gateways)
    return { gateway: name, port: gatewayPort, token }
  }

  async function run(job: RecordedJob): Promise<void> {
    const requests = 2 + random.int(4)
    for (let done = 0; done < requests; done += 1) {
      if (done > 0) await delay(random.int(3000))
      if (!(await untilServed(job))) break
    }
    // Some are never heard of again.
    if (random.chance(0.1)) return
    await attempt(() => requestThrough(anyPlace(), job, target, { road: 'release' }))
    if (!random.chance(0.1)) return
    // As a new job, once the other gateways have heard of its end: one that still remembers the old pin goes on with that.
    await delay(returnsAfterMs)
    await run(job)
  }

  /** @returns false where there is no use in going on */
  async function untilServed(job: RecordedJob): Promise<boolean> {
    for (let tries = 0; tries < triesMost; tries += 1) {
      const { status, code } = await attempt(() => request(job))
      if (status !== null && code === null) return true
      if (code === 'pin_lost') return false
      await delay(200 + random.int(300) * (tries + 1))
    }
    return false
  }

  function request(job: RecordedJob): Promise<ClientRecord> {
    if (random.chance(0.2))
      return requestThrough(anyPlace(), job, target, { road: 'http', down: random.int(50_000) })
    if (random.chance(0.1)) {
      const bulk = { up: random.int(1 << 20), down: random.int(1 << 21) }
      return tunnelThrough(anyPlace(), job, target, { ...bulk, holdMs: null })
    }
    const few = { up: random.int(2000), down: random.int(8000) }
    const holdMs = random.chance(0.5)
      ? null
      : random.chance(0.1)
        ? 5000 + random.int(20_000)
        : random.int(500)
    return tunnelThrough(anyPlace(), job, target, { ...few, holdMs })
  }

  async function attempt(ask: () => Promise<ClientRecord>): Promise<ClientRecord> {
    const record = await ask()
    const outcome = record.status === null ? 'no answer' : (record.code ?? 'served')
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
    longestMs = Math.max(longestMs, (record.answeredMs ?? record.endedMs) - record.sentMs)
    write(record)
    return record
  }

  return {
    jobs: () => jobs,
    atOnce: () => running.size,
    /** Requests by what they came to. */
    outcomes: outcomes as ReadonlyMap<string, number>,
    /** From a request to its status, or to its giving up. */
    longestMs: () => longestMs,
    pause(paused: boolean): void {
      isPaused = paused
    },
    /** No new jobs; resolves when those under way have ended. */
    async stop(): Promise<void> {
      clearInterval(timer)
      await Promise.all(running)
    },
  }
}
