// What one list, or a few in a row, mean for the records. That a correction holds only while its row is the one that was
// read is sync.ts.

import t from 'tap'
import { planSync, takesAway, type Sightings, type SyncFacts } from '../../src/control/plan-sync.ts'
import type { Instance, Listing } from '../../src/provider/provider.ts'
import type { UpstreamRecord } from '../../src/store/records.ts'
import { drain, instance, madeMs, upstreamRecord } from '../fixtures/upstream-records.ts'

const graceMs = 120_000
const hourMs = 3_600_000
/** Old enough for everything. */
const recordNowMs = madeMs + 24 * hourMs

const facts = (said: Partial<SyncFacts>): SyncFacts => ({
  provider: 'gce',
  place: null,
  records: [],
  tombstones: new Map(),
  listing: listing(),
  egressSeen: () => null,
  sightings: new Map(),
  nowMs: 1_000_000,
  recordNowMs,
  absences: 1,
  graceMs: 0,
  confirmed: false,
  ...said,
})

function listing(...instances: Instance[]): Listing {
  return { instances, problems: [] }
}

/** `action id: reason`, `left id: detail`, `stopped: why` */
function told(said: Partial<SyncFacts>): string[] {
  const { corrections, left, stopped } = planSync(facts(said))
  return [
    ...corrections.map(({ action, id, reason }) => `${action} ${id}: ${reason}`),
    ...left.map(({ id, detail }) => `left ${id}: ${detail}`),
    ...(stopped === null ? [] : [`stopped: ${stopped}`]),
  ]
}

/**
 * One pass after the other, a minute apart, each told what the one before has seen.
 * @returns what each told
 */
function passes(...said: Partial<SyncFacts>[]): string[][] {
  let sightings: Sightings = new Map()
  return said.map((one, index) => {
    const known = { nowMs: 1_000_000 + index * 60_000, absences: 2, graceMs, ...one, sightings }
    sightings = planSync(facts(known)).sightings
    return told(known)
  })
}

const a = upstreamRecord({ id: 'a' })
const machine = instance({ id: 'a' })
const incomplete: Listing = { instances: [], problems: ['zone-b did not answer'] }

type Row = readonly [name: string, said: Partial<SyncFacts>, told: readonly string[]]

function check(title: string, rows: readonly Row[]): void {
  for (const [name, said, expected] of rows)
    t.test(`${title}: ${name}`, async (t) => {
      t.strictSame(told(said), expected)
    })
}

const both = (record: Partial<UpstreamRecord>, listed: Partial<Instance> | null): Partial<SyncFacts> => ({
  records: [upstreamRecord({ id: 'a', ...record })],
  listing: listed ? listing(instance({ id: 'a', ...listed })) : listing(),
})

check('as it should be', [
  ['nothing there, nothing recorded', {}, []],
  ['listed and recorded alike', { records: [a], listing: listing(machine) }, []],
  ['its second life goes on under the same id of the list', both({ id: 'a.2', instanceId: 'a' }, {}), []],
  ['a list that knows no egress IP changes nothing', both({}, { egressIp: null }), []],
  ['a list that knows no number of the machine changes nothing', both({}, { incarnation: null }), []],
  ['so does a record that never knew it', both({ incarnation: null }, {}), []],
  ['other labels and names are no business of a sync', both({ labels: { b: 'c' } }, { name: 'z' }), []],
  ['what probes see may differ from what the list says', both({ egressIp: '198.51.100.1' }, {}), []],
])

check('what its own step has the word on', [
  ['one that is being made is not missed', both({ state: 'provisioning', host: '' }, null), []],
  ['nor taken over half made', both({ state: 'provisioning', host: '' }, { status: 'starting' }), []],
  ['nor given an address', both({ state: 'provisioning', host: '' }, {}), []],
  ['one that is being deleted is not revived', both({ state: 'deleting' }, {}), []],
  ['nor changed', both({ state: 'deleting' }, { host: '10.0.0.2', incarnation: '2' }), []],
  ['nor ended by its absence', both({ state: 'deleting' }, null), []],
  ['a drain is not undone by a machine that runs', both({ state: 'draining', drain: drain() }, {}), []],
])

