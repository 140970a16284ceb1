import t from 'tap'
import {
  needsTraffic,
  planLife,
  type Action,
  type LifeFacts,
  type ObservedTraffic,
} from '../../src/control/plan.ts'
import type { UpstreamRecord } from '../../src/store/records.ts'
import { upstreamStates } from '../../src/types.ts'
import { drain, madeMs, upstreamRecord } from '../fixtures/upstream-records.ts'

const launchMs = 300_000
const idle = { pins: 0, tunnels: 0, isEmpty: true }
const busy = { pins: 2, tunnels: 3, isEmpty: false }
/** Nothing is counted, but some gateway may still use it. */
const unclear = { pins: 0, tunnels: 0, isEmpty: false }

/** @param confirmedVersion  the records here came into their state at version 5 */
const traffic = (use: typeof idle, confirmedVersion = 5): ObservedTraffic => ({
  confirmedVersion,
  use: () => use,
})

type Row = readonly [
  name: string,
  record: Partial<UpstreamRecord>,
  facts: Partial<LifeFacts>,
  kind: Action['kind'],
  reason: RegExp,
  more?: object,
]

function check(title: string, rows: readonly Row[]): void {
  for (const [name, said, facts, kind, reason, more = {}] of rows)
    t.test(`${title}: ${name}`, async (t) => {
      const record = upstreamRecord({ id: 'up-1', stateVersion: 5, ...said })
      const known = { nowMs: madeMs + 1000, traffic: null, replacement: null, launchMs, ...facts }
      const action = planLife(record, known)
      t.match(action.reason, reason)
      t.strictSame(action, { kind, reason: action.reason, ...more })
    })
}

const ordered = { state: 'provisioning', host: '', egressIp: null, addedBy: 'control', attempts: 1 } as const
const coming = { state: 'provisioning', addedBy: 'control', attempts: 1 } as const
const tooLate = { nowMs: madeMs + launchMs }

check('provisioning', [
  ['its machine is made first', ordered, {}, 'launch', /machine is to be made/],
  ['then it is probed', coming, {}, 'admit', /probes/],
  ['it has time to come up', ordered, { nowMs: madeMs + launchMs - 1 }, 'launch', /to be made/],
  ['one that is not made in time has failed', ordered, tooLate, 'give-up', /did not come up within 300 s$/],
  [
    'why the last try failed is told',
    { ...ordered, problem: 'quota: CPUS is used up' },
    tooLate,
    'give-up',
    /within 300 s: quota: CPUS is used up$/,
  ],
  [
    'one that nobody has tried yet is tried first',
    { ...ordered, attempts: 0 },
    tooLate,
    'launch',
    /to be made/,
  ],
  ['and one that nobody has probed yet', { ...coming, attempts: 0 }, tooLate, 'admit', /probes/],
  ['one whose probes are not good in time has failed', coming, tooLate, 'give-up', /did not come up/],
  [
    'the time counts from when it came into its state',
    { ...coming, stateSinceMs: madeMs + 1 },
    tooLate,
    'admit',
    /probes/,
  ],
  [
    'a listed machine may take its time',
    { ...coming, addedBy: 'provider' },
    { nowMs: madeMs + 99 * launchMs },
    'admit',
    /probes/,
  ],
  [
    'a registered machine may take its time',
    { ...coming, addedBy: 'operator', provider: 'static' },
    { nowMs: madeMs + 99 * launchMs },
    'admit',
    /probes/,
  ],
])

const replaced = { replacedBy: 'up-2' }
const replacement = (state: UpstreamRecord['state']) => ({
  replacement: upstreamRecord({ id: 'up-2', state }),
})

check('running', [
  ['nothing is to be done', {}, {}, 'wait', /it is running/],
  ['its replacement is not up yet', replaced, replacement('provisioning'), 'wait', /"up-2" is not running/],
  ['its replacement runs: it leaves', replaced, replacement('running'), 'drain', /"up-2" has taken its pl/],
  [
    'its replacement failed: it stays',
    replaced,
    replacement('failed'),
    'keep',
    /"up-2" is failed, so it stays/,
  ],
  [
    'its replacement is ejected: it stays for now',
    replaced,
    { replacement: upstreamRecord({ id: 'up-2', state: 'running', ejected: true }) },
    'wait',
    /"up-2" is ejected/,
  ],
  ['its replacement is being deleted', replaced, replacement('deleting'), 'keep', /"up-2" is deleting/],
  ['its replacement is drained', replaced, replacement('draining'), 'keep', /"up-2"/],
  ['its replacement is gone', replaced, replacement('deleted'), 'keep', /"up-2" is deleted/],
  ['nobody knows its replacement', replaced, {}, 'keep', /"up-2" is deleted/],
])

const draining = { state: 'draining', drain: drain() } as const
const leaving = { state: 'draining', drain: drain({ thenDelete: true }) } as const
const deadline = { nowMs: madeMs + 60_000 }
const shut = { atMs: madeMs + 60_000, pins: 1, tunnels: 2 }

