import t, { type Test } from 'tap'
import {
  beginDeletion,
  drainReplaced,
  keepUnreplaced,
  markDrained,
  newDrain,
  shut,
} from '../../src/control/drain.ts'
import type { Held } from '../../src/control/hold.ts'
import { move } from '../../src/control/life.ts'
import type { Drain, NewUpstream } from '../../src/store/records.ts'
import { apply } from '../fixtures/records-under-test.ts'
import { serving, stepWorlds, type Steps } from '../fixtures/steps-under-test.ts'
import { drain, madeMs } from '../fixtures/upstream-records.ts'

const openSteps = await stepWorlds(t)
const left = { pins: 2, tunnels: 3 }

async function setUp(t: Test, row: Partial<NewUpstream> = {}) {
  const steps = await openSteps(t)
  await steps.add('up-1', { ...serving, ...row })
  return steps
}
const draining = (said: Partial<Drain> = {}) => ({ state: 'draining', drain: drain(said) }) as const

/** Does it, and answers the row as it stands then. */
async function doing(steps: Steps, step: (held: Held) => Promise<void>) {
  await step(steps.hold(await steps.claim('up-1', { forMs: 0 })))
  const { version } = await steps.fleet.head()
  const entry = await steps.records.store.ledger.read(version)
  t.match(entry, { actor: 'control' })
  return { record: await steps.read('up-1'), reason: entry?.reason, steps: entry?.steps.length }
}

t.test('a drain begins now and ends at its deadline', async (t) => {
  t.strictSame(newDrain(madeMs, { deadlineMs: 900, thenDelete: true, by: 'control' }), {
    sinceMs: madeMs,
    deadlineMs: madeMs + 900,
    thenDelete: true,
    by: 'control',
    drainedAtMs: null,
    shut: null,
  })
})

t.test('one that is replaced is drained, then deleted, by control', async (t) => {
  const steps = await setUp(t, { replacedBy: 'up-2' })
  const action = { kind: 'drain', reason: '"up-2" has taken its place' } as const
  const { record, reason } = await doing(steps, (held) => drainReplaced(held, action, 60_000))
  const { stateSinceMs: sinceMs } = record
  t.match(record, { state: 'draining', replacedBy: 'up-2', stateVersion: 2 })
  t.strictSame(record.drain, {
    sinceMs,
    deadlineMs: sinceMs + 60_000,
    thenDelete: true,
    by: 'control',
    drainedAtMs: null,
    shut: null,
  })
  t.equal(reason, action.reason)
})

t.test('one whose replacement never came stays, and says why', async (t) => {
  const steps = await setUp(t, { replacedBy: 'up-2' })
  const action = { kind: 'keep', reason: '"up-2" did not come up to take its place' } as const
  const { record } = await doing(steps, (held) => keepUnreplaced(held, action))
  t.match(record, { state: 'running', replacedBy: null, problem: action.reason, stateVersion: 1 })
})

t.test('a drain that is over says since when, and gateways still know the upstream', async (t) => {
  const steps = await setUp(t, draining())
  const { record } = await doing(steps, (held) => markDrained(held, { kind: 'drained', reason: 'empty' }))
  t.match(record, { state: 'draining', stateVersion: 1 })
  t.strictSame(record.drain, drain({ drainedAtMs: record.updatedAtMs }))
  t.same(steps.facts.names(), [])
})

t.test('the deadline closes what is left, and counts it in row and ledger', async (t) => {
  const steps = await setUp(t, draining())
  const action = { kind: 'shut', reason: 'the deadline', ...left } as const
  const { record, steps: count } = await doing(steps, (held) => shut(held, action, steps.facts.events))
  const { updatedAtMs: atMs } = record
  t.match(record, { state: 'draining', stateVersion: 1 })
  t.strictSame(record.drain, drain({ drainedAtMs: atMs, shut: { atMs, ...left } }))
  t.equal(count, 1)
  t.strictSame(steps.facts.of('upstream_shut'), [{ upstream: 'up-1', ...left }])
})

type Deletion = readonly [
  name: string,
  before: Partial<Drain>,
  shut: typeof left | null,
  after: (ms: number) => Drain,
]
const closed = { atMs: madeMs + 9, pins: 1, tunnels: 1 }
const deletions: readonly Deletion[] = [
  [
    'empty: it is drained now',
    { thenDelete: true },
    null,
    (ms) => drain({ thenDelete: true, drainedAtMs: ms }),
  ],
  [
    'drained before: that stands',
    { thenDelete: true, drainedAtMs: madeMs + 5 },
    null,
    () => drain({ thenDelete: true, drainedAtMs: madeMs + 5 }),
  ],
  [
    'at its deadline: what is left is closed and counted',
    { thenDelete: true },
    left,
    (atMs) => drain({ thenDelete: true, drainedAtMs: atMs, shut: { atMs, ...left } }),
  ],
  [
    'closed before: that stands',
    { thenDelete: true, drainedAtMs: madeMs + 9, shut: closed },
    null,
    () => drain({ thenDelete: true, drainedAtMs: madeMs + 9, shut: closed }),
  ],
]
for (const [name, before, counted, after] of deletions)
  t.test(`a deletion begins: ${name}`, async (t) => {
    const steps = await setUp(t, { ...draining(before), attempts: 3, problem: 'before' })
    const { newRequestId, facts } = steps
    const action = { kind: 'delete', reason: 'it is drained', shut: counted } as const
    const { record } = await doing(steps, (held) =>
      beginDeletion(held, action, { newRequestId, events: facts.events }),
    )
    t.match(record, {
      state: 'deleting',
      stateVersion: 2,
      // Of the order to the cloud: written down before it is given.
      requestId: 'request-1',
      attempts: 0,
      problem: null,
    })
    t.strictSame(record.drain, after(record.updatedAtMs))
    t.strictSame(facts.of('upstream_shut'), counted ? [{ upstream: 'up-1', ...left }] : [])
  })

t.test(
  'a drain that was cancelled meanwhile is neither over, nor closed, nor led to a deletion',
  async (t) => {
    const steps = await setUp(t, draining({ thenDelete: true }))
    const { newRequestId, facts } = steps
    const rows: readonly (readonly [string, (held: Held) => Promise<void>])[] = [
      ['over', (held) => markDrained(held, { kind: 'drained', reason: '' })],
      ['closed', (held) => shut(held, { kind: 'shut', reason: '', ...left }, facts.events)],
      [
        'deleted',
        (held) =>
          beginDeletion(
            held,
            { kind: 'delete', reason: '', shut: left },
            { newRequestId, events: facts.events },
          ),
      ],
    ]
    const held = steps.hold(await steps.claim('up-1', { forMs: 0 }))
    await apply(steps.records.store, move(await steps.read('up-1'), 'cancel', { drain: null }))
    const before = await steps.fleet.head()
    for (const [name, step] of rows) await t.rejects(step(held), { code: 'conflict' }, name)
    t.match(await steps.read('up-1'), { state: 'running', drain: null, requestId: null })
    t.strictSame(await steps.fleet.head(), before)
    t.same(facts.names(), [], 'nobody is told that anything was closed')
  },
)
