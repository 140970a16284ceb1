// Waiting until the jobs that no longer fit a change are released: the ledger says when that is done.

import { setTimeout as wait } from 'node:timers/promises'
import type { Api } from './api.ts'
import { ApiError, isMomentary } from './failure.ts'
import type { LedgerEntry } from './shapes.ts'

/** Far more rows than a ledger gets between two looks. */
const newestRows = 100

type Options = {
  readonly everyMs?: number
  readonly withinMs?: number
  readonly delay?: (ms: number) => Promise<unknown>
  /** Monotonic milliseconds. */
  readonly now?: () => number
}

/**
 * @param version  of the change that asked for it
 * @returns how many jobs were released; null where it is not done within five minutes
 * @throws ApiError where the API refuses to show its ledger; a moment without answer is waited out
 */
export async function waitForEviction(
  api: Pick<Api, 'list'>,
  version: number,
  options: Options = {},
): Promise<number | null> {
  const { everyMs = 500, withinMs = 300_000, delay = wait, now = () => performance.now() } = options
  const deadline = now() + withinMs
  for (;;) {
    const jobs = await jobsEvicted(api, version)
    if (jobs !== null || now() >= deadline) return jobs
    await delay(everyMs)
  }
}

async function jobsEvicted(api: Pick<Api, 'list'>, version: number): Promise<number | null> {
  try {
    const { items } = await api.list<LedgerEntry>('/v1/ledger', {}, newestRows)
    const steps = items.flatMap((entry) => (entry.version > version ? entry.steps : []))
    // One asked for later does this one's work too.
    const done = steps.filter(({ kind, asked }) => kind === 'jobs_evicted' && Number(asked) >= version)
    return done.length === 0 ? null : done.reduce((sum, { jobs }) => sum + Number(jobs), 0)
  } catch (error) {
    if (error instanceof ApiError && isMomentary(error.failure)) return null
    throw error
  }
}