check('draining', [
  ['empty and confirmed: drained', draining, { traffic: traffic(idle) }, 'drained', /no job is left/],
  [
    'confirmed by a newer version, too',
    draining,
    { traffic: traffic(idle, 99) },
    'drained',
    /no job is left/,
  ],
  ['not confirmed', draining, { traffic: traffic(idle, 4) }, 'wait', /have not confirmed its drain/],
  ['jobs are left', draining, { traffic: traffic(busy) }, 'wait', /^2 jobs and 3 tunnels are left$/],
  [
    'counted by none, but not empty for sure',
    draining,
    { traffic: traffic(unclear) },
    'wait',
    /some gateways still know/,
  ],
  [
    'one ms before its deadline',
    draining,
    { traffic: traffic(busy), nowMs: madeMs + 59_999 },
    'wait',
    /left/,
  ],
  [
    'its deadline closes what is left',
    draining,
    { traffic: traffic(busy), ...deadline },
    'shut',
    /deadline/,
    { pins: 2, tunnels: 3 },
  ],
  [
    'its deadline does not wait for confirmations',
    draining,
    { traffic: traffic(busy, 4), ...deadline },
    'shut',
    /deadline/,
    { pins: 2, tunnels: 3 },
  ],
  [
    'empty at its deadline: nothing is closed',
    draining,
    { traffic: traffic(idle), ...deadline },
    'drained',
    /no job is left/,
  ],
  ['the store of pins is away', draining, {}, 'wait', /store of pins does not answer/],
  ['the store is away, also at the deadline', draining, deadline, 'wait', /store of pins does not answer/],
  [
    'drained already: it stays so',
    { ...draining, drain: drain({ drainedAtMs: madeMs + 9 }) },
    { traffic: traffic(idle), ...deadline },
    'wait',
    /it is drained/,
  ],
  [
    'closed already: it stays so',
    { ...draining, drain: drain({ drainedAtMs: shut.atMs, shut }) },
    { traffic: traffic(busy), ...deadline },
    'wait',
    /it is drained/,
  ],
  [
    'a row that does not tell why is kept as it is',
    { ...draining, drain: null },
    { traffic: traffic(idle), ...deadline },
    'wait',
    /nobody knows/,
  ],
])

check('draining, to be deleted', [
  ['empty and confirmed', leaving, { traffic: traffic(idle) }, 'delete', /it is drained/, { shut: null }],
  ['not confirmed', leaving, { traffic: traffic(idle, 4) }, 'wait', /have not confirmed/],
  ['jobs are left', leaving, { traffic: traffic(busy) }, 'wait', /2 jobs/],
  ['not empty for sure', leaving, { traffic: traffic(unclear) }, 'wait', /some gateways still know/],
  [
    'its deadline closes what is left',
    leaving,
    { traffic: traffic(busy), ...deadline },
    'delete',
    /deadline/,
    { shut: { pins: 2, tunnels: 3 } },
  ],
  [
    'empty at its deadline: nothing is closed',
    leaving,
    { traffic: traffic(idle), ...deadline },
    'delete',
    /it is drained/,
    { shut: null },
  ],
  ['the store is away, also at the deadline', leaving, deadline, 'wait', /store of pins does not answer/],
  [
    'drained before it was to be deleted: looked at once more',
    { ...leaving, drain: drain({ thenDelete: true, drainedAtMs: madeMs + 9 }) },
    { traffic: traffic(busy) },
    'wait',
    /2 jobs/,
  ],
  [
    'closed before it was to be deleted: nobody can be on it',
    { ...leaving, drain: drain({ thenDelete: true, drainedAtMs: shut.atMs, shut }) },
    {},
    'delete',
    /what was left on it is closed/,
    { shut: null },
  ],
])

const deleting = { state: 'deleting' } as const

check('deleting', [
  ['every gateway knows', deleting, { traffic: traffic(idle) }, 'remove', /no gateway uses it/],
  ['some gateway does not know yet', deleting, { traffic: traffic(idle, 4) }, 'wait', /do not know yet/],
  ['the store of pins is away', deleting, {}, 'wait', /store of pins does not answer/],
  [
    'pins that outlived it hold nothing up: they are lost',
    deleting,
    { traffic: traffic(busy) },
    'remove',
    /no gateway uses it/,
  ],
])

check('done', [
  ['failed', { state: 'failed' }, { traffic: traffic(idle), ...tooLate }, 'wait', /it is failed/],
  ['deleted', { state: 'deleted' }, { traffic: traffic(idle), ...tooLate }, 'wait', /it is deleted/],
])

t.test('its traffic is asked for since the version of its drain', async (t) => {
  const asked: unknown[] = []
  const use: ObservedTraffic['use'] = (...given) => {
    asked.push(given)
    return idle
  }
  const record = upstreamRecord({ id: 'up-1', stateVersion: 5, ...draining })
  const known = { nowMs: madeMs, replacement: null, launchMs }
  planLife(record, { ...known, traffic: { confirmedVersion: 5, use } })
  t.strictSame(asked, [['up-1', 5]])
})

t.test('traffic is needed to know what comes next', async (t) => {
  const needing = upstreamStates.filter((state) => needsTraffic(upstreamRecord({ id: 'up-1', state })))
  t.same(needing, ['draining', 'deleting'])
})
