// One pass: which upstreams have somewhere to go, what each does next (plan.ts), and a step begun for each that can go on.
// Steps run on beside the passes, since a cloud takes minutes for one; each holds a claim that it extends while it runs.

import { setTimeout as delay } from 'node:timers/promises'
import { isControlError, isGatewayError } from '../errors.ts'
import type { Events } from '../events.ts'
import type { Provider } from '../provider/provider.ts'
import type { ClaimedUpstream, FleetRecords, RecordStore, UpstreamRecord } from '../store/records.ts'
import { admit } from './admit.ts'
import { beginDeletion, drainReplaced, keepUnreplaced, markDrained, shut } from './drain.ts'
import { isSuperseded, makeHold, type Held } from './hold.ts'
import { launch } from './launch.ts'
import { needsTraffic, planLife, type Action, type LifeFacts, type ObservedTraffic } from './plan.ts'
import type { Probe } from './probe.ts'
import { giveUp, remove } from './remove.ts'
import { problemOf, retryAfterMs } from './retry.ts'

/** Looked at by one pass: all, in any fleet that we know of, since a drain that only waits stays first in the row. */
const atMost = 10_000
/** Steps under way at once in this process. */
const sideBySide = 50

type Parts = {
  readonly fleet: Pick<FleetRecords, 'changeUpstreams'>
  readonly records: Pick<RecordStore, 'claims' | 'upstreams'>
  readonly provider: Provider
  readonly observe: () => Promise<ObservedTraffic>
  /** Null: probes are switched off. */
  readonly probe: Probe | null
  /** Read at each use, as `probe` is: a reload may change them. */
  readonly settings: {
    readonly good: number
    readonly launchMs: number
    readonly drainMs: number
    /** A claim that is not extended ends after this time. */
    readonly claimMs: number
  }
  /** Tells this process from others. */
  readonly holder: string
  /** A UUID. */
  readonly newRequestId: () => string
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** From 0 up to, not including, 1. */
  readonly random: () => number
  readonly events: Events
  /** Something has changed: publish it now, and look again who can go on. */
  readonly changed: () => void
}

type Work = {
  readonly claimed: ClaimedUpstream
  readonly action: Action
  /** By the database's clock, as of this moment. */
  readonly nowMs: () => number
}

export type Controller = ReturnType<typeof makeController>

