// What an operator does to single upstreams. Each is one transaction, and what takes long has only begun then: the plan
// (plan.ts) goes on from the row; gateways learn of it by the published snapshot.

import { ControlError } from '../errors.ts'
import type { Provider } from '../provider/provider.ts'
import type {
  FleetContent,
  FleetRecords,
  Head,
  NewUpstream,
  Outcome,
  Step,
  UpstreamRecord,
  UpstreamsContent,
} from '../store/records.ts'
import type { Labels } from '../types.ts'
import { newDrain } from './drain.ts'
import type { Asked } from './edit-restrictions.ts'
import { afterStep, changeOf, move, newRecord } from './life.ts'
import { order } from './order.ts'
import { isOwn, stands } from './plan-size.ts'

export type Registration = {
  readonly host: string
  readonly port: number
  readonly name: string | null
  readonly egressIp: string | null
  readonly labels: Labels
  readonly credentials: string | null
}

type Parts = {
  readonly fleet: Pick<FleetRecords, 'change' | 'changeUpstreams'>
  readonly provider: Pick<Provider, 'name' | 'zones' | 'draft' | 'place'>
  /** Read at each use: a reload may change them. */
  readonly settings: {
    /** From the begin of a drain to its deadline, where nobody says otherwise. */
    readonly drainMs: number
    /** False: what is registered runs at once. */
    readonly probes: boolean
  }
  /** 8 of 0-9a-z, never the same again. */
  readonly newSuffix: () => string
  /** A UUID. */
  readonly newRequestId: () => string
  /** Something has changed: publish it now, and look who can go on. */
  readonly changed: () => void
}

/** When a change is decided, and at which version. */
type Moment = Pick<FleetContent, 'version' | 'nowMs'>
type Decision = { readonly steps: readonly Step[]; readonly answer: UpstreamRecord }