check('whose business it is', [
  [
    'registered by an operator',
    both({ addedBy: 'operator', provider: 'static', host: '10.0.0.9' }, null),
    [],
  ],
  ['of another provider', both({ provider: 'local' }, null), []],
  ['of another place', { ...both({ zone: 'there' }, null), place: 'here' }, []],
  ['of this place', { ...both({ zone: 'here' }, null), place: 'here' }, ['gone a: its machine is gone']],
  ['adopted from the list', both({ addedBy: 'provider' }, null), ['gone a: its machine is gone']],
])

check('absence', [
  ['running', both({}, null), ['gone a: its machine is gone']],
  ['draining', both({ state: 'draining', drain: drain() }, null), ['gone a: its machine is gone']],
  ['made, and not admitted yet', both({ state: 'provisioning' }, null), ['gone a: its machine is gone']],
  [
    'from an incomplete list',
    { records: [a], listing: incomplete },
    ['left a: it is not in the list, which is incomplete'],
  ],
  [
    'of a new record',
    { records: [a], graceMs, recordNowMs: madeMs + graceMs - 1 },
    ['left a: it is new, and may not be in the list yet'],
  ],
])

const again = 'left a: it is not in the list; looked for again before it counts as gone'
const gone = 'gone a: its machine is gone'
const absent = { records: [a] }
const present = { records: [a], listing: listing(machine) }

t.test('it is gone after it was missing twice, and for the grace', async (t) => {
  t.strictSame(passes(absent, absent, absent, absent), [[again], [again], [gone], [gone]])
})

t.test('the grace alone is not enough: a pass that comes late has seen it missing once', async (t) => {
  t.strictSame(passes(absent, { ...absent, nowMs: 9_000_000, absences: 3 }), [[again], [again]])
})

t.test('neither is to be missing often: passes that follow each other fast', async (t) => {
  const fast = { ...absent, nowMs: 1_000_000 }
  t.strictSame(passes(fast, fast, fast, { ...fast, nowMs: 1_000_000 + graceMs - 1 }).flat(), [
    again,
    again,
    again,
    again,
  ])
  t.strictSame(passes(fast, { ...fast, nowMs: 1_000_000 + graceMs }), [[again], [gone]])
})

t.test('to be listed in between breaks the row', async (t) => {
  t.strictSame(passes(absent, absent, present, absent, absent, absent), [
    [again],
    [again],
    [],
    [again],
    [again],
    [gone],
  ])
})

t.test('so does an incomplete list, which takes nothing away', async (t) => {
  const cut = { records: [a], listing: incomplete }
  const left = 'left a: it is not in the list, which is incomplete'
  t.strictSame(passes(absent, absent, cut, absent, absent, absent), [
    [again],
    [again],
    [left],
    [again],
    [again],
    [gone],
  ])
})

t.test('the time of a new record does not count', async (t) => {
  const young = { ...absent, recordNowMs: madeMs }
  const isNew = 'left a: it is new, and may not be in the list yet'
  t.strictSame(passes(young, young, young, absent, absent, absent), [
    [isNew],
    [isNew],
    [isNew],
    [again],
    [again],
    [gone],
  ])
})

t.test('each counts for itself, and in each of its lives', async (t) => {
  const b = upstreamRecord({ id: 'b', host: '10.0.0.2' })
  const second = upstreamRecord({ id: 'a.2', instanceId: 'a' })
  const steps = passes(
    absent,
    { records: [a, b] },
    { records: [second, b] },
    { records: [second, b] },
    { records: [second] },
  )
  t.same(
    steps.map((step) => step.map((line) => line.replace(/:.*/, ''))),
    [['left a'], ['left a', 'left b'], ['left a.2', 'left b'], ['gone b', 'left a.2'], ['gone a.2']],
  )
})

