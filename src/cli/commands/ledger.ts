// lanekeeper ledger ...: who changed what in the fleet, and why; and whether that record is whole.

import { command } from '../command.ts'
import { argument, id, option, wholeNumber } from '../flags.ts'
import type { LedgerCheck, LedgerEntry, Step } from '../shapes.ts'
import { cell, count, record } from '../table.ts'
import { stepOf } from '../words.ts'
import {
  apiFlags,
  limitContradiction,
  listFlags,
  showList,
  tell,
  withApi,
  type ListView,
} from '../with-api.ts'

/** The rest is to be had by `ledger show`. */
const stepsInList = 3

const view: ListView<LedgerEntry> = {
  noun: 'change',
  columns: [
    { title: 'VERSION', of: ({ version }) => version, align: 'right' },
    { title: 'AT', of: ({ at }) => at },
    { title: 'ACTOR', of: ({ actor }) => actor },
    { title: 'WHAT', of: ({ steps }) => inOneLine(steps) },
    { title: 'REASON', of: ({ reason }) => reason },
  ],
}

const list = command({
  name: 'ledger list',
  does: 'list the changes of the fleet, newest first: who, what and why',
  args: {},
  flags: { about: option('id', 'only what concerns this upstream or restriction', id), ...listFlags },
  examples: ['lanekeeper ledger list --limit 20', 'lanekeeper ledger list --about up-1 --all --json'],
  contradiction: limitContradiction,
  run: (call) => showList(call, { path: '/v1/ledger', query: { about: call.flags.about } }, view),
})

const show = command({
  name: 'ledger show',
  does: 'show one change in full, with its hash and that of the change before',
  args: {
    version: argument('the version of the fleet that it made', wholeNumber(1, Number.MAX_SAFE_INTEGER)),
  },
  flags: apiFlags,
  examples: ['lanekeeper ledger show 12'],
  run: (call) =>
    withApi(call, async (api) => {
      const entry = await api.get<LedgerEntry>(`/v1/ledger/${call.args.version}`, 'steps')
      const { steps, ...rest } = entry
      return tell(call, entry, () =>
        [record(rest), '', ...steps.map((step) => cell(stepOf(step)))].join('\n'),
      )
    }),
})

const verify = command({
  name: 'ledger verify',
  does: 'follow the chain of hashes from the first change to the newest',
  about: ['Each row holds the hash of the one before, so a row that was changed or taken out is found.'],
  args: {},
  flags: apiFlags,
  examples: ['lanekeeper ledger verify --timeout 60'],
  exits: { 3: 'ledger verify: the chain is broken' },
  run: (call) =>
    withApi(call, async (api) => {
      const check = await api.get<LedgerCheck>('/v1/ledger/verify', 'ok')
      tell(call, check, () => inWords(check))
      return check.ok ? 0 : 3
    }),
})

export const ledgerCommands = [list, show, verify]

/** A first start may add hundreds of upstreams in one change. */
function inOneLine(steps: readonly Step[]): string {
  const shown = steps.slice(0, stepsInList).map(stepOf)
  const more = steps.length - shown.length
  return [...shown, ...(more > 0 ? [`and ${more} more`] : [])].join('; ')
}

function inWords(check: LedgerCheck): string {
  return check.ok
    ? `The ledger is whole: ${count(check.entries, 'change')} up to version ${check.version}, hash ${cell(check.hash)}.`
    : `The ledger is broken at version ${check.version}: ${cell(check.problem)}`
}
