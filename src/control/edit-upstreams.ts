// What an operator does to single upstreams. Each is one transaction, and what takes long has only begun then: the plan
// (plan.ts) goes on from the row; gateways learn of it by the published snapshot.

import { ControlError } from '../errors.ts'
import type { Provider } from '../provider/provider.ts'
import {
  unlived,
  type FleetContent,
  type FleetRecords,
  type NewUpstream,
  type Outcome,
  type Step,
  type UpstreamRecord,
} from '../store/records.ts'
import type { Labels } from '../types.ts'
import { newDrain } from './drain.ts'
import type { Asked } from './edit-restrictions.ts'
import { afterStep, changeOf, move } from './life.ts'
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
  readonly fleet: Pick<FleetRecords, 'change'>
  readonly provider: Pick<Provider, 'name' | 'zones' | 'draft' | 'place'>
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

  /** The wanted size follows what operators do, or the plan would undo it. */
  function resized({ wantedSize, configuredSize }: FleetContent, by: number): Step[] {
    if (wantedSize === null || by === 0) return []
    const to = Math.max(0, wantedSize + by)
    return [{ kind: 'size_wanted', from: wantedSize, to, configured: configuredSize }]
  }

  /** One less to keep, where the upstream was one that is kept. */
  async function leaving() {
    const own = { provider: provider.name, place: await provider.place() }
    return (content: FleetContent, record: UpstreamRecord) =>
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
      change(asked, (content) => setAside(content, id, true)),

    /** @throws ControlError not_found */
    release: (id: string, asked: Asked<UpstreamRecord>) =>
      change(asked, (content) => setAside(content, id, false)),

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
      change(asked, (content) => {
        const record = liveOne(content, id)
        return changedTo(content, record, [
          move(record, 'drain', { drain: drainOf(record, content, deadlineMs) }),
        ])
      }),

    /** It takes jobs again. @throws ControlError not_found, conflict once it is being deleted */
    cancel: (id: string, asked: Asked<UpstreamRecord>) =>
      change(asked, (content) => {
        const record = liveOne(content, id)
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
      return change(asked, (content) => {
        const record = liveOne(content, id)
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
  function drainOf(record: UpstreamRecord, { nowMs }: FleetContent, deadlineMs: number | null) {
    const begun = newDrain(nowMs, { deadlineMs: settings.drainMs, thenDelete: false, by: 'operator' })
    if (record.state !== 'draining' || record.drain === null)
      return deadlineMs === null ? begun : { ...begun, deadlineMs: nowMs + deadlineMs }
    return deadlineMs === null ? record.drain : { ...record.drain, deadlineMs: nowMs + deadlineMs }
  }
}

function added({ version, nowMs }: FleetContent, upstream: NewUpstream): Decision {
  return { steps: [{ kind: 'upstream_added', upstream }], answer: asRecord(upstream, { version, nowMs }) }
}

/** As it will be read. */
function asRecord(
  upstream: NewUpstream,
  { version, nowMs }: { readonly version: number; readonly nowMs: number },
): UpstreamRecord {
  return {
    ...unlived,
    instanceId: upstream.id,
    ...upstream,
    rowVersion: 1,
    stateVersion: version + 1,
    stateSinceMs: nowMs,
    claimFence: 0,
    createdAtMs: nowMs,
    updatedAtMs: nowMs,
    deletedAtMs: null,
    deletedBy: null,
  }
}

/** @param steps  the first is the record's own */
function changedTo(
  { version, nowMs }: FleetContent,
  record: UpstreamRecord,
  steps: readonly [Step, ...Step[]],
): Decision {
  return { steps, answer: afterStep(record, steps[0], { version: version + 1, nowMs }) }
}

function setAside(content: FleetContent, id: string, quarantined: boolean): Decision {
  const record = liveOne(content, id)
  if (record.quarantined === quarantined) return { steps: [], answer: record }
  return changedTo(content, record, [changeOf(record, { quarantined })])
}

function liveOne({ upstreams }: FleetContent, id: string): UpstreamRecord {
  const found = upstreams.find((upstream) => upstream.id === id)
  if (found) return found
  throw new ControlError('not_found', `There is no upstream "${id}", or it is deleted.`)
}

function refuseKnownAddress({ upstreams }: FleetContent, { host, port }: Registration): void {
  const there = upstreams.find((upstream) => upstream.host === host && upstream.port === port)
  if (!there) return
  throw new ControlError('conflict', `Upstream "${there.id}" has the address ${host}:${port} already.`)
}

function refuseUnfit({ id, state, provider, addedBy }: UpstreamRecord, own: string): void {
  if (state !== 'running')
    throw new ControlError('conflict', `Upstream "${id}" is ${state}; only one that runs can be recycled.`)
  if (addedBy !== 'operator' && provider === own) return
  throw new ControlError(
    'conflict',
    `The machine of upstream "${id}" was made by others, who alone can make another; register that one, then delete this one.`,
  )
}
