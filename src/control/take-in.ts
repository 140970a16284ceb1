// What control does first: brings the records in line with the configuration (rules, wanted size) and with what a provider
// on this machine, or a list, has. A cloud is not asked here; the first sync does that. A configuration that is read again
// is taken in the same way, but for machines of our own, which stay as they are.

import type { Events } from '../events.ts'
import type { Instance, Provider } from '../provider/provider.ts'
import type { Page, RecordStore, Step, UpstreamRecord } from '../store/records.ts'
import type { Restriction } from '../types.ts'
import { livesOf, planAdoption, planRestrictions, type Adoption } from './adopt.ts'
import { bringUp } from './bring-up.ts'
import { configuredSize } from './edit-fleet.ts'

/** Read at each use: a reload may change what is of the configuration. */
type Parts = {
  readonly provider: Provider
  readonly records: Pick<RecordStore, 'fleet' | 'upstreams' | 'migrate'>
  /** Of the configuration. */
  readonly restrictions: readonly Restriction[]
  readonly wanted: number | null
  readonly settings: { readonly probes: boolean; readonly drainMs: number }
  readonly events: Events
}

/** @returns steps that may be repeated where the database goes away in between; instances are brought up once only */
export function makeTakeIn(parts: Parts) {
  const { provider, records, settings, events } = parts
  const { fleet, upstreams } = records
  let broughtUp: readonly Instance[] | null = null

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

  /** Of a cloud none: its machines are not asked for here, but what another provider left in the records leaves. */
  async function instances(): Promise<readonly Instance[]> {
    if (provider.name === 'gce') return []
    // It may be another one by now.
    if (provider.name === 'static') return (await provider.list()).instances
    return (broughtUp ??= await bringUp(provider, (await fleet.read()).upstreams))
  }

  /** @param listed  null: upstreams stay as they are */
  async function write(listed: readonly Instance[] | null, reason: string): Promise<void> {
    const place = await provider.place()
    const listing = listed && { provider: provider.name, place, instances: listed }
    const listedIds = listed?.map(({ id }) => id) ?? []
    const lives = livesOf(listedIds, listed ? await readAll() : new Map())
    const { answer: left } = await fleet.change<Adoption['left']>({
      author: { actor: 'control', reason },
      decide(content) {
        const adoption = listing ? planAdoption(content, listing, lives, settings) : { steps: [], left: [] }
        const steps: Step[] = [
          ...adoption.steps,
          ...planRestrictions(content, parts.restrictions),
          ...configuredSize(content, parts.wanted),
        ]
        // Version 0 is never published, but a fleet without upstreams is a fleet too: some may come later.
        const isFirst = content.version === 0 && steps.length === 0
        return { steps: isFirst ? [{ kind: 'version_raised', above: 0 }] : steps, answer: adoption.left }
      },
    })
    for (const { id, detail } of left) events.emit('upstream_not_adopted', { id, detail })
  }

  return {
    /** @throws ControlError conflict where another control that starts was faster: then it is done again; ProviderError */
    async takeIn(): Promise<void> {
      await records.migrate()
      await write(await instances(), 'provider and configuration at start')
    },

    /** The configuration was read again. @throws as takeIn */
    async takeInAgain(): Promise<void> {
      await write(provider.name === 'static' ? await instances() : null, 'configuration reloaded')
    },
  }
}
