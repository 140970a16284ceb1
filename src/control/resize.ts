// Brings the fleet to its wanted size (plan-size.ts): orders what is missing, drains the emptiest of what is too much. One
// transaction under the fleet's row, so several controls together do it once.

import type { Provider } from '../provider/provider.ts'
import type { FleetContent, FleetRecords, Step } from '../store/records.ts'
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
  readonly drainMs: number
  readonly coolDownMs: number
  readonly newSuffix: () => string
  readonly newRequestId: () => string
  /** Monotonic milliseconds. */
  readonly now: () => number
  readonly changed: () => void
}

export function makeResize(parts: Parts) {
  const { fleet, provider, load, drainMs, coolDownMs, newRequestId, now } = parts
  /** At which nothing was to be done: a fleet of thousands is not read each second. */
  let settledVersion: number | null = null
  /** Those that failed are looked at again when the cool-down may be over. */
  let lookAgainMs = 0

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
    const drain = newDrain(nowMs, { deadlineMs: drainMs, thenDelete: true, by: 'control' })
    // Nobody has used what never ran.
    if (record.state === 'provisioning') return move(record, 'delete', { drain, requestId: newRequestId() })
    return move(record, 'drain', { drain })
  }

  /** @returns how many upstreams it has ordered or sent away */
  return async function pass(): Promise<number> {
    const head = await fleet.head()
    if (head.wantedSize === null) return 0
    if (head.version === settledVersion && now() < lookAgainMs) return 0
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
}
