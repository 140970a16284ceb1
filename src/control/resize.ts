// Brings the fleet to its wanted size (plan-size.ts): orders what is missing, drains the emptiest of what is too much. One
// transaction under the fleet's row, so several controls together do it once.

import type { Provider } from '../provider/provider.ts'
import type { FleetContent, FleetRecords, Head, Step } from '../store/records.ts'
import { newDrain } from './drain.ts'
import { move } from './life.ts'
import { order } from './order.ts'
import { planSize, type SizeFacts } from './plan-size.ts'
import type { Load } from './traffic.ts'

type Parts = {
  readonly fleet: Pick<FleetRecords, 'head' | 'read' | 'change'>
  readonly provider: Provider
  /** Null where the store of pins does not answer. */
  readonly load: () => Promise<Load | null>
  /** Read at each use: a reload may change it. */
  readonly drainMs: number
  readonly coolDownMs: number
  readonly newSuffix: () => string
  readonly newRequestId: () => string
  /** Monotonic milliseconds. */
  readonly now: () => number
  readonly changed: () => void
}

/**
 * Between two looks lies this many times what the last one took, a second at most: while thousands change one by one, to
 * read all of them after each would be all that this thread does.
 */
const restTimes = 9
const longestRestMs = 1000

export function makeResize(parts: Parts) {
  const { fleet, provider, load, coolDownMs, newRequestId, now } = parts
  /** At which nothing was to be done: a fleet of thousands is not read each second. */
  let settledVersion: number | null = null
  /** Those that failed are looked at again when the cool-down may be over. */
  let lookAgainMs = 0
  /** Which size the last look was for, and until when the next one for it can wait. */
  let lookedFor: number | null = null
  let restUntilMs = -Infinity

  function decide(content: FleetContent, place: string | null, carried: Load | null): readonly Step[] {
    const { upstreams, nowMs, wantedSize: wanted } = content
    const facts: SizeFacts = { nowMs, wanted, provider: provider.name, place, load: carried, coolDownMs }
    const plan = planSize(upstreams, facts)
    const ordered: Step[] = []
    const known: Parameters<typeof order>[0][number][] = [...upstreams]
    for (let made = 0; made < plan.order; made += 1) {
      const upstream = order(known, { labels: null, zone: null }, { ...parts, place })
      ordered.push({ kind: 'upstream_added', upstream })
      known.push(upstream)
    }
    return [...ordered, ...plan.leave.map((record) => leave(record, nowMs))]
  }

  function leave(record: FleetContent['upstreams'][number], nowMs: number): Step {
    const drain = newDrain(nowMs, { deadlineMs: parts.drainMs, thenDelete: true, by: 'control' })
    // Nobody has used what never ran.
    if (record.state === 'provisioning') return move(record, 'delete', { drain, requestId: newRequestId() })
    return move(record, 'drain', { drain })
  }

  function canWait({ version, wantedSize }: Head): boolean {
    if (version === settledVersion && now() < lookAgainMs) return true
    return wantedSize === lookedFor && now() < restUntilMs
  }

  /** @returns how many upstreams it has ordered or sent away */
  async function look(): Promise<number> {
    const place = await provider.place()
    const carried = await load()
    const seen = await fleet.read()
    // Looked at without a lock first: mostly nothing is to be done.
    if (decide(seen, place, carried).length === 0) {
      // Not while nobody knows who is emptiest.
      settledVersion = carried ? seen.version : null
      lookAgainMs = now() + coolDownMs / 4
      return 0
    }
    const { answer } = await fleet.change({
      author: { actor: 'control', reason: 'the wanted size' },
      decide: (content) => {
        const steps = decide(content, place, carried)
        return { steps, answer: steps.length }
      },
    })
    if (answer > 0) parts.changed()
    return answer
  }

  /** @returns as `look` */
  return async function pass(): Promise<number> {
    const head = await fleet.head()
    if (head.wantedSize === null || canWait(head)) return 0
    const begunMs = now()
    const resized = await look()
    lookedFor = head.wantedSize
    restUntilMs = now() + Math.min(longestRestMs, (now() - begunMs) * restTimes)
    return resized
  }
}
