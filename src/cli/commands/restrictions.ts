// lanekeeper restrictions ...: the rules that tie lanes to upstreams, and to targets.

import type { Api, Change } from '../api.ts'
import { command, type Surroundings } from '../command.ts'
import { waitForEviction } from '../eviction.ts'
import {
  argument,
  id,
  labels,
  list,
  lists,
  oneOf,
  option,
  repeatable,
  required,
  toggle,
  word,
  type ValuesOf,
} from '../flags.ts'
import type { Restriction, RuleChange } from '../shapes.ts'
import { cell, count, record } from '../table.ts'
import { ruleOf, selectorOf, targetsOf } from '../words.ts'
import {
  apiFlags,
  author,
  changeFlags,
  force,
  forceExits,
  limitContradiction,
  listFlags,
  showList,
  tell,
  withApi,
  type ListView,
} from '../with-api.ts'

const args = { id: argument('the id of the restriction, as restrictions list shows it', id) }
const lane = word(/^\S{1,64}$/, 'a word without spaces, or * for any')

const ruleFlags = {
  kind: required(
    'exclusive|deny|targets',
    'exclusive: these upstreams and lanes are for each other; deny: keep them apart; targets: only say what the lanes reach',
    oneOf('exclusive', 'deny', 'targets'),
  ),
  type: option('type', 'the job type of the lanes; any unless given', lane),
  institution: option('code', 'the institution of the lanes; any unless given', lane),
  ids: option('a,b', 'the upstreams by their ids; this or --label', list),
  label: repeatable(
    'k=v',
    'the upstreams by a label, later ones too; all that are given must be there',
    labels,
  ),
  target: repeatable(
    'pattern',
    'all that the lanes may reach: a name, *.name for what is below it, an address or a CIDR; as often as needed',
    lists,
  ),
  report: toggle('with --target: only tell in the log what would be refused'),
  overflow: toggle('exclusive only: lanes may use the rest while none of these is running and healthy'),
}

const evictFlags = {
  evict: toggle('release the jobs that no longer fit; else they stay where they are pinned'),
  wait: toggle('with --evict: wait until that is done, and say how many'),
}

const view: ListView<Restriction> = {
  noun: 'restriction',
  columns: [
    { title: 'ID', of: (rule) => rule.id },
    { title: 'KIND', of: (rule) => rule.kind },
    { title: 'TYPE', of: (rule) => rule.type },
    { title: 'INSTITUTION', of: (rule) => rule.institution },
    { title: 'UPSTREAMS', of: (rule) => selectorOf(rule.upstreams) },
    { title: 'TARGETS', of: targetsOf },
    { title: 'OVERFLOW', of: (rule) => rule.overflow },
    { title: 'SOURCE', of: (rule) => rule.source },
  ],
}

const showAll = command({
  name: 'restrictions list',
  does: 'list the rules, in the order in which they were added',
  args: {},
  flags: listFlags,
  examples: ['lanekeeper restrictions list', 'lanekeeper restrictions list --json'],
  contradiction: limitContradiction,
  run: (call) => showList(call, { path: '/v1/restrictions' }, view),
})

const show = command({
  name: 'restrictions show',
  does: 'show one rule',
  args,
  flags: apiFlags,
  examples: ['lanekeeper restrictions show cl-only'],
  run: (call) =>
    withApi(call, async (api) => {
      const rule = await api.get<Restriction>(pathOf(call.args.id), 'id')
      return tell(call, rule, () => record({ ...rule }))
    }),
})

const add = command({
  name: 'restrictions add',
  does: 'tie lanes to upstreams (exclusive) or to targets (targets), or keep them apart (deny)',
  about: [
    'A lane is a job type and an institution. Refused (exit code 4) where the rule selects no upstream, or would leave a',
    'lane in use without any. Jobs that are pinned already stay where they are, unless --evict releases them.',
    'Lanes with --target reach nothing else: an address only where it is listed itself, a name whatever it resolves to.',
    'A job that never says its type is in lane */*, which a rule with --type does not match: only a token holds it.',
  ],
  args: {},
  flags: {
    id: option('id', 'what to call it; else one is made', id),
    ...ruleFlags,
    force,
    ...evictFlags,
    ...changeFlags,
  },
  examples: [
    'lanekeeper restrictions add --kind exclusive --type payment --institution bank-a --label pool=payments-cl --id cl-only',
    'lanekeeper restrictions add --kind exclusive --institution bank-b --ids up-1,up-2 --overflow --force',
    'lanekeeper restrictions add --kind deny --institution bank-a --ids up-3 --evict --wait --reason "blocked there"',
    "lanekeeper restrictions add --kind targets --type payment --institution bank-a --target '*.bank-a.example' --report",
  ],
  exits: forceExits,
  contradiction: (flags) => selectorProblem(flags) ?? waitProblem(flags),
  run: (call) => {
    const { id } = call.flags
    const body = { ...(id === null ? {} : { id }), ...ruleFrom(call.flags) }
    return change<Restriction>(call, { method: 'POST', path: '/v1/restrictions', body }, (rule) => {
      return `${changed(rule, 'is added')}\n${sentence(rule)}`
    })
  },
})