check('another machine, or another way out, is another upstream', [
  [
    'another machine under its name',
    both({}, { incarnation: '2' }),
    ['renewed a: another machine has its name'],
  ],
  [
    'another external address',
    both({}, { egressIp: '203.0.113.2' }),
    ['renewed a: its external address was 203.0.113.1 and is 203.0.113.2'],
  ],
  [
    'its address moved, and so did its way out',
    both({}, { host: '10.0.0.2', egressIp: '203.0.113.2' }),
    ['renewed a: its external address was 203.0.113.1 and is 203.0.113.2'],
  ],
  [
    'while it drains',
    both({ state: 'draining', drain: drain() }, { incarnation: '2' }),
    ['renewed a: another machine has its name'],
  ],
  [
    'while it is not admitted yet',
    both({ state: 'provisioning' }, { incarnation: '2' }),
    ['renewed a: another machine has its name'],
  ],
  [
    'targets see another one',
    { ...both({}, {}), egressSeen: (id) => (id === 'a' ? '198.51.100.1' : null) },
    ['renewed a: targets saw 203.0.113.1 and see 198.51.100.1'],
  ],
  ['targets see the same one', { ...both({}, {}), egressSeen: () => '203.0.113.1' }, []],
  [
    'nobody knew what targets saw',
    { ...both({ egressIp: null, listedIp: null }, { egressIp: null }), egressSeen: () => '203.0.113.1' },
    [],
  ],
])

check('the same upstream at another address', [
  ['another host', both({}, { host: '10.0.0.2' }), ['moved a: its address is another']],
  ['another port', both({}, { port: 8889 }), ['moved a: its address is another']],
  [
    'its external address becomes known',
    both({ listedIp: null }, {}),
    ['moved a: its external address is known now'],
  ],
  [
    'while it drains',
    both({ state: 'draining', drain: drain() }, { host: '10.0.0.2' }),
    ['moved a: its address is another'],
  ],
])

check('a machine that does not run is left to people', [
  [
    'stopped',
    both({}, { status: 'stopped', host: '', egressIp: null }),
    ['left a: its machine is stopped; if it stays so, start it again or delete it'],
  ],
  [
    'ending',
    both({}, { status: 'ending' }),
    ['left a: its machine is ending; if it stays so, start it again or delete it'],
  ],
  [
    'starting again, at another address',
    both({}, { status: 'starting', host: '10.0.0.7' }),
    ['left a: its machine is starting; if it stays so, start it again or delete it'],
  ],
  ['running, without address', both({}, { host: '' }), ['left a: its machine has no address now']],
])

t.test('a machine that is stopped, whatever the list says besides, is not missing', async (t) => {
  const stopped = both({}, { status: 'stopped', host: '', egressIp: null, incarnation: '2' })
  const lines = passes(absent, absent, stopped, absent)
  t.match(lines[2], [/its machine is stopped/])
  t.strictSame(lines[3], [again])
})

const unknown = { listing: listing(machine) }
const adopted = ['adopted a: it has the label of this fleet']
const tombstone = (said: Partial<UpstreamRecord> = {}): Partial<SyncFacts> => {
  const record = upstreamRecord({
    id: 'a',
    state: 'deleted',
    deletedAtMs: madeMs,
    deletedBy: 'operator',
    ...said,
  })
  return { ...unknown, tombstones: new Map([['a', record]]) }
}
const later = 'left a: it is deleted, and may be listed a while longer'
const leftover = 'leftover a: it is deleted, and still there'

