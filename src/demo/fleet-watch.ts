// Looks at the upstreams again and again through the admin API, and tells what has become of each.

import type { AdminApi, Upstream } from './admin-api.ts'
import { lifeInWords } from './fleet-words.ts'
import type { Story } from './story.ts'

type Parts = { readonly api: Pick<AdminApi, 'upstreams'>; readonly story: Pick<Story, 'say'> }

export type FleetWatch = ReturnType<typeof makeFleetWatch>

export function makeFleetWatch({ api, story }: Parts) {
  const seen = new Map<string, Upstream>()
  let listed: readonly Upstream[] = []

  return {
    /** Those that are, as of now; what is new of them is said. @throws as the API does */
    async look(): Promise<readonly Upstream[]> {
      const upstreams = await api.upstreams()
      for (const upstream of upstreams) {
        const before = seen.get(upstream.id)
        const words = lifeInWords(upstream)
        if (!before || lifeInWords(before) !== words) story.say(`${upstream.id}  ${words}`)
        seen.set(upstream.id, upstream)
      }
      for (const { id } of listed)
        if (!upstreams.some((upstream) => upstream.id === id)) story.say(`${id}  deleted`)
      listed = upstreams
      return upstreams
    },

    /** All that ever were, as they were last seen, the oldest first. */
    seen: () => [...seen.values()],
  }
}
