// lanekeeper explain: which upstreams serve a lane, in which order, why not the others, and what it may reach.

import { command } from '../command.ts'
import { option, text } from '../flags.ts'
import type { Explanation } from '../shapes.ts'
import { plain, table } from '../table.ts'
import { laneOf, reasonOf } from '../words.ts'
import { apiFlags, tell, withApi } from '../with-api.ts'

const explain = command({
  name: 'explain',
  does: 'say which upstreams serve a lane, in order, why not the others, and what it may reach',
  about: ['Without --type or --institution: as for a job that names none.'],
  args: {},
  flags: {
    type: option('type', 'the job type of the lane', text),
    institution: option('code', 'the institution of the lane', text),
    ...apiFlags,
  },
  examples: ['lanekeeper explain --type payment --institution bank-a', 'lanekeeper explain --json'],
  run: (call) =>
    withApi(call, async (api) => {
      const { type, institution } = call.flags
      const explanation = await api.get<Explanation>('/v1/explain', 'eligible', { type, institution })
      return tell(call, explanation, () => inWords(explanation))
    }),
})

export const explainCommands = [explain]

/** Pure. */
export function inWords({ type, institution, version, eligible, refused, targets }: Explanation): string {
  const serving =
    eligible.length === 0
      ? ['No upstream may serve it; a job gets 503 no_upstream.']
      : [`Eligible, in this order (${eligible.length}):`, ...eligible.map((id) => `  ${plain(id)}`)]
  const others =
    refused.length === 0
      ? []
      : [
          '',
          `Refused (${refused.length}):`,
          indented(
            table(
              [
                { title: 'UPSTREAM', of: ({ upstream }) => upstream },
                { title: 'WHY', of: ({ reason }) => reasonOf(reason) },
                { title: 'RESTRICTION', of: ({ restriction }) => restriction },
              ],
              refused,
            ),
          ),
        ]
  return [
    `Lane ${plain(laneOf({ type, institution }))} at version ${version}`,
    '',
    ...serving,
    ...others,
    ...targetsInWords(targets),
  ].join('\n')
}

/** Nothing where any target may be reached. */
function targetsInWords(targets: Explanation['targets']): string[] {
  const patterns = targets?.allowed ?? targets?.reported
  if (!targets || !patterns) return []
  const [what, rest] = targets.allowed
    ? ['May reach', 'and nothing else']
    : ['Expected to reach', 'anything else is only reported']
  const rules = targets.restrictions.map(plain).join(', ')
  return ['', `${what} (${rules}), ${rest}:`, ...patterns.map((pattern) => `  ${plain(pattern)}`)]
}

function indented(lines: string): string {
  return lines.replace(/^/gm, '  ')
}
