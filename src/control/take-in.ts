// What control does first: brings the records in line with the configuration (rules, wanted size) and with what a provider
// on this machine, or a list, has. A cloud is not asked here; the first sync does that.

import type { Events } from '../events.ts'
import type { Instance, Provider } from '../provider/provider.ts'
import type { Page, RecordStore, Step, UpstreamRecord } from '../store/records.ts'
import type { Restriction } from '../types.ts'
import { livesOf, planAdoption, planRestrictions, type Adoption, type Listing } from './adopt.ts'
import { bringUp } from './bring-up.ts'
import { configuredSize } from './edit-fleet.ts'

type Parts = {
  readonly provider: Provider
  readonly records: Pick<RecordStore, 'fleet' | 'upstreams' | 'migrate'>
  /** Of the configuration. */
  readonly restrictions: readonly Restriction[]
  readonly wanted: number | null
  readonly settings: { readonly probes: boolean; readonly drainMs: number }
  readonly events: Events
}

/** @returns a step that may be repeated where the database goes away in between; instances are brought up once only */
export function makeTakeIn({ provider, records, restrictions, wanted, settings, events }: Parts) {
  const { fleet, upstreams } = records
  let instances: readonly Instance[] | null = null

  /** Tombstones too, page by page: thousands of upstreams must not be thousands of questions. */
  async function readAll(): Promise<ReadonlyMap<string, UpstreamRecord>> {
    const records = [...(await fleet.read()).upstreams]
    let after: string | null = null
    do {
      const page: Page<UpstreamRecord> = await upstreams.list({ state: 'deleted', after, limit: 1000 })
      records.push(...page.items)
      after = page.next
    } while (after !== null)
    return new Map(records.map((record) => [record.id, record]))
  }

  /** Of a cloud nothing: its machines are not asked for here, but what another provider left in the records leaves. */
  async function brought(): Promise<Listing> {
    instances ??= provider.name === 'gce' ? [] : await bringUp(provider, (await fleet.read()).upstreams)
    return { provider: provider.name, place: await provider.place(), instances }
  }

  /** @throws ControlError conflict where another control that starts was faster: then it is done again; ProviderError */
  return async function takeIn(): Promise<void> {
    await records.migrate()
    const listing = await brought()
    const listedIds = listing.instances.map(({ id }) => id)
    const lives = livesOf(listedIds, await readAll())
    const { answer: left } = await fleet.change<Adoption['left']>({
      author: { actor: 'control', reason: 'provider and configuration at start' },
      decide(content) {
        const adoption = planAdoption(content, listing, lives, settings)
        const steps: Step[] = [
          ...adoption.steps,
          ...planRestrictions(content, restrictions),
          ...configuredSize(content, wanted),
        ]
        // Version 0 is never published, but a fleet without upstreams is a fleet too: some may come later.
        const isFirst = content.version === 0 && steps.length === 0
        return { steps: isFirst ? [{ kind: 'version_raised', above: 0 }] : steps, answer: adoption.left }
      },
    })
    for (const { id, detail } of left) events.emit('upstream_not_adopted', { id, detail })
  }
}
