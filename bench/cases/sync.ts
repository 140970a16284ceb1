// What does it cost to keep a large fleet right? Passes over thousands of upstreams, most with nothing to correct: CPU of
// this process, how long it was deaf to all else, and from outside, how long rows were locked. Beside them, in the same
// run, the way of seed 000, which locks all rows while the cloud answers.

import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { BenchCase, CaseOptions, Figure } from '../fixtures/case.ts'
import { startCloudFleet, type CloudFleetSettings } from '../fixtures/cloud-fleet.ts'
import { makeFleetWork, type What, type Work } from '../fixtures/fleet-work.ts'
import { startLockWatch, type LockWatch } from '../fixtures/lock-watch.ts'
import { inTurns } from '../fixtures/turns.ts'

export type SyncSettings = CloudFleetSettings & {
  /** Of the larger pass that corrects; half of them come, half go. */
  readonly corrections: number
  /** Passes of a few milliseconds that are measured as one. */
  readonly shortPasses: number
  /** Of a pass with nothing to correct. */
  readonly mostCpuMs: number
  readonly mostLockedMs: number
}

type Measured = { readonly [what in What]: number }

export const sync = makeSyncCase({
  upstreams: 5000,
  tombstones: 20_000,
  cloudAnswersAfterMs: 50,
  corrections: 50,
  shortPasses: 50,
  mostCpuMs: 3000,
  mostLockedMs: 50,
})

export function makeSyncCase(settings: SyncSettings): BenchCase {
  const { mostCpuMs, mostLockedMs } = settings
  return {
    name: 'sync',
    question: 'What does it cost to keep a large fleet right?',
    settings,

    async run(options) {
      const fleet = await startCloudFleet(options.scope, settings)
      const watch = await startLockWatch(options.scope, fleet)
      const [rest, ...others] = makeFleetWork(fleet, settings)
      const rounds = await measureAll([rest!, ...others], watch, options)
      const limits = { CPU: mostCpuMs, 'rows locked at most': mostLockedMs }
      return [...rounds].flatMap(([work, measured]) => figuresOf(work, measured, work === rest ? limits : {}))
    },
  }
}

async function measureAll(works: readonly Work[], watch: LockWatch, { rounds, scope }: CaseOptions) {
  const measured = new Map<Work, Measured[]>(works.map((work) => [work, []]))
  // A first time of each, which counts nowhere: code is compiled, caches are filled.
  for (const work of works) await measure(work, watch)
  for (const work of inTurns(works, rounds)) {
    scope.signal.throwIfAborted()
    measured.get(work)!.push(await measure(work, watch))
  }
  return measured
}

async function measure({ prepare, once, times = 1, after }: Work, watch: LockWatch): Promise<Measured> {
  const upstreams = await prepare()
  const { value, watched } = await watch.during(upstreams, async () => {
    const delays = monitorEventLoopDelay({ resolution: 1 })
    delays.enable()
    const before = process.cpuUsage()
    const startedMs = performance.now()
    for (let time = 0; time < times; time++) await once()
    const took = (performance.now() - startedMs) / times
    const { user, system } = process.cpuUsage(before)
    delays.disable()
    return { took, CPU: (user + system) / 1000 / times, 'thread busy at most': delays.max / 1_000_000 }
  })
  await after?.()
  return { ...value, 'rows locked at most': watched.longestMs, 'looks apart at most': watched.apartMs }
}

function figuresOf(
  { name, tells }: Work,
  measured: readonly Measured[],
  limits: { readonly [what in What]?: number },
): Figure[] {
  return tells.map((what) => ({
    name: `${name}: ${what}`,
    unit: 'ms',
    better: 'less',
    values: measured.map((round) => round[what]),
    ...(limits[what] === undefined ? {} : { atMost: limits[what] }),
  }))
}