export function makeController(parts: Parts) {
  const { records, provider, settings, holder, newRequestId, now, random, events } = parts
  const { claims, upstreams } = records
  const hold = makeHold({ fleet: parts.fleet, claims, changed: parts.changed })
  const running = new Map<string, Promise<void>>()
  const stopping = new AbortController()

  async function factsFor(due: readonly UpstreamRecord[], nowMs: number) {
    const traffic = due.some(needsTraffic) ? await observed(parts.observe) : null
    const names = [...new Set(due.map(({ replacedBy }) => replacedBy).filter((id) => id !== null))]
    const replacements = await Promise.all(names.map((id) => upstreams.read(id)))
    const byId = new Map(replacements.flatMap((record) => (record ? [[record.id, record] as const] : [])))
    return ({ replacedBy }: UpstreamRecord): LifeFacts => ({
      nowMs,
      traffic,
      replacement: replacedBy === null ? null : (byId.get(replacedBy) ?? null),
      launchMs: settings.launchMs,
    })
  }

  /** Of those that may have somewhere to go, the ones that have; looked at again once they are ours. */
  async function claimDue(): Promise<readonly Work[]> {
    const own = { provider: provider.name, place: await provider.place(), limit: atMost }
    const waiting = await claims.waiting(own)
    const due = waiting.upstreams.filter(({ id }) => !running.has(id))
    if (due.length === 0) return []
    const facts = await factsFor(due, waiting.nowMs)
    const ids = due.filter((record) => planLife(record, facts(record)).kind !== 'wait').map(({ id }) => id)
    const free = ids.slice(0, sideBySide - running.size)
    if (free.length === 0) return []
    const { nowMs, claimed } = await claims.take(free, { holder, forMs: settings.claimMs })
    const factsNow = await factsFor(
      claimed.map(({ record }) => record),
      nowMs,
    )
    const takenMs = now()
    return claimed.map((one) => ({
      claimed: one,
      action: planLife(one.record, factsNow(one.record)),
      nowMs: () => nowMs + now() - takenMs,
    }))
  }

  function step(held: Held, action: Action): Promise<void> {
    switch (action.kind) {
      case 'wait':
        return Promise.resolve()
      case 'launch':
        return launch(held, { provider, upstreams, newRequestId })
      case 'admit':
        return admit(held, { probe: parts.probe, good: settings.good })
      case 'give-up':
        return giveUp(held, action.reason, { provider, newRequestId })
      case 'drain':
        return drainReplaced(held, action, settings.drainMs)
      case 'keep':
        return keepUnreplaced(held, action)
      case 'drained':
        return markDrained(held, action)
      case 'shut':
        return shut(held, action, events)
      case 'delete':
        return beginDeletion(held, action, { newRequestId, events })
      case 'remove':
        return remove(held, { provider, newRequestId })
    }
  }

  async function run(work: Work): Promise<void> {
    const { claimed, action } = work
    const { record, claim } = claimed
    const done = new AbortController()
    const lost = new AbortController()
    const signal = AbortSignal.any([stopping.signal, lost.signal])
    const extending = extend(done.signal, async () => {
      if (!(await claims.extend(claim, settings.claimMs))) lost.abort()
    })
    try {
      await step(hold(claimed, signal), action)
      if (action.kind !== 'wait') tell(record, action)
      await claims.release(claim)
    } catch (error) {
      // Whoever holds the claim now goes on; what its loss broke off here says nothing of the upstream.
      if (!lost.signal.aborted) await failed(work, error)
    } finally {
      done.abort()
      await extending
    }
  }

  /** The end of this process, a lost claim, a database that is away say nothing of the upstream: the step is repeated. */
  async function failed({ claimed, action, nowMs }: Work, error: unknown): Promise<void> {
    const { record, claim } = claimed
    if (stopping.signal.aborted || isSuperseded(error) || isAway(error))
      return letGo(() => claims.release(claim))
    const problem = problemOf(error)
    const attempts = record.attempts + 1
    // Spread, or fifty that were refused together would all be back together.
    const waitMs = retryAfterMs(error, record.attempts) * (0.75 + random() / 2)
    const retryAtMs = Math.round(nowMs() + waitMs)
    await letGo(() => claims.release(claim, { attempts, problem, retryAtMs }))
    events.emit('upstream_step_failed', { upstream: record.id, step: action.kind, problem, attempts })
  }

  /** Where that cannot be written, the claim ends by itself. That the database is away is told by the passes. */
  async function letGo(release: () => Promise<unknown>): Promise<void> {
    try {
      await release()
    } catch (error) {
      if (!isControlError(error, 'database_unavailable', 'database_busy')) throw error
    }
  }

  async function extend(signal: AbortSignal, once: () => Promise<void>): Promise<void> {
    for (;;) {
      await delay(settings.claimMs / 3, undefined, { signal, ref: false }).catch(() => undefined)
      if (signal.aborted) return
      await once().catch(() => undefined)
    }
  }

  function tell({ id }: UpstreamRecord, { kind, reason }: Action): void {
    const to = outcomes[kind]
    if (to) events.emit('upstream_moved_on', { upstream: id, to, reason })
  }

  return {
    /** Resolves when its steps have begun. */
    async pass(): Promise<void> {
      if (stopping.signal.aborted) return
      for (const work of await claimDue()) {
        const { id } = work.claimed.record
        const done = run(work)
          .catch((error: unknown) => void events.emit('pass_failed', { pass: `step of ${id}`, error }))
          .finally(() => {
            running.delete(id)
            parts.changed()
          })
        running.set(id, done)
      }
    },

    /** Resolves when no step is under way. */
    async idle(): Promise<void> {
      while (running.size > 0) await Promise.all(running.values())
    },

    get running(): number {
      return running.size
    },

    /** Steps under way are given up where they stand; whoever comes next repeats them. */
    async stop(): Promise<void> {
      stopping.abort()
      await this.idle()
    },
  }
}

/** States that an upstream came into. */
const outcomes: { readonly [Kind in Action['kind']]?: UpstreamRecord['state'] } = {
  admit: 'running',
  'give-up': 'failed',
  drain: 'draining',
  delete: 'deleting',
  remove: 'deleted',
}

function isAway(error: unknown): boolean {
  return isControlError(error, 'database_unavailable')
}

async function observed(observe: () => Promise<ObservedTraffic>): Promise<ObservedTraffic | null> {
  try {
    return await observe()
  } catch (error) {
    if (isGatewayError(error, 'store_unavailable')) return null
    throw error
  }
}
