import t, { type Test } from 'tap'
import { launch } from '../../src/control/launch.ts'
import { isProviderError, type CreateOrder, type ProviderErrorCode } from '../../src/provider/provider.ts'
import type { NewUpstream } from '../../src/store/records.ts'
import { until } from '../fixtures/until.ts'
import { dyingAnywhere, ordered, stepWorlds, type Steps } from '../fixtures/steps-under-test.ts'

const openSteps = await stepWorlds(t)

async function setUp(t: Test, row: Partial<NewUpstream> = {}, zones: string[] = ['zone-a']) {
  const steps = await openSteps(t, { zones })
  await steps.add('up-1', { ...ordered, ...row })
  const orders = () => steps.cloud.callsOf('create') as CreateOrder[]
  return { ...steps, cloud: steps.cloud, orders }
}

/** The step as the next control would take it. */
async function launchOnce(steps: Steps, signal?: AbortSignal): Promise<void> {
  const held = steps.hold(await steps.claim('up-1', { forMs: 0 }), signal && { signal })
  await launch(held, partsOf(steps))
}

const partsOf = ({ cloud, records, newRequestId }: Steps) => ({
  provider: cloud.provider,
  upstreams: records.store.upstreams,
  newRequestId,
})

t.test('the machine is ordered as the row says, and the row tells where it is', async (t) => {
  const steps = await setUp(t, { labels: { pool: 'a' }, credentials: 'vm', attempts: 2, problem: 'before' })
  await launchOnce(steps)
  t.strictSame(steps.orders(), [
    {
      id: 'up-1',
      name: 'up-1',
      zone: 'zone-a',
      labels: { pool: 'a' },
      credentials: 'vm',
      requestId: 'request-of-row',
    },
  ])
  t.match(await steps.read('up-1'), {
    state: 'provisioning',
    host: '10.0.0.1',
    port: 8888,
    egressIp: '203.0.113.1',
    listedIp: '203.0.113.1',
    incarnation: '1',
    zone: 'zone-a',
    requestId: null,
    attempts: 0,
    retryAtMs: null,
    problem: null,
    rowVersion: 2,
  })
  const { version } = await steps.fleet.head()
  t.match(await steps.records.store.ledger.read(version), { reason: 'its machine is there' })
})

t.test('a later life of an instance is ordered under the id of the instance', async (t) => {
  const steps = await setUp(t, { instanceId: 'vm-7' })
  await launchOnce(steps)
  t.match(steps.orders(), [{ id: 'vm-7' }])
})

t.test('an answer that is lost is asked for again: the same order, the same machine', async (t) => {
  const steps = await setUp(t)
  steps.cloud.fail('create', 'lost', 'unavailable', 'rate_limited', 'lost')
  for (const code of ['unavailable', 'unavailable', 'rate_limited', 'unavailable'])
    await t.rejects(launchOnce(steps), { code })
  await launchOnce(steps)
  const given = steps.orders().map(({ requestId, zone }) => `${requestId} ${zone}`)
  t.same(given, Array(5).fill('request-of-row zone-a'))
  t.equal(steps.cloud.made, 1)
  t.match(await steps.read('up-1'), { host: '10.0.0.1' })
})

t.test('one that hangs until its control stops is made once', async (t) => {
  const steps = await setUp(t)
  steps.cloud.fail('create', 'hang')
  const stopping = new AbortController()
  const first = launchOnce(steps, stopping.signal)
  const rejected = t.rejects(first, { message: 'control stops' })
  await until('it is ordered', () => steps.orders().length === 1)
  stopping.abort(new Error('control stops'))
  await rejected
  t.match(await steps.read('up-1'), { host: '', requestId: 'request-of-row' })
  await launchOnce(steps)
  t.equal(steps.cloud.made, 1)
})

