// What an operator does to single upstreams: register one that others made, quarantine, release, remove. Each is one
// transaction; the rest of the program learns of it by the published snapshot.

import { ControlError } from '../errors.ts'
import type {
  FleetContent,
  FleetRecords,
  Outcome,
  UpstreamRecord,
  UpstreamRecords,
} from '../store/records.ts'
import type { Labels, Upstream } from '../types.ts'
import type { Asked } from './edit-restrictions.ts'

export type Registration = {
  readonly host: string
  readonly port: number
  readonly name: string | null
  readonly egressIp: string | null
  readonly labels: Labels
  readonly credentials: string | null
}

/** Pinned jobs and open tunnels by upstream id. */
export type Load = {
  readonly pins: ReadonlyMap<string, number>
  readonly tunnels: ReadonlyMap<string, number>
}

type Parts = {
  readonly fleet: FleetRecords
  readonly upstreams: Pick<UpstreamRecords, 'read'>
  /** Publishes what the records say. @throws GatewayError store_unavailable */
  readonly publish: () => Promise<void>
  /** Without expired pins. @throws GatewayError store_unavailable */
  readonly load: () => Promise<Load>
  /** 8 of 0-9a-z, never the same again. */
  readonly newSuffix: () => string
  /** Something has changed: publish it now. */
  readonly changed: () => void
}

export function makeUpstreamEdits({ fleet, upstreams, publish, load, newSuffix, changed }: Parts) {
  async function change(
    { author, keep }: Asked<UpstreamRecord>,
    decide: (content: FleetContent) => Decision,
  ): Promise<Outcome<UpstreamRecord>> {
    const outcome = await fleet.change<UpstreamRecord>({ author, keep: keep ?? null, decide })
    changed()
    return outcome
  }

  /** Quarantined and published, an upstream gets no new job: what is counted then can only become less. */
  async function refuseInUse(record: UpstreamRecord): Promise<void> {
    if (!record.quarantined) {
      throw new ControlError(
        'in_use',
        `Upstream "${record.id}" still takes new jobs: quarantine it, wait until its pins and tunnels are 0, then remove it. ` +
          'To remove it at once, force it: its jobs then get 502 pin_lost.',
      )
    }
    await publish()
    const { pins, tunnels } = await load()
    const [pinned, open] = [pins.get(record.id) ?? 0, tunnels.get(record.id) ?? 0]
    if (pinned === 0 && open === 0) return
    throw new ControlError(
      'in_use',
      `Upstream "${record.id}" still has ${pinned} pinned jobs and ${open} open tunnels. Wait until they are over, or force it: its jobs then get 502 pin_lost.`,
    )
  }

  return {
    /** Takes in a machine that others made. @throws ControlError conflict where a live upstream has that address */
    register(registration: Registration, asked: Asked<UpstreamRecord>): Promise<Outcome<UpstreamRecord>> {
      const id = `${registration.name ?? 'upstream'}-${newSuffix()}`
      return change(asked, ({ upstreams, nowMs }) => {
        const { host, port } = registration
        const there = upstreams.find((upstream) => upstream.host === host && upstream.port === port)
        if (there) {
          throw new ControlError(
            'conflict',
            `Upstream "${there.id}" has the address ${host}:${port} already.`,
          )
        }
        const upstream = {
          ...registration,
          id,
          name: registration.name ?? id,
          provider: 'static',
          state: 'running',
          ejected: false,
          quarantined: false,
          zone: null,
          addedBy: 'operator',
        } as const
        const dates = { createdAtMs: nowMs, updatedAtMs: nowMs, deletedAtMs: null, deletedBy: null }
        return {
          steps: [{ kind: 'upstream_added', upstream }],
          answer: { ...upstream, ...dates, rowVersion: 1 },
        }
      })
    },

    /** No new jobs for it; its pinned jobs go on. Already so: nothing changes. @throws ControlError not_found */
    quarantine: (id: string, asked: Asked<UpstreamRecord>) =>
      change(asked, (content) => setTo(content, id, { quarantined: true })),

    /** @throws ControlError not_found */
    release: (id: string, asked: Asked<UpstreamRecord>) =>
      change(asked, (content) => setTo(content, id, { quarantined: false })),

    /**
     * Leaves a tombstone.
     * @param force  although jobs may be using it, or its provider will miss it
     * @throws ControlError not_found, in_use, conflict
     */
    async remove(
      id: string,
      { force }: { force: boolean },
      asked: Asked<UpstreamRecord>,
    ): Promise<Outcome<UpstreamRecord>> {
      const seen = await upstreams.read(id)
      if (!force && seen && seen.state !== 'deleted') {
        refuseProvided(seen)
        await refuseInUse(seen)
      }
      return change(asked, (content) => {
        const record = liveOne(content, id)
        if (!force && record.rowVersion !== seen?.rowVersion) {
          throw new ControlError(
            'conflict',
            `Upstream "${id}" was changed meanwhile; look at it, and try again.`,
          )
        }
        const end = { state: 'deleted', deletedAtMs: content.nowMs, deletedBy: 'operator' } as const
        return {
          steps: [{ kind: 'upstream_deleted', id, by: 'operator' }],
          answer: { ...record, ...end, updatedAtMs: content.nowMs, rowVersion: record.rowVersion + 1 },
        }
      })
    },
  }
}

type Decision = ReturnType<Parameters<FleetRecords['change']>[0]['decide']> & {
  readonly answer: UpstreamRecord
}

function setTo(content: FleetContent, id: string, to: Pick<Upstream, 'quarantined'>): Decision {
  const record = liveOne(content, id)
  if (record.quarantined === to.quarantined) return { steps: [], answer: record }
  return {
    steps: [{ kind: 'upstream_changed', id, from: { quarantined: record.quarantined }, to }],
    answer: { ...record, ...to, rowVersion: record.rowVersion + 1, updatedAtMs: content.nowMs },
  }
}

function liveOne({ upstreams }: FleetContent, id: string): UpstreamRecord {
  const found = upstreams.find((upstream) => upstream.id === id)
  if (found) return found
  throw new ControlError('not_found', `There is no upstream "${id}", or it is deleted.`)
}

function refuseProvided({ id, provider }: UpstreamRecord): void {
  if (provider === 'static') return
  throw new ControlError(
    'conflict',
    `Upstream "${id}" was made by the provider ${provider}, which keeps as many as it is told to (LOCAL_UPSTREAMS); change that and start again.`,
  )
}
