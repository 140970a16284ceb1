import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { makeGceProvider } from '../../src/provider/gce.ts'
import { createMany, createOne, deletionOf, drafting, orderOf } from '../fixtures/provider-contract.ts'
import { providerLists, providerMakes, rejectsWith } from '../fixtures/provider-contract.ts'
import { gceSettings, startGce, zones } from '../fixtures/gce-under-test.ts'
import { connectThrough, requestOver } from '../fixtures/raw-client.ts'
import { startTarget } from '../fixtures/target.ts'

const real = { engine: { tinyproxy: true } }

providerMakes(t, 'gce', async (t) => (await startGce(t, real)).provider)
providerLists(t, 'gce', async (t) => (await startGce(t)).provider)

t.test('importing it loads nothing of Google, and making it neither', async (t) => {
  const root = join(import.meta.dirname, '..', '..')
  const program = `
    import { registerHooks } from 'node:module'
    const seen = []
    registerHooks({ load: (url, context, next) => (seen.push(url), next(url, context)) })
    const { makeGceProvider } = await import('./src/provider/gce.ts')
    const provider = makeGceProvider({ fleet: 'main', zones: ['z'], project: 'p', endpoint: 'http://127.0.0.1:1', namePrefix: 'l', labels: {} })
    provider.draft({ standing: [], labels: null, zone: null, suffix: '12345678' })
    const before = seen.filter((url) => /node_modules/.test(url))
    await provider.list(AbortSignal.timeout(100)).catch(() => {})
    const after = seen.filter((url) => /node_modules/.test(url))
    console.log(JSON.stringify([before.length, after.length > 0]))`
  const printed = execFileSync(process.execPath, ['--input-type=module', '-e', program], { cwd: root })
  t.strictSame(JSON.parse(printed.toString()), [0, true])
})

t.test('a machine is told as the cloud sees it', async (t) => {
  const { engine, provider } = await startGce(t, { credentials: 'proxies', labels: { pool: 'payments' } })
  const order = orderOf(provider.draft(drafting({ labels: { tier: '1' }, zone: zones[1]! })))
  const made = await provider.create(order)
  const [vm] = engine.instances()
  t.strictSame(made, {
    id: order.name,
    name: order.name,
    host: vm!.networkIp,
    port: engine.port,
    egressIp: vm!.natIp,
    labels: { pool: 'payments', tier: '1' },
    credentials: 'proxies',
    zone: zones[1],
    incarnation: vm!.id,
    status: 'running',
    createdAtMs: vm!.createdAt.getTime(),
  })
})

t.test('it is made from the template, whose startup script and labels it keeps', async (t) => {
  const metadata = { items: [{ key: 'startup-script', value: '#!/bin/sh\nset -eu' }] }
  const template = { name: 'proxy-3', labels: { 'cost-centre': 'x' }, metadata }
  const { engine, provider, callsOf } = await startGce(t, { engine: { template } })
  const made = await createOne(provider)
  t.equal(callsOf('insert')[0]!.query.get('sourceInstanceTemplate'), 'global/instanceTemplates/proxy-3')
  t.strictSame(engine.instances()[0]!.metadata, metadata)
  t.strictSame(engine.instances()[0]!.labels, {
    'cost-centre': 'x',
    'lanekeeper-fleet': 'main',
    'lanekeeper-upstream': made.id,
  })
  t.strictSame(made.labels, { 'cost-centre': 'x' })
})

t.test('each machine has an address of its own that targets see', async (t) => {
  const { provider } = await startGce(t, real)
  const target = await startTarget()
  t.teardown(() => target.close())
  for (const { host, port, egressIp } of await createMany(provider, 2)) {
    const { socket } = await connectThrough({
      gatewayHost: host,
      gatewayPort: port,
      target: `${target.host}:${target.port}`,
    })
    t.teardown(() => socket.destroy())
    t.equal((await requestOver(socket)).status, 200)
    t.equal(target.requests.at(-1)!.address, egressIp)
  }
})

t.test('gateways may reach it at its external address', async (t) => {
  const { provider } = await startGce(t, { address: 'external' })
  const made = await createOne(provider)
  t.equal(made.host, made.egressIp)
})

t.test('a template without an external address is refused where gateways need one', async (t) => {
  const engine = { template: { hasExternal: false } }
  const { provider } = await startGce(t, { engine, address: 'external' })
  await rejectsWith(t, createOne(provider), 'refused', /no external address, and gce.address is external/)
  const { provider: inside } = await startGce(t, { engine })
  t.match(await createOne(inside), { egressIp: null, host: /^127\.1\./ })
})