check('a machine that nobody knows', [
  ['it is adopted', unknown, adopted],
  ['also from an incomplete list', { listing: { ...incomplete, instances: [machine] } }, adopted],
  [
    'not while it starts',
    { listing: listing({ ...machine, status: 'starting' }) },
    ['left a: it is starting'],
  ],
  [
    'not while it is stopped',
    { listing: listing({ ...machine, status: 'stopped' }) },
    ['left a: it is stopped'],
  ],
  ['not without address', { listing: listing({ ...machine, host: '' }) }, ['left a: it has no address yet']],
  [
    'not beside one that an operator registered at its address',
    { ...unknown, records: [upstreamRecord({ id: 'mine', addedBy: 'operator', provider: 'static' })] },
    ['left a: "mine" has its address already'],
  ],
  [
    'not at the address of one that is missing, and not gone for sure',
    { ...unknown, records: [upstreamRecord({ id: 'old' })], absences: 2 },
    [
      'left old: it is not in the list; looked for again before it counts as gone',
      'left a: "old" has its address already',
    ],
  ],
  [
    'not at the address of one that is being deleted',
    { ...unknown, records: [upstreamRecord({ id: 'old', state: 'deleting' })] },
    ['left a: "old" has its address already'],
  ],
  [
    'one that failed has no address any more',
    { ...unknown, records: [upstreamRecord({ id: 'old', state: 'failed', stateSinceMs: recordNowMs })] },
    adopted,
  ],
  [
    'another port is another address',
    { ...unknown, records: [upstreamRecord({ id: 'old', state: 'deleting', port: 9 })] },
    adopted,
  ],
  [
    'its label was of a life that went by itself: it lives again',
    tombstone({ deletedBy: 'provider' }),
    adopted,
  ],
  ['another machine under the name of one that was deleted', tombstone({ incarnation: '0' }), adopted],
  ['deleted by an operator', tombstone(), [leftover]],
  ['deleted by control', tombstone({ deletedBy: 'control' }), [leftover]],
  ['deleted before its number was known', tombstone({ incarnation: null }), [leftover]],
  [
    'deleted, and the list tells no number',
    { ...tombstone(), listing: listing({ ...machine, incarnation: null }) },
    [leftover],
  ],
  [
    'deleted, and stopped',
    { ...tombstone(), listing: listing({ ...machine, status: 'stopped' }) },
    [leftover],
  ],
  [
    'created while the list was asked for',
    tombstone({ state: 'running', deletedAtMs: null, deletedBy: null }),
    ['left a: it came into the records after they were read'],
  ],
  [
    'created while the list was asked for, and its number not known yet',
    tombstone({ state: 'provisioning', deletedAtMs: null, deletedBy: null, incarnation: null, host: '' }),
    ['left a: it came into the records after they were read'],
  ],
])

t.test('what is deleted is deleted again only after it was listed twice, and for the grace', async (t) => {
  t.strictSame(passes(tombstone(), tombstone(), tombstone()), [[later], [later], [leftover]])
  t.strictSame(passes(tombstone(), tombstone(), {}, tombstone(), tombstone()).at(-1), [later])
})

check('failed', [
  ['it is shown for an hour', both({ state: 'failed', stateSinceMs: recordNowMs - hourMs + 1 }, null), []],
  [
    'and forgotten then',
    both({ state: 'failed', stateSinceMs: recordNowMs - hourMs }, null),
    ['forgotten a: it failed an hour ago'],
  ],
  [
    'also while its machine is there after all: forgetting deletes it',
    both({ state: 'failed' }, {}),
    ['forgotten a: it failed an hour ago'],
  ],
  [
    'a machine of one that failed is not adopted',
    both({ state: 'failed', stateSinceMs: recordNowMs }, {}),
    [],
  ],
])

const fleet = (count: number, said: Partial<UpstreamRecord> = {}): UpstreamRecord[] =>
  Array.from({ length: count }, (_, n) =>
    upstreamRecord({ id: `up-${n}`, host: `10.0.1.${n}`, incarnation: '1', ...said }),
  )
const machines = (records: readonly UpstreamRecord[]): Instance[] =>
  records.map(({ id, host }) => instance({ id, host }))

