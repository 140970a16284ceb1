import t from 'tap'
import { afterStep, changeOf, end, lifeTable, move, type LifeEvent } from '../../src/control/life.ts'
import type { Step, UpstreamRecord } from '../../src/store/records.ts'
import { upstreamStates, type UpstreamState } from '../../src/types.ts'
import { drain, madeMs, upstreamRecord } from '../fixtures/upstream-records.ts'

const events: readonly LifeEvent[] = ['admit', 'fail', 'drain', 'cancel', 'delete', 'gone', 'removed']

/** Design 9. What is not here is refused. */
const leads: readonly (readonly [UpstreamState, LifeEvent, UpstreamState])[] = [
  ['provisioning', 'admit', 'running'],
  ['provisioning', 'fail', 'failed'],
  ['provisioning', 'delete', 'deleting'],
  ['provisioning', 'gone', 'deleted'],
  ['running', 'drain', 'draining'],
  ['running', 'delete', 'deleting'],
  ['running', 'gone', 'deleted'],
  ['draining', 'drain', 'draining'],
  ['draining', 'cancel', 'running'],
  ['draining', 'delete', 'deleting'],
  ['draining', 'gone', 'deleted'],
  ['deleting', 'removed', 'deleted'],
  ['failed', 'delete', 'deleting'],
]

/** What people are told to do. */
const hints: { readonly [State in UpstreamState]: RegExp } = {
  provisioning: /wait until it is running, or delete it/,
  running: /not being drained/,
  draining: /cancel that, or wait/,
  deleting: /cannot be undone/,
  failed: /delete it, and create another/,
  deleted: /gone for good/,
}

const at = { version: 9, nowMs: madeMs + 5000 }
const inState = (state: UpstreamState) => upstreamRecord({ id: 'up-1', state })

function step(record: UpstreamRecord, event: LifeEvent): Step {
  return event === 'gone' || event === 'removed' ? end(record, event, 'control') : move(record, event)
}

for (const state of upstreamStates)
  for (const event of events) {
    const to = leads.find(([from, by]) => from === state && by === event)?.[2]
    const record = inState(state)
    if (to === undefined)
      t.test(`${state}: ${event} is refused`, async (t) => {
        t.throws(() => step(record, event), {
          code: 'conflict',
          detail: new RegExp(`^Upstream "up-1" is ${state}: .*${hints[state].source}`),
        })
      })
    else
      t.test(`${state}: ${event} leads to ${to}`, async (t) => {
        t.equal(afterStep(record, step(record, event), at).state, to)
      })
  }

t.test('the table holds nothing else', async (t) => {
  const cells = Object.entries(lifeTable).flatMap(([from, row]) =>
    Object.entries(row).map(([event, to]) => [from, event, to]),
  )
  t.same(cells.sort(), [...leads].sort())
})

t.test('a move begins the notes anew, and tells what was', async (t) => {
  const tried = { attempts: 3, retryAtMs: madeMs, problem: 'quota: ask for more', requestId: 'r-1' }
  const record = upstreamRecord({ id: 'up-1', state: 'provisioning', egressIp: null, ...tried })
  t.strictSame(move(record, 'admit', { egressIp: '203.0.113.9' }), {
    kind: 'upstream_changed',
    id: 'up-1',
    from: {
      state: 'provisioning',
      egressIp: null,
      attempts: 3,
      retryAtMs: madeMs,
      problem: 'quota: ask for more',
    },
    to: { state: 'running', egressIp: '203.0.113.9', attempts: 0, retryAtMs: null, problem: null },
  })
})

t.test('what a move says of its notes stands', async (t) => {
  const { to } = move(inState('provisioning'), 'fail', { problem: 'it did not come up' }) as Step & {
    to: object
  }
  t.match(to, { state: 'failed', problem: 'it did not come up', attempts: 0 })
})

t.test('the end of an upstream tells who ended it', async (t) => {
  for (const by of ['operator', 'provider', 'control'] as const)
    t.strictSame(end(inState('running'), 'gone', by), { kind: 'upstream_deleted', id: 'up-1', by })
})

t.test('a change tells of its own fields only', async (t) => {
  t.strictSame(changeOf(inState('running'), { replacedBy: 'up-2' }), {
    kind: 'upstream_changed',
    id: 'up-1',
    from: { replacedBy: null },
    to: { replacedBy: 'up-2' },
  })
})

t.test('after a step that changes its state, the record has come into it now', async (t) => {
  const record = upstreamRecord({ id: 'up-1', rowVersion: 4, stateVersion: 3 })
  t.strictSame(afterStep(record, move(record, 'drain', { drain: drain() }), at), {
    ...record,
    state: 'draining',
    drain: drain(),
    rowVersion: 5,
    stateVersion: 9,
    stateSinceMs: at.nowMs,
    updatedAtMs: at.nowMs,
  })
})

t.test('a drain that is asked for again is the same drain: confirmations of it still count', async (t) => {
  const record = upstreamRecord({ id: 'up-1', state: 'draining', stateVersion: 3, drain: drain() })
  const later = drain({ deadlineMs: madeMs + 90_000 })
  t.match(afterStep(record, move(record, 'drain', { drain: later }), at), {
    state: 'draining',
    drain: later,
    rowVersion: 2,
    stateVersion: 3,
    stateSinceMs: madeMs,
    updatedAtMs: at.nowMs,
  })
})

t.test('after its end the record is a tombstone', async (t) => {
  const record = inState('deleting')
  t.strictSame(afterStep(record, end(record, 'removed', 'operator'), at), {
    ...record,
    state: 'deleted',
    deletedAtMs: at.nowMs,
    deletedBy: 'operator',
    rowVersion: 2,
    stateVersion: 9,
    stateSinceMs: at.nowMs,
    updatedAtMs: at.nowMs,
  })
})

t.test('a step of something else leaves the record as it is', async (t) => {
  const record = inState('running')
  t.equal(afterStep(record, { kind: 'version_raised', above: 7 }, at), record)
})
