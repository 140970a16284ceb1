// Orders whose answers are lost, refused, or late: each machine is made once, and nobody else's is taken.

import t, { type Test } from 'tap'
import type { ProviderErrorCode } from '../../src/provider/provider.ts'
import { startGce, zones } from '../fixtures/gce-under-test.ts'
import { createOne, drafting, orderOf, rejectsWith } from '../fixtures/provider-contract.ts'
import { until } from '../fixtures/until.ts'

const inFirstZone = drafting({ zone: zones[0]! })

t.test('an answer that is lost is asked for again, and the machine is made once', async (t) => {
  const { engine, provider, callsOf } = await startGce(t, { callTimeoutMs: 200 })
  engine.hangAfter('insert')
  const order = orderOf(provider.draft(inFirstZone))
  t.match(await provider.create(order), { id: order.id, status: 'running' })
  t.strictSame(
    callsOf('insert').map(({ requestId }) => requestId),
    [order.requestId, order.requestId],
  )
  t.equal(engine.instances().length, 1)
})

t.test(
  'answers that are lost again and again are the caller’s, whose next order finds the machine',
  async (t) => {
    const { engine, provider, callsOf } = await startGce(t, { callTimeoutMs: 250 })
    engine.hangAfter('insert', 3)
    const order = orderOf(provider.draft(inFirstZone))
    await rejectsWith(
      t,
      provider.create(order),
      'unavailable',
      /make lanekeeper-main-\w+ in europe-west1-b: no answer in time/,
    )
    t.equal(callsOf('insert').length, 3, 'one try and two more')
    t.match(await provider.create(order), { id: order.id })
    t.equal(engine.instances().length, 1)
  },
)

t.test('a machine that is there already is the one that was ordered, when its labels say so', async (t) => {
  const { engine, provider } = await startGce(t)
  const order = orderOf(provider.draft(inFirstZone))
  const made = await provider.create(order)
  t.strictSame(await provider.create({ ...order, requestId: crypto.randomUUID() }), made)
  t.equal(engine.instances().length, 1)
})

t.test('a machine that is there already and is not ours is refused, and left alone', async (t) => {
  const { engine, provider } = await startGce(t)
  const order = orderOf(provider.draft(inFirstZone))
  const taken = [
    {},
    { 'lanekeeper-fleet': 'other', 'lanekeeper-upstream': order.id },
    { 'lanekeeper-fleet': 'main', 'lanekeeper-upstream': 'lanekeeper-main-00000000' },
  ]
  for (const labels of taken) {
    await engine.add({ name: order.name, zone: zones[0]!, labels })
    await rejectsWith(t, provider.create(order), 'refused', /of that name whose labels say/)
    t.strictSame(
      engine.instances().map((vm) => vm.labels),
      [labels],
    )
    await engine.remove(order.name)
  }
})

t.test('an operation that fails is a failure, although its HTTP status is 200', async (t) => {
  const cases: readonly (readonly [code: string, httpStatus: number, ours: ProviderErrorCode])[] = [
    ['ZONE_RESOURCE_POOL_EXHAUSTED', 503, 'no_capacity'],
    ['ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS', 503, 'no_capacity'],
    ['STOCKOUT', 503, 'no_capacity'],
    ['QUOTA_EXCEEDED', 403, 'quota'],
    ['IP_SPACE_EXHAUSTED_WITH_DETAILS', 400, 'quota'],
    ['RATE_LIMIT_EXCEEDED', 403, 'rate_limited'],
    ['RESOURCE_OPERATION_RATE_EXCEEDED', 403, 'rate_limited'],
    ['RESOURCE_NOT_FOUND', 404, 'refused'],
    ['INVALID_USAGE', 400, 'refused'],
    ['CONDITION_NOT_MET', 412, 'refused'],
    ['PERMISSIONS_ERROR', 403, 'refused'],
    ['INTERNAL_ERROR', 500, 'unavailable'],
    ['RESOURCE_NOT_READY', 400, 'unavailable'],
    ['SOMETHING_NEW', 503, 'unavailable'],
  ]
  const { engine, provider } = await startGce(t)
  for (const [code, httpStatus, ours] of cases) {
    engine.failOperation('insert', code, { httpStatus })
    await rejectsWith(
      t,
      createOne(provider),
      ours,
      new RegExp(`in europe-west1-b: ${code}, "The operation failed`),
    )
  }
  t.strictSame(engine.instances(), [])
})

