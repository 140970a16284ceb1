import t from 'tap'
import { startGce, zones } from '../fixtures/gce-under-test.ts'
import { createMany, createOne, deletionOf, rejectsWith } from '../fixtures/provider-contract.ts'

t.test('a machine is deleted by its number, under the request id of the order', async (t) => {
  const { engine, provider, callsOf } = await startGce(t)
  const [made, other] = await createMany(provider, 2)
  const order = deletionOf(made!)
  await provider.delete(order)
  t.match(callsOf('delete'), [{ name: made!.incarnation, requestId: order.requestId, zone: made!.zone }])
  t.strictSame(
    engine.instances().map(({ name }) => name),
    [other!.name],
  )
})

t.test('delete resolves when the machine is gone, and not before', async (t) => {
  const { engine, provider } = await startGce(t)
  const made = await createOne(provider)
  engine.operationsTake(250)
  await provider.delete(deletionOf(made))
  t.strictSame(engine.instances(), [])
})

t.test('an answer that is lost is asked for again', async (t) => {
  const { engine, provider, callsOf } = await startGce(t, { callTimeoutMs: 200 })
  const made = await createOne(provider)
  engine.hangAfter('delete')
  const order = deletionOf(made)
  await provider.delete(order)
  t.strictSame(
    callsOf('delete').map(({ requestId }) => requestId),
    [order.requestId, order.requestId],
  )
  t.strictSame(engine.instances(), [])
})

t.test('a machine that is gone is deleted, whoever did it and whenever', async (t) => {
  const { engine, provider, callsOf } = await startGce(t)
  const made = await createOne(provider)
  await engine.remove(made.name)
  await provider.delete(deletionOf(made))
  t.equal(callsOf('delete').length, 0, 'nothing was there to ask for')
  const next = await createOne(provider)
  engine.refuse('delete', { status: 404, reason: 'notFound' })
  const deleting = provider.delete(deletionOf(next))
  await engine.remove(next.name)
  await t.resolves(deleting)
})

t.test('a 404 alone is not believed while a read finds the machine', async (t) => {
  const { engine, provider } = await startGce(t, { operationTimeoutMs: 500 })
  const made = await createOne(provider)
  engine.refuse('delete', { status: 404, reason: 'notFound' })
  await rejectsWith(t, provider.delete(deletionOf(made)), 'unavailable', /it is still there/)
})

t.test('another machine under the same name stays', async (t) => {
  const { engine, provider, callsOf } = await startGce(t)
  const made = await createOne(provider)
  await engine.recreate(made.name)
  await provider.delete(deletionOf(made))
  t.equal(engine.instances().length, 1)
  t.equal(callsOf('delete').length, 0)
})

t.test('an operation that fails is told, and the same order may be given again', async (t) => {
  const { engine, provider } = await startGce(t)
  const made = await createOne(provider)
  engine.failOperation('delete', 'RESOURCE_IN_USE', { httpStatus: 400 })
  const order = deletionOf(made)
  await rejectsWith(
    t,
    provider.delete(order),
    'unavailable',
    /delete lanekeeper-main-\w+ in.*RESOURCE_IN_USE/,
  )
  t.equal(engine.instances().length, 1)
  await provider.delete(order)
  t.strictSame(engine.instances(), [])
})

t.test('an operation that stays on is given up in time', async (t) => {
  const { engine, provider } = await startGce(t, { operationTimeoutMs: 300 })
  const made = await createOne(provider)
  engine.holdOperations()
  await rejectsWith(t, provider.delete(deletionOf(made)), 'unavailable', /still runs/)
})

t.test('it is found in whichever zone it is', async (t) => {
  const { engine, provider } = await startGce(t)
  await engine.add({ name: 'by-hand', zone: zones[1]!, labels: { 'lanekeeper-fleet': 'main' } })
  await provider.delete(deletionOf({ id: 'by-hand', zone: null, incarnation: null }))
  t.strictSame(engine.instances(), [])
})
