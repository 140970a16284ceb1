// Jobs, all the time: short ones that come at an even pace, and a few long ones that hold a tunnel. What is refused or
// breaks off is tried again, as a worker would, until the gateway says that the job's pin is lost.

import { setTimeout as delay } from 'node:timers/promises'
import { fetchAddress, Refusal, releaseJob } from './job-client.ts'

export type Job = {
  readonly id: string
  readonly kind: 'short' | 'long'
  /** Upstreams that carried it, and addresses that the target saw; one of each, if all is well. */
  readonly upstreams: Set<string>
  readonly addresses: Set<string>
  /**
   * One for each try: `ok`; the code of a refusal, such as `pin_lost`; `cut` where a tunnel broke that stood;
   * `no answer`; `no release`.
   */
  readonly outcomes: string[]
  isOver: boolean
}

type Parts = {
  readonly gatewayPort: number
  /** `host:port` */
  readonly target: string
  /** Breaks off all that is open. */
  readonly signal: AbortSignal
}

const shortEveryMs = 100
const shortRequests = 3
const longAtOnce = 8
const longRequests = 2
const pauseMs = 250
/** Who had nothing but failures for so long has no worker any more. */
const patienceMs = 30_000

export const loadInWords = `${1000 / shortEveryMs} short ones a second (${shortRequests} requests each, then a release), ${longAtOnce} long ones that hold a tunnel`

export type SteadyLoad = ReturnType<typeof startSteadyLoad>

export function startSteadyLoad({ gatewayPort, target, signal }: Parts) {
  const jobs: Job[] = []
  const running = new Set<Promise<void>>()
  const ending = new AbortController()
  const timer = setInterval(() => start('short'), shortEveryMs)
  signal.addEventListener('abort', () => clearInterval(timer))
  for (let count = 0; count < longAtOnce; count += 1) start('long')

  function start(kind: Job['kind']): void {
    if (signal.aborted || ending.signal.aborted) return
    const id = `${kind}-${jobs.length + 1}`
    const job: Job = {
      id,
      kind,
      upstreams: new Set(),
      addresses: new Set(),
      outcomes: [],
      isOver: false,
    }
    jobs.push(job)
    const work = run(job).finally(() => {
      job.isOver = true
      running.delete(work)
      if (kind === 'long') start('long')
    })
    running.add(work)
  }

  /** Never rejects. */
  async function run(job: Job): Promise<void> {
    const { wanted, path } = workOf(job, jobs.length)
    let lastGoodMs = performance.now()
    for (let done = 0; done < wanted && !isEnding(job);) {
      const outcome = await attempt(job, path)
      if (signal.aborted) return
      if (outcome !== null) job.outcomes.push(outcome)
      if (outcome === 'pin_lost' || performance.now() - lastGoodMs > patienceMs) break
      if (outcome === 'ok') {
        done += 1
        lastGoodMs = performance.now()
      }
      await delay(pauseMs, undefined, { signal }).catch(() => undefined)
    }
    await releaseJob({ gatewayPort, user: userOf(job) }).catch(() => job.outcomes.push('no release'))
  }

  /** A long job may be done at any time; a short one is not broken off. */
  function isEnding({ kind }: Job): boolean {
    return kind === 'long' && ending.signal.aborted
  }

  /** Null: it was broken off by its own job before it came to anything. */
  async function attempt(job: Job, path: string): Promise<string | null> {
    let stands = false
    const opened = (upstream: string) => {
      stands = true
      job.upstreams.add(upstream)
    }
    const either = job.kind === 'long' ? AbortSignal.any([signal, ending.signal]) : signal
    try {
      const request = { gatewayPort, user: userOf(job), target, path, opened, signal: either }
      const { address } = await fetchAddress(request)
      job.addresses.add(address)
      return 'ok'
    } catch (error) {
      if (either.aborted) return stands ? 'ok' : null
      if (error instanceof Refusal) return error.code
      return stands ? 'cut' : 'no answer'
    }
  }

  return {
    /** All so far, the oldest first. */
    jobs: jobs as readonly Job[],

    openOn: (upstream: string): readonly Job[] =>
      jobs.filter(({ upstreams, isOver }) => !isOver && upstreams.has(upstream)),

    /** No new jobs; resolves when the last one is over. */
    async finish(): Promise<void> {
      clearInterval(timer)
      ending.abort()
      await Promise.all(running)
    },
  }
}

function workOf({ kind }: Job, number: number): { readonly wanted: number; readonly path: string } {
  if (kind === 'short') return { wanted: shortRequests, path: '/' }
  return { wanted: longRequests, path: `/stream/${2000 + (number % 4) * 500}` }
}

function userOf({ id, kind }: Job): string {
  return `job=${id},type=${kind}`
}
