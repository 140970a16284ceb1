// The fleet as control knows it -> the snapshot that gateways decide by. The version rises when the content
// changes, and only then; what the store loses is published again.

import type { Events } from '../events.ts'
import type { Snapshots } from '../store/store.ts'
import type { Restriction, Snapshot, Upstream } from '../types.ts'

type Content = { readonly upstreams: readonly Upstream[]; readonly restrictions: readonly Restriction[] }

export type Publisher = ReturnType<typeof makePublisher>

export function makePublisher({ snapshots, events }: { snapshots: Snapshots; events: Events }) {
  let wanted: Content | null = null
  let published: Snapshot | null = null

  async function publish(snapshot: Snapshot): Promise<void> {
    await snapshots.publish(snapshot)
    // The version alone does not tell whose it is: another control may have taken the same one first.
    const standing = await snapshots.read()
    if (standing?.version !== snapshot.version || !sameContent(standing, snapshot)) return
    published = snapshot
    events.emit('snapshot_published', { version: snapshot.version })
  }

  /** One above what stands there; somebody faster makes us look again. */
  async function publishWanted(content: Content): Promise<void> {
    const current = await snapshots.read()
    if (current && sameContent(current, content)) published = current
    else await publish({ ...content, version: (current?.version ?? 0) + 1 })
    if (wanted === content && published && sameContent(published, content)) wanted = null
  }

  return {
    /** Makes this the fleet; a store that is away gets it with a later pass. */
    async set(content: Content): Promise<void> {
      wanted = content
      await this.pass()
    },

    /** Publishes what is still to be published, and what the store has lost. */
    async pass(): Promise<void> {
      if (wanted) await publishWanted(wanted)
      else if (published && (await snapshots.version()) < published.version) await publish(published)
    },

    get version(): number {
      return published?.version ?? 0
    },

    upstream(id: string): Upstream | null {
      return published?.upstreams.find((upstream) => upstream.id === id) ?? null
    },
  }
}

function sameContent(a: Content, b: Content): boolean {
  const text = ({ upstreams, restrictions }: Content) => JSON.stringify([upstreams, restrictions])
  return text(a) === text(b)
}
