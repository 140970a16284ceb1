import t, { type Test } from 'tap'
import { giveUp, remove } from '../../src/control/remove.ts'
import { isProviderError, type DeleteOrder } from '../../src/provider/provider.ts'
import type { NewUpstream } from '../../src/store/records.ts'
import { dyingAnywhere, ordered, serving, stepWorlds, type Steps } from '../fixtures/steps-under-test.ts'
import { drain } from '../fixtures/upstream-records.ts'

const openSteps = await stepWorlds(t)
const deleting = {
  ...serving,
  state: 'deleting',
  requestId: 'request-of-row',
  incarnation: '1',
  drain: drain({ thenDelete: true, by: 'control' }),
} as const
const order = { id: 'up-1', name: 'up-1', zone: 'zone-a', labels: {}, credentials: null, requestId: 'insert' }

async function setUp(t: Test, row: Partial<NewUpstream>, { isMade = true } = {}) {
  const steps = await openSteps(t)
  await steps.add('up-1', row)
  if (isMade) await steps.cloud.provider.create(order)
  const deletions = () => steps.cloud.callsOf('delete') as DeleteOrder[]
  return { ...steps, cloud: steps.cloud, deletions }
}

const partsOf = ({ cloud, newRequestId }: Steps) => ({ provider: cloud.provider, newRequestId })

async function removeOnce(steps: Steps): Promise<void> {
  await remove(steps.hold(await steps.claim('up-1', { forMs: 0 })), partsOf(steps))
}

async function giveUpOnce(steps: Steps, reason = 'it did not come up'): Promise<void> {
  await giveUp(steps.hold(await steps.claim('up-1', { forMs: 0 })), reason, partsOf(steps))
}

t.test('the machine is deleted, and a tombstone stays', async (t) => {
  const steps = await setUp(t, deleting)
  await removeOnce(steps)
  t.strictSame(steps.deletions(), [
    { id: 'up-1', zone: 'zone-a', incarnation: '1', requestId: 'request-of-row' },
  ])
  t.equal(steps.cloud.machines.size, 0)
  t.match(await steps.read('up-1'), { state: 'deleted', deletedBy: 'control', deletedAtMs: Number })
  const { version } = await steps.fleet.head()
  t.match(await steps.records.store.ledger.read(version), {
    actor: 'control',
    reason: 'nothing is left of it',
    steps: [{ kind: 'upstream_deleted', id: 'up-1', by: 'control' }],
  })
})

t.test('a tombstone names who wanted it: whoever began the drain, else an operator by force', async (t) => {
  const rows = [
    [drain({ by: 'operator' }), 'operator'],
    [drain({ by: 'provider' }), 'provider'],
    [null, 'operator'],
  ] as const
  for (const [wanted, deletedBy] of rows) {
    const steps = await setUp(t, { ...deleting, drain: wanted })
    await removeOnce(steps)
    t.match(await steps.read('up-1'), { state: 'deleted', deletedBy })
  }
})

t.test('the row ends only with the word of the provider', async (t) => {
  for (const code of ['unavailable', 'rate_limited', 'refused', 'quota'] as const) {
    const steps = await setUp(t, deleting)
    steps.cloud.fail('delete', code)
    await t.rejects(removeOnce(steps), { code })
    t.match(await steps.read('up-1'), { state: 'deleting', rowVersion: 1 }, code)
    t.equal(steps.cloud.machines.size, 1)
    await removeOnce(steps)
    t.match(await steps.read('up-1'), { state: 'deleted' })
    t.equal(steps.cloud.machines.size, 0, `${code}: another order is not answered the same`)
  }
})

t.test('an answer that is lost is asked for again', async (t) => {
  const steps = await setUp(t, deleting)
  steps.cloud.fail('delete', 'lost')
  await t.rejects(removeOnce(steps), { code: 'unavailable' })
  t.equal(steps.cloud.machines.size, 0)
  await removeOnce(steps)
  t.match(await steps.read('up-1'), { state: 'deleted' })
})

t.test('what is gone already is deleted', async (t) => {
  const steps = await setUp(t, deleting, { isMade: false })
  await removeOnce(steps)
  t.match(await steps.read('up-1'), { state: 'deleted' })
})

t.test('another machine under its name is not meant', async (t) => {
  const steps = await setUp(t, { ...deleting, incarnation: '77' })
  await removeOnce(steps)
  t.same([...steps.cloud.machines.keys()], ['up-1'])
  t.match(await steps.read('up-1'), { state: 'deleted' })
})

t.test('a later life is deleted under the id of its instance', async (t) => {
  const steps = await setUp(t, { ...deleting, instanceId: 'vm-7' }, { isMade: false })
  await removeOnce(steps)
  t.match(steps.deletions(), [{ id: 'vm-7' }])
})

t.test('machines of others are left to them; only the row ends', async (t) => {
  const rows: readonly (readonly [string, Partial<NewUpstream>])[] = [
    ['registered by an operator', { addedBy: 'operator', provider: 'static' }],
    ['registered as one of this provider', { addedBy: 'operator' }],
    ['from a list', { addedBy: 'provider', provider: 'static' }],
    ['of another provider', { provider: 'local' }],
  ]
  for (const [name, row] of rows)
    await t.test(name, async (t) => {
      const steps = await setUp(t, { ...deleting, ...row })
      await removeOnce(steps)
      t.same(steps.deletions(), [])
      t.match(await steps.read('up-1'), { state: 'deleted' })
    })
})

