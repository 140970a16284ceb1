// lanekeeper sync: compare the provider's list with the records, and what the last comparison came to.

import type { Api } from '../api.ts'
import { command, type Surroundings } from '../command.ts'
import { toggle, type ValuesOf } from '../flags.ts'
import type { SyncReport } from '../shapes.ts'
import { syncInWords } from '../sync-words.ts'
import { cell } from '../table.ts'
import { waitForSync } from '../wait-sync.ts'
import { tellLate, waitFlags, waitingFor, withPatientApi } from '../waiting.ts'
import { apiFlags, author, changeFlags, tell, withApi } from '../with-api.ts'

const path = '/v1/sync'
const flags = {
  confirm: toggle('what is gone leaves the fleet, however much that is'),
  ...changeFlags,
  ...apiFlags,
  ...waitFlags,
}

const sync = command({
  name: 'sync',
  does: "compare the provider's list with the records now, and correct the records",
  about: [
    'Done by itself every minute (sync.everyMs). A pass that would take more than one and more than a fifth of the running',
    'upstreams out of the fleet stops, until a person confirms it. What a pass came to is shown by --wait, and by',
    'lanekeeper sync report.',
  ],
  args: {},
  flags,
  examples: ['lanekeeper sync --wait', 'lanekeeper sync --confirm --wait --reason "the project was moved"'],
  exits: { 1: 'failed: refused, no answer, or with --wait: the pass was not done (in time)' },
  run: (call) =>
    withPatientApi(call, async (api) => {
      const { confirm, wait } = call.flags
      const asked = await api.change<{ readonly pass: string }>({
        method: 'POST',
        path,
        ...(confirm ? { body: { confirm } } : {}),
        knownBy: 'pass',
        ...author(call.flags),
      })
      if (wait) return follow(call, api, asked.pass)
      const said = `Sync ${cell(asked.pass)} is asked for; lanekeeper sync report tells what it came to.`
      return tell(call, asked, () => said)
    }),
})

const report = command({
  name: 'sync report',
  does: 'show what the last sync found, corrected and left alone',
  args: {},
  flags: apiFlags,
  examples: ['lanekeeper sync report', 'lanekeeper sync report --json'],
  run: (call) =>
    withApi(call, async (api) => {
      const found = await api.get<SyncReport>(path, 'pass')
      return tell(call, found, () => syncInWords(found))
    }),
})

export const syncCommands = [sync, report]

async function follow(
  call: { readonly flags: ValuesOf<typeof flags>; readonly io: Surroundings },
  api: Api,
  pass: string,
): Promise<number> {
  const end = await waitForSync(api, pass, waitingFor(call))
  if (end === null) return tellLate(call, 'The sync is', 'lanekeeper sync report')
  if (end.kind === 'missed') {
    call.io.err('Later passes came before its report was seen; lanekeeper sync report shows the newest.')
    return 1
  }
  tell(call, end.report, () => syncInWords(end.report))
  return end.report.outcome === 'done' ? 0 : 1
}