t.test('a row without request id gets one before anything is ordered', async (t) => {
  const steps = await setUp(t, { requestId: null })
  const known: (string | null)[] = []
  const provider = {
    ...steps.cloud.provider,
    async create(order: CreateOrder, signal?: AbortSignal) {
      known.push((await steps.read('up-1')).requestId)
      return steps.cloud.provider.create(order, signal)
    },
  }
  steps.cloud.fail('create', 'lost')
  const again = () => launchOnce({ ...steps, cloud: { ...steps.cloud, provider } })
  await t.rejects(again(), { code: 'unavailable' })
  await again()
  t.same(known, ['request-1', 'request-1'])
  t.equal(steps.cloud.made, 1)
})

const zones = ['zone-a', 'zone-b', 'zone-c']

t.test('a zone without machines leads to the next one, by an order that is written down first', async (t) => {
  const steps = await setUp(t, {}, zones)
  steps.cloud.fail('create', 'no_capacity')
  await launchOnce(steps)
  t.match(await steps.read('up-1'), {
    host: '',
    zone: 'zone-b',
    requestId: 'request-1',
    attempts: 1,
    retryAtMs: null,
    problem: /^no_capacity: /,
  })
  t.equal(steps.orders().length, 1, 'nothing is ordered there yet')
  await launchOnce(steps)
  t.match(steps.orders()[1], { zone: 'zone-b', requestId: 'request-1' })
  t.match(await steps.read('up-1'), { host: '10.0.0.1', zone: 'zone-b', attempts: 0, problem: null })
})

t.test('after the last zone a while is waited, and it begins with the first', async (t) => {
  const steps = await setUp(t, {}, zones)
  steps.cloud.fail('create', 'no_capacity', 'no_capacity', 'no_capacity')
  await launchOnce(steps)
  await launchOnce(steps)
  await t.rejects(launchOnce(steps), { code: 'no_capacity' }, 'whoever called it waits')
  t.match(await steps.read('up-1'), { host: '', zone: 'zone-a', requestId: 'request-3' })
  await launchOnce(steps)
  t.same(
    steps.orders().map(({ zone, requestId }) => `${zone} ${requestId}`),
    ['zone-a request-of-row', 'zone-b request-1', 'zone-c request-2', 'zone-a request-3'],
  )
  t.equal(steps.cloud.made, 1)
})

t.test('where it goes after a zone without machines', async (t) => {
  const rows: readonly (readonly [string, string | null, string[], string | null, 'waits' | 'goes on'])[] = [
    ['it is the only one', 'zone-a', ['zone-a'], 'zone-a', 'waits'],
    ['it is none of them any more', 'zone-x', zones, 'zone-a', 'waits'],
    ['it is not the only one that is left', 'zone-x', ['zone-a'], 'zone-a', 'waits'],
    ['the provider has no zones', 'folder', [], 'folder', 'waits'],
    ['the row has none', null, zones, null, 'waits'],
    ['it is one in between', 'zone-b', zones, 'zone-c', 'goes on'],
  ]
  for (const [name, zone, known, next, then] of rows)
    await t.test(name, async (t) => {
      const steps = await setUp(t, { zone }, known)
      steps.cloud.fail('create', 'no_capacity')
      const outcome = await launchOnce(steps).then(
        () => 'goes on',
        () => 'waits',
      )
      t.equal(outcome, then)
      t.match(await steps.read('up-1'), { zone: next, requestId: 'request-1' })
    })
})

t.test(
  'an order that was answered with no is not given again, since the answer would be the same',
  async (t) => {
    for (const code of ['quota', 'no_capacity'] as const)
      await t.test(code, async (t) => {
        const steps = await setUp(t)
        steps.cloud.fail('create', code)
        await t.rejects(launchOnce(steps), { code })
        t.match(await steps.read('up-1'), { zone: 'zone-a', requestId: 'request-1', attempts: 0 })
        await launchOnce(steps)
        t.equal(steps.cloud.made, 1)
      })
  },
)