t.test('one from a list is left in peace by the provider of the list, too', async (t) => {
  const steps = await openSteps(t, { name: 'static' })
  await steps.add('up-1', { ...deleting, provider: 'static', addedBy: 'provider' })
  await removeOnce(steps)
  t.same(steps.cloud.calls, [])
  t.match(await steps.read('up-1'), { state: 'deleted' })
})

t.test('an adopted machine is ours', async (t) => {
  const steps = await setUp(t, { ...deleting, addedBy: 'provider' })
  await removeOnce(steps)
  t.equal(steps.cloud.machines.size, 0)
})

t.test(
  'one that is given up is deleted before it is called failed, since it may be there unseen',
  async (t) => {
    const steps = await setUp(t, { ...ordered, attempts: 7 })
    const states: string[] = []
    const provider = {
      ...steps.cloud.provider,
      async delete(given: DeleteOrder) {
        states.push((await steps.read('up-1')).state)
        return steps.cloud.provider.delete(given)
      },
    }
    await giveUpOnce({ ...steps, cloud: { ...steps.cloud, provider } }, 'it did not come up within 300 s')
    t.same(states, ['provisioning'])
    t.equal(steps.cloud.machines.size, 0)
    t.match(await steps.read('up-1'), {
      state: 'failed',
      problem: 'it did not come up within 300 s',
      requestId: null,
      attempts: 0,
    })
  },
)

t.test('its deletion is another order than the one that made it', async (t) => {
  const steps = await setUp(t, { ...ordered, requestId: 'insert' })
  await giveUpOnce(steps)
  t.match(steps.deletions(), [{ requestId: 'request-1', incarnation: null }])
  t.equal(steps.cloud.machines.size, 0)
})

t.test('it has not failed while nobody knows whether it is there', async (t) => {
  const steps = await setUp(t, ordered)
  steps.cloud.fail('delete', 'unavailable', 'lost')
  for (const time of ['first', 'second']) {
    await t.rejects(giveUpOnce(steps), { code: 'unavailable' }, time)
    t.match(await steps.read('up-1'), { state: 'provisioning', requestId: 'request-of-row', rowVersion: 1 })
  }
  await giveUpOnce(steps)
  t.match(await steps.read('up-1'), { state: 'failed' })
  t.equal(steps.cloud.machines.size, 0)
})

t.test('a control that has lost its claim writes nothing', async (t) => {
  const rows = [
    ['remove', deleting],
    ['give up', ordered],
  ] as const
  for (const [name, row] of rows)
    await t.test(name, async (t) => {
      const steps = await setUp(t, row)
      const held = steps.hold(await steps.claim('up-1', { forMs: 0 }))
      await steps.claim('up-1', { holder: 'control-2' })
      const before = [await steps.read('up-1'), await steps.fleet.head()]
      const late = name === 'remove' ? remove(held, partsOf(steps)) : giveUp(held, '', partsOf(steps))
      await t.rejects(late, { code: 'conflict' })
      t.strictSame([await steps.read('up-1'), await steps.fleet.head()], before)
    })
})

t.test('one that hangs until its control stops is deleted by the next', async (t) => {
  const steps = await setUp(t, deleting)
  steps.cloud.fail('delete', 'hang')
  const stopping = new AbortController()
  const held = steps.hold(await steps.claim('up-1', { forMs: 0 }), { signal: stopping.signal })
  const rejected = t.rejects(remove(held, partsOf(steps)), { message: 'control stops' })
  stopping.abort(new Error('control stops'))
  await rejected
  t.match(await steps.read('up-1'), { state: 'deleting', requestId: 'request-of-row' })
  await removeOnce(steps)
  t.match(await steps.read('up-1'), { state: 'deleted' })
})

t.test('wherever its process dies, the next one ends the same', async (t) => {
  const stories = [
    ['remove', deleting, 'deleted'],
    ['give up', ordered, 'failed'],
    ['give up what was never made', ordered, 'failed'],
  ] as const
  for (const [name, row, end] of stories)
    await t.test(name, (t) =>
      dyingAnywhere(t, {
        async begin() {
          const steps = await setUp(t, row, { isMade: !name.endsWith('made') })
          steps.cloud.fail('delete', 'unavailable', 'refused', 'lost')
          return steps
        },
        async step({ records, cloud, claim, hold, read, newRequestId }, seen) {
          const { store } = records
          const parts = { provider: seen(cloud.provider), newRequestId }
          while ((await read('up-1')).state !== end) {
            const through = { fleet: seen(store.fleet), claims: seen(store.claims) }
            const held = hold(await claim('up-1', { forMs: 0 }), through)
            const step = name === 'remove' ? remove(held, parts) : giveUp(held, 'too late', parts)
            await step.catch((error: unknown) => {
              if (!isProviderError(error)) throw error
            })
          }
        },
        async told({ cloud, read, fleet }) {
          const { state, problem, deletedBy } = await read('up-1')
          const { version } = await fleet.head()
          return { state, problem, deletedBy, machines: cloud.machines.size, changes: version }
        },
      }),
    )
})