const replace = command({
  name: 'restrictions replace',
  does: 'put another rule in the place of one, under its id',
  about: ['The whole rule is given anew, with the flags of restrictions add; what is left out is not kept.'],
  args,
  flags: { ...ruleFlags, force, ...evictFlags, ...changeFlags },
  examples: [
    'lanekeeper restrictions replace cl-only --kind exclusive --type payment --label pool=payments-cl --label zone=a',
    'lanekeeper restrictions replace cl-only --kind exclusive --institution bank-a --ids up-1 --overflow --force --evict --wait',
    "lanekeeper restrictions replace bank-a --kind targets --institution bank-a --target '*.bank-a.example' --report",
  ],
  exits: forceExits,
  contradiction: (flags) => selectorProblem(flags) ?? waitProblem(flags),
  run: (call) => {
    const request = { method: 'PUT', path: pathOf(call.args.id), body: ruleFrom(call.flags) } as const
    return change<Restriction>(call, request, (rule) => `${changed(rule, 'is replaced')}\n${sentence(rule)}`)
  },
})

const remove = command({
  name: 'restrictions remove',
  does: 'take a rule away',
  args,
  flags: { force, ...evictFlags, ...changeFlags },
  examples: [
    'lanekeeper restrictions remove cl-only --reason "the agreement ended"',
    'lanekeeper restrictions remove cl-only --force --evict --wait',
  ],
  exits: forceExits,
  contradiction: waitProblem,
  run: (call) =>
    change(call, { method: 'DELETE', path: pathOf(call.args.id) }, (gone) => changed(gone, 'is removed')),
})

export const restrictionCommands = [showAll, show, add, replace, remove]

type Selection = Pick<ValuesOf<typeof ruleFlags>, 'kind' | 'ids' | 'label' | 'target' | 'report'>
type Evict = ValuesOf<typeof evictFlags>

function selectorProblem({ kind, ids, label, target, report }: Selection): string | null {
  if (report && target === null) return '--report goes with --target; give both.'
  if (kind === 'deny' && target !== null) return '--target goes with --kind exclusive or targets.'
  if (kind !== 'targets')
    return (ids === null) === (label === null) ? 'Say which upstreams: either --ids or --label.' : null
  if (target === null) return 'Say what the lanes may reach: --target, as often as needed.'
  return ids === null && label === null
    ? null
    : '--kind targets takes no upstreams; leave --ids and --label out.'
}

function waitProblem({ evict, wait }: Evict): string | null {
  return wait && !evict ? '--wait waits for --evict; give both.' : null
}

type ChangeCall = {
  readonly flags: Evict & ValuesOf<typeof changeFlags> & { readonly force: boolean }
  readonly io: Surroundings
}

/** Asks for it, says what is so now, and follows the eviction. */
function change<T>(
  call: ChangeCall,
  request: Pick<Change, 'method' | 'path' | 'body'>,
  lines: (answer: T & RuleChange) => string,
): Promise<number> {
  return withApi(call, async (api) => {
    const asked = { ...request, knownBy: 'id', query: overrules(call.flags), ...author(call.flags) }
    const answer = await api.change<T & RuleChange>(asked)
    tell(call, answer, () => lines(answer))
    return followEviction(call, api, answer)
  })
}

function overrules({ force, evict }: { readonly force: boolean; readonly evict: boolean }) {
  return { force: force || null, evict: evict || null }
}

function ruleFrom(flags: ValuesOf<typeof ruleFlags>) {
  const { kind, type, institution, ids, label, overflow, target, report } = flags
  return {
    kind,
    ...(type === null ? {} : { type }),
    ...(institution === null ? {} : { institution }),
    ...(kind === 'targets' ? {} : { upstreams: ids === null ? { labels: label } : { ids } }),
    ...(overflow ? { overflow } : {}),
    ...(target === null ? {} : { targets: target }),
    ...(report ? { report } : {}),
  }
}

function pathOf(id: string): string {
  return `/v1/restrictions/${encodeURIComponent(id)}`
}

function changed({ id, version }: RuleChange, what: string): string {
  return `Restriction ${cell(id)} ${what} (version ${version}).`
}

function sentence(rule: Restriction): string {
  return `It is now: ${ruleOf(rule)}.`
}

/** What is said of it goes beside the answer, so that --json stays one document. */
async function followEviction(
  { flags, io }: { readonly flags: Evict; readonly io: { readonly err: (lines: string) => void } },
  api: Api,
  { version, evicting }: RuleChange,
): Promise<number> {
  if (!evicting) return 0
  if (!flags.wait) {
    io.err('Jobs that no longer fit are being released; lanekeeper ledger list tells when that is done.')
    return 0
  }
  io.err('Waiting until the jobs that no longer fit are released ...')
  const jobs = await waitForEviction(api, version)
  if (jobs === null) {
    io.err('That is not done after five minutes; lanekeeper ledger list tells when it is.')
    return 1
  }
  io.err(jobs === 0 ? 'No job had to be released.' : `${count(jobs, 'job')} released.`)
  return 0
}
