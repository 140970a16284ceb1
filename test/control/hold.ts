import t from 'tap'
import { isSuperseded } from '../../src/control/hold.ts'
import { changeOf, end } from '../../src/control/life.ts'
import { ControlError } from '../../src/errors.ts'
import { ProviderError } from '../../src/provider/provider.ts'
import type { UpstreamRecord } from '../../src/store/records.ts'
import { apply, changed } from '../fixtures/records-under-test.ts'
import { serving, stepWorlds, type Steps } from '../fixtures/steps-under-test.ts'

const openSteps = await stepWorlds(t)
const rename = (record: UpstreamRecord) => [changeOf(record, { problem: 'seen' })]
const superseded = {
  code: 'conflict',
  detail: /"up-1" was changed meanwhile, or another control took it over/,
}

async function setUp(t: Parameters<typeof openSteps>[0]) {
  const steps = await openSteps(t)
  await steps.add('up-1', serving)
  await steps.add('up-2', serving)
  return steps
}

/** Version and row as they stand: what must not change where nothing may be written. */
async function standing({ fleet, read }: Steps) {
  const { version, ledgerHash } = await fleet.head()
  return { version, ledgerHash, record: await read('up-1') }
}

t.test('the outcome of a step and its row in the ledger are one change, by control', async (t) => {
  const steps = await setUp(t)
  const held = steps.hold(await steps.claim('up-1'))
  await held.settle('as planned', rename)
  const { version, record } = await standing(steps)
  t.match(record, { problem: 'seen', rowVersion: 2 })
  t.match(await steps.records.store.ledger.read(version), {
    actor: 'control',
    reason: 'as planned',
    steps: [{ kind: 'upstream_changed', id: 'up-1', from: { problem: null }, to: { problem: 'seen' } }],
  })
  t.equal(steps.told.changes, 1)
})

t.test('the step is told what it was claimed as, and when it is', async (t) => {
  const steps = await setUp(t)
  const claimed = await steps.claim('up-1')
  const held = steps.hold(claimed)
  t.strictSame(held.record, claimed.record)
  let told: { record: UpstreamRecord; nowMs: number } | null = null
  await held.settle('a look', (record, { nowMs }) => {
    told = { record, nowMs }
    return rename(record)
  })
  t.strictSame(told, { record: claimed.record, nowMs: (await steps.read('up-1')).updatedAtMs })
})

t.test('nothing is written by a step whose upstream is not what it was', async (t) => {
  const rows: readonly (readonly [string, (steps: Steps) => Promise<unknown>])[] = [
    ['an operator changed it', ({ records }) => apply(records.store, changed('up-1', { quarantined: true }))],
    [
      'an operator cancelled, and all fields are as before',
      ({ records }) =>
        apply(records.store, changed('up-1', { quarantined: true }), changed('up-1', { quarantined: false })),
    ],
    [
      'it is gone',
      async ({ records, read }) => apply(records.store, end(await read('up-1'), 'gone', 'provider')),
    ],
    ['another control took it over', ({ claim }) => claim('up-1', { holder: 'control-2' })],
    ['the same control took it over', ({ claim }) => claim('up-1')],
  ]
  for (const [name, meanwhile] of rows)
    await t.test(name, async (t) => {
      const steps = await setUp(t)
      const held = steps.hold(await steps.claim('up-1', { forMs: 0 }))
      await meanwhile(steps)
      const before = await standing(steps)
      await t.rejects(held.settle('too late', rename), superseded)
      t.strictSame(await standing(steps), before)
      t.equal(steps.told.changes, 0)
    })
})

t.test(
  'one that stood still writes nothing when it wakes up, though the other is done by then',
  async (t) => {
    const steps = await setUp(t)
    const slept = steps.hold(await steps.claim('up-1', { forMs: 0 }))
    const second = await steps.claim('up-1', { holder: 'control-2' })
    await steps.hold(second).settle('by the other', rename)
    await steps.records.store.claims.release(second.claim)
    const before = await standing(steps)
    await t.rejects(slept.settle('too late', rename), superseded)
    await t.rejects(slept.note({ problem: 'too late' }), superseded)
    t.strictSame(await standing(steps), before)
  },
)

t.test('what happens to others is no hindrance', async (t) => {
  const steps = await setUp(t)
  const held = steps.hold(await steps.claim('up-1'))
  await apply(steps.records.store, changed('up-2', { quarantined: true }))
  await t.resolves(held.settle('as planned', rename))
})

t.test('a claim that has run out is good while nobody else takes it', async (t) => {
  const steps = await setUp(t)
  const held = steps.hold(await steps.claim('up-1', { forMs: 0 }))
  await held.note({ attempts: 1 })
  await held.settle('late, but alone', rename)
  t.match(await steps.read('up-1'), { problem: 'seen', attempts: 1 })
})

t.test('notes have no row in the ledger, and do not come between a step and its outcome', async (t) => {
  const steps = await setUp(t)
  const held = steps.hold(await steps.claim('up-1'))
  const before = await standing(steps)
  await held.note({ requestId: 'r-1', problem: 'not yet' })
  const after = await standing(steps)
  t.equal(after.version, before.version)
  t.match(after.record, { requestId: 'r-1', problem: 'not yet', rowVersion: 1 })
  await t.resolves(held.settle('as planned', rename))
})

t.test('what the step throws is thrown, and nothing is written', async (t) => {
  const steps = await setUp(t)
  const held = steps.hold(await steps.claim('up-1'))
  const before = await standing(steps)
  const bug = new TypeError('a bug')
  await t.rejects(
    held.settle('as planned', () => {
      throw bug
    }),
    bug,
  )
  t.strictSame(await standing(steps), before)
  t.equal(steps.told.changes, 0)
})

t.test("which errors say that the step is another's by now", async (t) => {
  t.equal(isSuperseded(new ControlError('conflict', '')), true)
  t.equal(isSuperseded(new ControlError('database_unavailable', '')), false)
  t.equal(isSuperseded(new ProviderError('refused', '')), false)
})