export function makeUpstreamEdits(parts: Parts) {
  const { fleet, provider, settings, newSuffix, newRequestId, changed } = parts

  async function change(
    { author, keep }: Asked<UpstreamRecord>,
    decide: (content: FleetContent) => Decision,
  ): Promise<Outcome<UpstreamRecord>> {
    const outcome = await fleet.change<UpstreamRecord>({ author, keep: keep ?? null, decide })
    changed()
    return outcome
  }

  /** What concerns but one does not read a fleet of thousands while everybody waits (112 ms for 5,000, against 14). */
  async function changeOne(
    id: string,
    { author, keep }: Asked<UpstreamRecord>,
    decide: (content: UpstreamsContent, record: UpstreamRecord) => Decision,
  ): Promise<Outcome<UpstreamRecord>> {
    const outcome = await fleet.changeUpstreams<UpstreamRecord>({
      author,
      keep: keep ?? null,
      ids: [id],
      decide: (content) => decide(content, liveOne(content, id)),
    })
    changed()
    return outcome
  }

  /** The wanted size follows what operators do, or the plan would undo it. */
  function resized({ wantedSize, configuredSize }: Head, by: number): Step[] {
    if (wantedSize === null || by === 0) return []
    const to = Math.max(0, wantedSize + by)
    return [{ kind: 'size_wanted', from: wantedSize, to, configured: configuredSize }]
  }

  /** One less to keep, where the upstream was one that is kept. */
  async function leaving() {
    const own = { provider: provider.name, place: await provider.place() }
    return (content: Head, record: UpstreamRecord) =>
      resized(content, isOwn(record, own) && stands(record) ? -1 : 0)
  }

  return {
    /** Takes in a machine that others made. @throws ControlError conflict where a live upstream has that address */
    register(registration: Registration, asked: Asked<UpstreamRecord>): Promise<Outcome<UpstreamRecord>> {
      const id = `${registration.name ?? 'upstream'}-${newSuffix()}`
      return change(asked, (content) => {
        refuseKnownAddress(content, registration)
        return added(content, {
          ...registration,
          id,
          name: registration.name ?? id,
          provider: 'static',
          state: settings.probes ? 'provisioning' : 'running',
          ejected: false,
          quarantined: false,
          addedBy: 'operator',
        })
      })
    },

    /** Has a machine made. @throws ControlError conflict, bad_request where the provider makes none, or not so */
    async create(
      asked: { readonly labels: Labels | null; readonly zone: string | null },
      by: Asked<UpstreamRecord>,
    ): Promise<Outcome<UpstreamRecord>> {
      const place = await provider.place()
      return change(by, (content) => {
        const upstream = order(content.upstreams, asked, { provider, place, newSuffix, newRequestId })
        const { steps, answer } = added(content, upstream)
        return { steps: [...steps, ...resized(content, 1)], answer }
      })
    },

    /** No new jobs for it; its pinned jobs go on. Already so: nothing changes. @throws ControlError not_found */
    quarantine: (id: string, asked: Asked<UpstreamRecord>) =>
      changeOne(id, asked, (content, record) => setAside(content, record, true)),

    /** @throws ControlError not_found */
    release: (id: string, asked: Asked<UpstreamRecord>) =>
      changeOne(id, asked, (content, record) => setAside(content, record, false)),

    /**
     * Out of every ring; jobs on it finish. Drained already: its deadline changes.
     * @param deadlineMs  from now; null: as configured
     * @throws ControlError not_found, conflict
     */
    drain: (
      id: string,
      { deadlineMs }: { readonly deadlineMs: number | null },
      asked: Asked<UpstreamRecord>,
    ) =>
      changeOne(id, asked, (content, record) =>
        changedTo(content, record, [move(record, 'drain', { drain: drainOf(record, content, deadlineMs) })]),
      ),

    /** It takes jobs again. @throws ControlError not_found, conflict once it is being deleted */
    cancel: (id: string, asked: Asked<UpstreamRecord>) =>
      changeOne(id, asked, (content, record) => {
        const step = move(record, 'cancel', { drain: null, replacedBy: null })
        return changedTo(content, record, [step, ...resized(content, record.drain?.thenDelete ? 1 : 0)])
      }),

    /**
     * Has a fresh machine made; once that runs, this one is drained and deleted.
     * @throws ControlError not_found, conflict
     */
    async recycle(id: string, asked: Asked<UpstreamRecord>): Promise<Outcome<UpstreamRecord>> {
      const place = await provider.place()
      return change(asked, (content) => {
        const record = liveOne(content, id)
        if (record.replacedBy !== null) return { steps: [], answer: record }
        refuseUnfit(record, provider.name)
        const zone = provider.zones.find((zone) => zone === record.zone) ?? null
        const asked = { labels: record.labels, zone }
        const fresh = order(content.upstreams, asked, { provider, place, newSuffix, newRequestId })
        const { steps } = added(content, fresh)
        return changedTo(content, record, [changeOf(record, { replacedBy: fresh.id }), ...steps])
      })
    },

    /**
     * Drains it, then deletes it; its tombstone stays.
     * @param force  at once: jobs on it get `pin_lost`
     * @throws ControlError not_found
     */
    async remove(
      id: string,
      { force, deadlineMs }: { readonly force: boolean; readonly deadlineMs: number | null },
      asked: Asked<UpstreamRecord>,
    ): Promise<Outcome<UpstreamRecord>> {
      const lessOne = await leaving()
      return changeOne(id, asked, (content, record) => {
        if (record.state === 'deleting') return { steps: [], answer: record }
        // Nobody has used what never ran.
        const isAtOnce = force || record.state === 'provisioning' || record.state === 'failed'
        const drain = {
          ...drainOf(record, content, deadlineMs),
          thenDelete: true,
          by: 'operator' as const,
        }
        const step = isAtOnce
          ? move(record, 'delete', { drain, requestId: newRequestId() })
          : move(record, 'drain', { drain })
        return changedTo(content, record, [step, ...lessOne(content, record)])
      })
    },
  }

  /** What is known of a drain under way stays: when it began, and what was closed already. */
  function drainOf(record: UpstreamRecord, { nowMs }: Moment, deadlineMs: number | null) {
    const begun = newDrain(nowMs, { deadlineMs: settings.drainMs, thenDelete: false, by: 'operator' })
    if (record.state !== 'draining' || record.drain === null)
      return deadlineMs === null ? begun : { ...begun, deadlineMs: nowMs + deadlineMs }
    return deadlineMs === null ? record.drain : { ...record.drain, deadlineMs: nowMs + deadlineMs }
  }
}

function added({ version, nowMs }: Moment, upstream: NewUpstream): Decision {
  return {
    steps: [{ kind: 'upstream_added', upstream }],
    answer: newRecord(upstream, { version: version + 1, nowMs }),
  }
}

/** @param steps  the first is the record's own */
function changedTo(
  { version, nowMs }: Moment,
  record: UpstreamRecord,
  steps: readonly [Step, ...Step[]],
): Decision {
  return { steps, answer: afterStep(record, steps[0], { version: version + 1, nowMs }) }
}

function setAside(content: Moment, record: UpstreamRecord, quarantined: boolean): Decision {
  if (record.quarantined === quarantined) return { steps: [], answer: record }
  return changedTo(content, record, [changeOf(record, { quarantined })])
}

function liveOne({ upstreams }: Pick<UpstreamsContent, 'upstreams'>, id: string): UpstreamRecord {
  const found = upstreams.find((upstream) => upstream.id === id)
  if (found) return found
  throw new ControlError('not_found', `There is no upstream "${id}", or it is deleted.`)
}

function refuseKnownAddress({ upstreams }: FleetContent, { host, port }: Registration): void {
  const there = upstreams.find((upstream) => upstream.host === host && upstream.port === port)
  if (!there) return
  throw new ControlError('conflict', `Upstream "${there.id}" has the address ${host}:${port} already.`)
}

function refuseUnfit(record: UpstreamRecord, provider: string): void {
  const { id, state } = record
  if (state !== 'running')
    throw new ControlError('conflict', `Upstream "${id}" is ${state}; only one that runs can be recycled.`)
  if (isOwn(record, { provider, place: null })) return
  throw new ControlError(
    'conflict',
    `The machine of upstream "${id}" was made by others, who alone can make another; register that one, then delete this one.`,
  )
}