t.test(
  'an order that has failed may be given again, although its request id brings the failure back',
  async (t) => {
    const { engine, provider, callsOf } = await startGce(t)
    engine.failOperation('insert', 'INTERNAL_ERROR', { httpStatus: 503 })
    const order = orderOf(provider.draft(inFirstZone))
    await rejectsWith(t, provider.create(order), 'unavailable', /INTERNAL_ERROR/)
    t.match(await provider.create(order), { id: order.id, status: 'running' })
    const [first, second, third, ...more] = callsOf('insert').map(({ requestId }) => requestId)
    t.strictSame([first, second, more], [order.requestId, order.requestId, []])
    t.not(third, order.requestId)
    t.equal(engine.instances().length, 1)
  },
)

t.test('what is not found when a machine is made is its template, and that is refused', async (t) => {
  const { provider } = await startGce(t, { template: 'global/instanceTemplates/none' })
  await rejectsWith(t, createOne(provider), 'refused', /404 notFound.*instanceTemplates\/none/)
})

t.test('a machine that somebody deletes at once is not found', async (t) => {
  const { engine, provider } = await startGce(t)
  engine.holdOperations()
  const creating = createOne(provider)
  const removed = removeOnceMade(engine)
  await rejectsWith(t, creating, 'not_found', /does somebody delete it/)
  await removed
})

t.test('a machine that another order is still making is awaited, until it has its addresses', async (t) => {
  const { engine, provider, callsOf } = await startGce(t)
  engine.holdOperations()
  const order = orderOf(provider.draft(inFirstZone))
  const abort = new AbortController()
  const first = provider.create(order, abort.signal)
  await until('it waits', () => callsOf('wait').length > 0)
  abort.abort(new Error('not any more'))
  await t.rejects(first, { message: 'not any more' })
  const second = provider.create({ ...order, requestId: crypto.randomUUID() })
  await until('it looks again', () => callsOf('get').length > 2)
  engine.releaseOperations()
  t.match(await second, { status: 'running', host: /^127\.1\./, egressIp: /^127\.0\./ })
})

t.test('a machine that stops while it is awaited is not there', async (t) => {
  const { engine, provider } = await startGce(t)
  const order = orderOf(provider.draft(inFirstZone))
  await provider.create(order)
  await engine.stop(order.name)
  await rejectsWith(t, provider.create(order), 'unavailable', /it is there, but TERMINATED/)
})

t.test('who aborts while an operation runs gets the reason at once', async (t) => {
  const { engine, provider } = await startGce(t, { engine: { waitMs: 60_000 }, operationTimeoutMs: 120_000 })
  engine.holdOperations()
  const abort = new AbortController()
  const creating = provider.create(orderOf(provider.draft(inFirstZone)), abort.signal)
  await until('it waits', () => engine.calls.some(({ call }) => call === 'wait'))
  abort.abort(new Error('not any more'))
  await t.rejects(creating, { message: 'not any more' })
})

type Engine = Awaited<ReturnType<typeof startGce>>['engine']

async function removeOnceMade(engine: Engine): Promise<void> {
  await until('it waits', () => engine.calls.some(({ call }) => call === 'wait'))
  await engine.remove(engine.instances()[0]!.name)
  engine.releaseOperations()
}

t.test('an order without a zone is refused', async (t: Test) => {
  const { provider } = await startGce(t)
  const order = { ...orderOf(provider.draft(inFirstZone)), zone: null }
  await rejectsWith(t, provider.create(order), 'refused', /in no zone/)
})