t.test('a machine is awaited until it is there, however long its operation takes', async (t) => {
  const { engine, provider, callsOf } = await startGce(t)
  engine.operationsTake(350)
  t.match(await createOne(provider), { status: 'running', host: /^127/ })
  t.ok(callsOf('wait').length >= 3, 'waits come back before the operation is done')
})

t.test(
  'an operation that stays on is given up in time, and its machine found when it is ordered again',
  async (t) => {
    const { engine, provider } = await startGce(t, { operationTimeoutMs: 300 })
    engine.holdOperations()
    const order = orderOf(provider.draft(drafting()))
    await rejectsWith(t, provider.create(order), 'unavailable', /operation-\S+ still runs/)
    engine.releaseOperations()
    t.equal((await provider.create(order)).id, order.id)
    t.equal(engine.instances().length, 1)
  },
)

t.test('zones are filled evenly, and a sold out one says so', async (t) => {
  const { engine, provider } = await startGce(t)
  const made = await createMany(provider, 4)
  t.strictSame(
    made.map(({ zone }) => zone),
    [zones[0], zones[1], zones[0], zones[1]],
  )
  engine.stockout(zones[0]!)
  const inZone = (zone: string) => provider.create(orderOf(provider.draft(drafting({ zone }))))
  await rejectsWith(t, inZone(zones[0]!), 'no_capacity', /europe-west1-b.*POOL_EXHAUSTED.*another zone/)
  t.match(await inZone(zones[1]!), { status: 'running' })
})

t.test('a read finds a machine in whichever zone it is, and says null only of what is nowhere', async (t) => {
  const { engine, provider } = await startGce(t)
  const made = await provider.create(orderOf(provider.draft(drafting({ zone: zones[1]! }))))
  t.strictSame(await provider.read({ ...made, zone: null }), made)
  t.equal(await provider.read({ ...made, zone: zones[0]! }), null)
  engine.refuse('get', { status: 503, reason: 'backendError' }, { times: 5 })
  await rejectsWith(t, provider.read(made), 'unavailable', /503/)
})

t.test('what cannot be a name is nowhere, and not asked for', async (t) => {
  const { engine, provider } = await startGce(t)
  for (const id of ['', '..', '../../zones', 'Lane', 'a b', 'static-10.0.0.5-8888']) {
    t.equal(await provider.read({ id, zone: zones[0]!, incarnation: null }), null, id)
    await t.resolves(provider.delete(deletionOf({ id, zone: null, incarnation: null })), id)
  }
  t.strictSame(engine.calls, [])
})

t.test('a machine that was stopped, started, or made anew is told apart', async (t) => {
  const { engine, provider } = await startGce(t)
  const made = await createOne(provider)
  await engine.stop(made.name)
  t.match(await provider.read(made), { status: 'stopped', egressIp: null })
  await engine.start(made.name)
  const started = await provider.read(made)
  t.match(started, { status: 'running', incarnation: made.incarnation, host: made.host })
  t.not(started!.egressIp, made.egressIp)
  await engine.recreate(made.name)
  t.equal(await provider.read(made), null)
  t.match(await provider.read({ ...made, incarnation: null }), { id: made.id, status: 'running' })
})

t.test('a machine of another fleet is neither listed nor taken for ours', async (t) => {
  const { engine, provider } = await startGce(t)
  const other = makeGceProvider(gceSettings(engine, { fleet: 'other' }))
  t.teardown(() => other.close())
  const theirs = await createOne(other)
  t.strictSame((await provider.list()).instances, [])
  const draft = { ...provider.draft(drafting()), name: theirs.name, zone: theirs.zone }
  await rejectsWith(t, provider.create(orderOf(draft)), 'refused', /not this upstream/)
})

t.test('machines that others made are adopted by one label, with their own as labels', async (t) => {
  const { engine, provider } = await startGce(t)
  await engine.add({ name: 'by-hand', zone: zones[1]!, labels: { 'lanekeeper-fleet': 'main', pool: 'a' } })
  await engine.add({ name: 'unrelated', zone: zones[1]! })
  const { instances, problems } = await provider.list()
  t.match(instances, [{ id: 'by-hand', name: 'by-hand', labels: { pool: 'a' }, zone: zones[1] }])
  t.strictSame([instances.length, problems], [1, []])
  t.strictSame(await provider.read(instances[0]!), instances[0])
  await provider.delete(deletionOf(instances[0]!))
  t.strictSame(
    engine.instances().map(({ name }) => name),
    ['unrelated'],
  )
})

t.test('close ends what is under way', async (t) => {
  const { engine, provider } = await startGce(t)
  engine.holdOperations()
  const creating = createOne(provider)
  await provider.close()
  await rejectsWith(t, creating, 'unavailable', /closed/)
  await rejectsWith(t, provider.list(), 'unavailable', /closed/)
})