t.test('after other errors nobody knows whether it is under way: the same order again', async (t) => {
  const codes: readonly ProviderErrorCode[] = ['unavailable', 'rate_limited', 'refused', 'not_found']
  for (const code of codes) {
    const steps = await setUp(t, {}, zones)
    steps.cloud.fail('create', code)
    await t.rejects(launchOnce(steps), { code })
    t.match(await steps.read('up-1'), { zone: 'zone-a', requestId: 'request-of-row', rowVersion: 1 }, code)
  }
})

t.test('an address that another had is that one no more: its jobs must not be sent here', async (t) => {
  const steps = await setUp(t)
  const address = { provider: 'gce', host: '10.0.0.1', port: 8888, addedBy: 'control' } as const
  await steps.add('former', { ...address, state: 'draining' })
  await steps.add('going', { ...address, state: 'deleting' })
  await steps.add('registered', { ...address, provider: 'static', addedBy: 'operator' })
  await launchOnce(steps)
  t.match(await steps.read('up-1'), { host: '10.0.0.1' })
  t.match(await steps.read('former'), { state: 'deleted', deletedBy: 'provider' })
  t.match(await steps.read('going'), { state: 'deleting' }, 'its own step ends it')
  t.match(await steps.read('registered'), { state: 'running' }, 'which is not for us to say')
})

t.test('a control that has lost its claim writes nothing of what it learns', async (t) => {
  for (const answer of ['a machine', 'no_capacity', 'quota'] as const)
    await t.test(answer, async (t) => {
      const steps = await setUp(t, {}, zones)
      if (answer !== 'a machine') steps.cloud.fail('create', answer)
      const held = steps.hold(await steps.claim('up-1', { forMs: 0 }))
      await steps.claim('up-1', { holder: 'control-2' })
      const before = [await steps.read('up-1'), await steps.fleet.head()]
      await t.rejects(launch(held, partsOf(steps)), { code: 'conflict' })
      t.strictSame([await steps.read('up-1'), await steps.fleet.head()], before)
    })
})

t.test(
  'a control that has lost its claim orders nothing under a request id that is not written down',
  async (t) => {
    const steps = await setUp(t, { requestId: null })
    const held = steps.hold(await steps.claim('up-1', { forMs: 0 }))
    await steps.claim('up-1', { holder: 'control-2' })
    await t.rejects(launch(held, partsOf(steps)), { code: 'conflict' })
    t.same(steps.cloud.calls, [])
  },
)

t.test('wherever its process dies, the next one ends with the same one machine', async (t) => {
  const stories: readonly (readonly [string, Partial<NewUpstream>, ProviderErrorCode[]])[] = [
    ['at once', {}, []],
    ['without a request id', { requestId: null }, []],
    ['in the third zone', {}, ['no_capacity', 'no_capacity']],
    ['without room at first', {}, ['quota']],
    ['in the second lap', {}, ['no_capacity', 'no_capacity', 'no_capacity', 'no_capacity']],
  ]
  for (const [name, row, faults] of stories)
    await t.test(name, (t) =>
      dyingAnywhere(t, {
        async begin() {
          const steps = await setUp(t, row, zones)
          steps.cloud.fail('create', ...faults)
          return steps
        },
        async step({ records, cloud, claim, hold, read, newRequestId }, seen) {
          const { store } = records
          while ((await read('up-1')).host === '') {
            const parts = { fleet: seen(store.fleet), claims: seen(store.claims) }
            const held = hold(await claim('up-1', { forMs: 0 }), parts)
            const [provider, upstreams] = [seen(cloud.provider), seen(store.upstreams)]
            await launch(held, { provider, upstreams, newRequestId }).catch((error: unknown) => {
              if (!isProviderError(error)) throw error
            })
          }
        },
        async told({ cloud, read, fleet }) {
          const { state, host, zone, requestId, rowVersion, attempts } = await read('up-1')
          const { version } = await fleet.head()
          const machines = [...cloud.machines.values()].map(({ id, zone }) => `${id} ${zone}`)
          return { state, host, zone, requestId, rowVersion, attempts, version, machines, made: cloud.made }
        },
      }),
    )
})
