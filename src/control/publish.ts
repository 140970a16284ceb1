// The fleet as the database has it -> the snapshot that gateways decide by, in the store of pins. What that store
// loses is published again; where it knows more than the database (restored from a backup, failed over), the
// database goes on above it, so that no gateway ever sees two fleets under one version.

import type { Events } from '../events.ts'
import type { FleetContent, FleetRecords, Head, UpstreamRecord } from '../store/records.ts'
import type { Snapshots } from '../store/store.ts'
import type { Restriction, Snapshot, Upstream } from '../types.ts'

type Parts = {
  readonly fleet: FleetRecords
  readonly snapshots: Snapshots
  readonly events: Events
}

export type Publisher = ReturnType<typeof makePublisher>

export function makePublisher({ fleet, snapshots, events }: Parts) {
  let published: Snapshot | null = null

  function isStanding({ version, ledgerHash }: Head, standing: number): boolean {
    return standing === version && published?.version === version && published.ledgerHash === ledgerHash
  }

  /** Two histories may have come to the same number; the ledger's hash tells them apart. */
  async function isOfThisHistory({
    version,
    ledgerHash,
  }: Pick<Snapshot, 'version' | 'ledgerHash'>): Promise<boolean> {
    const snapshot = await snapshots.read()
    if (snapshot?.version !== version || snapshot.ledgerHash !== ledgerHash) return false
    published = snapshot
    return true
  }

  async function raise(above: number): Promise<void> {
    const { version } = await fleet.change({
      author: { actor: 'control', reason: 'the store of pins is ahead of the database' },
      decide: ({ version }) => ({
        // Somebody else may have raised it meanwhile.
        steps: version > above ? [] : [{ kind: 'version_raised', above }],
        answer: null,
      }),
    })
    events.emit('version_raised', { above, version })
  }

  async function publish(): Promise<void> {
    const snapshot = snapshotOf(await fleet.read())
    await snapshots.publish(snapshot)
    // A newer one of another control may stand there already; ours is then superseded.
    if (await isOfThisHistory(snapshot)) events.emit('snapshot_published', { version: snapshot.version })
  }

  return {
    /** Publishes what is still to be published, and what the store has lost. */
    async pass(): Promise<void> {
      // First the store, then the database: the store is never ahead of a database that is asked after it.
      const standing = await snapshots.version()
      const head = await fleet.head()
      if (isStanding(head, standing)) return
      if (standing > head.version) await raise(standing)
      else if (standing === head.version && standing > 0) {
        if (await isOfThisHistory(head)) return
        await raise(standing)
      }
      await publish()
    },

    /** Of the newest snapshot that this process has seen standing; 0 before the first. */
    get version(): number {
      return published?.version ?? 0
    },

    get upstreams(): readonly Upstream[] {
      return published?.upstreams ?? []
    },

    upstream(id: string): Upstream | null {
      return published?.upstreams.find((upstream) => upstream.id === id) ?? null
    },
  }
}

/** Only what gateways are told: no dates, no origin. */
export function snapshotOf({ version, ledgerHash, upstreams, restrictions }: FleetContent): Snapshot {
  return {
    version,
    ledgerHash,
    upstreams: upstreams.filter(isPublished).map(upstreamOf),
    restrictions: restrictions.map(restrictionOf),
  }
}

/**
 * Those that jobs may be on. One that leaves takes its tunnels with it: what is being deleted, and what is still there at
 * the deadline of its drain.
 */
function isPublished({ state, drain }: UpstreamRecord): boolean {
  return state === 'running' || (state === 'draining' && !drain?.shut)
}

function upstreamOf(record: Upstream): Upstream {
  const { id, name, provider, state, host, port, egressIp, labels, ejected, quarantined, credentials } =
    record
  return { id, name, provider, state, host, port, egressIp, labels, ejected, quarantined, credentials }
}

/** Without dates and source, and in one spelling: a rule without targets does not speak of them. */
export function restrictionOf(record: Restriction): Restriction {
  const { id, kind, type, institution, upstreams, overflow, targets, report = false } = record
  return { id, kind, type, institution, upstreams, overflow, ...(targets ? { targets, report } : {}) }
}