/** @param missing  so many of them are not listed */
const lost = (count: number, missing: number): Partial<SyncFacts> => {
  const records = fleet(count)
  return { records, listing: listing(...machines(records).slice(missing)) }
}

const stops: readonly (readonly [name: string, said: Partial<SyncFacts>, isStopped: boolean])[] = [
  ['one of one', lost(1, 1), false],
  ['one of four', lost(4, 1), false],
  ['two of ten are a fifth', lost(10, 2), false],
  ['two of nine are more than a fifth', lost(9, 2), true],
  ['three of ten', lost(10, 3), true],
  ['twenty of a hundred', lost(100, 20), false],
  ['twenty-one of a hundred', lost(100, 21), true],
  ['all', lost(3, 3), true],
  ['all, and a person has confirmed it', { ...lost(3, 3), confirmed: true }, false],
]
for (const [name, said, isStopped] of stops)
  t.test(`too much is gone: ${name}`, async (t) => {
    const plan = planSync(facts(said))
    t.equal(plan.stopped !== null, isStopped)
    const missing = said.records!.length - said.listing!.instances.length
    t.equal(plan.corrections.length, isStopped ? 0 : missing)
    t.equal(plan.left.length, isStopped ? missing : 0)
  })

t.test('another machine under a name counts as gone, too', async (t) => {
  const records = fleet(3)
  const [first, second, third] = machines(records)
  const listed = listing({ ...first!, incarnation: '2' }, { ...second!, incarnation: '2' }, third!)
  t.match(told({ records, listing: listed }).at(-1), /^stopped: 2 of 3 running upstreams .* confirm it$/)
})

t.test('a pass that is stopped still does what takes nothing away, and says what it leaves', async (t) => {
  const records = [
    ...fleet(2),
    upstreamRecord({ id: 'moves', host: '10.0.0.3' }),
    upstreamRecord({ id: 'failed', state: 'failed' }),
  ]
  const listed = listing(
    instance({ id: 'moves', host: '10.0.0.4' }),
    instance({ id: 'new', host: '10.0.0.5' }),
    instance({ id: 'old', host: '10.0.0.6' }),
  )
  const old = upstreamRecord({ id: 'old', state: 'deleted', deletedBy: 'control' })
  const said = { records, listing: listed, tombstones: new Map([['old', old]]) }
  t.strictSame(told(said), [
    'moved moves: its address is another',
    'forgotten failed: it failed an hour ago',
    'adopted new: it has the label of this fleet',
    'leftover old: it is deleted, and still there',
    'left up-0: its machine is gone; not confirmed',
    'left up-1: its machine is gone; not confirmed',
    'stopped: 2 of 3 running upstreams would be taken out of the fleet: look whether that is so, and confirm it',
  ])
  t.match(told({ ...said, confirmed: true }).slice(0, 2), [/^gone up-0/, /^gone up-1/])
})

t.test('what stopped is known still: confirmed, the next pass goes on at once', async (t) => {
  const all = lost(3, 3)
  const lines = passes(all, all, all, { ...all, confirmed: true })
  t.match(lines[2]!.at(-1), /^stopped/)
  t.same(
    lines[3],
    [0, 1, 2].map((n) => `gone up-${n}: its machine is gone`),
  )
})

t.test(
  'a correction carries what it was decided by, so that it can be checked before it is done',
  async (t) => {
    const plan = planSync(facts(both({}, { incarnation: '2' })))
    const [renewed] = plan.corrections
    t.match(renewed, {
      action: 'renewed',
      record: { id: 'a', rowVersion: 1 },
      instance: { incarnation: '2' },
    })
  },
)

t.test('which corrections take an upstream away from its jobs', async (t) => {
  const actions = ['gone', 'renewed', 'moved', 'adopted', 'leftover', 'forgotten'] as const
  t.same(
    actions.filter((action) => takesAway({ action, id: 'a', reason: '', record: a, instance: machine })),
    ['gone', 'renewed'],
  )
})
