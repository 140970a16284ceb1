import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { makeController } from '../../src/control/controller.ts'
import type { ObservedTraffic } from '../../src/control/plan.ts'
import type { Probe } from '../../src/control/probe.ts'
import { GatewayError } from '../../src/errors.ts'
import type { NewUpstream } from '../../src/store/records.ts'
import { controlWorlds } from '../fixtures/control-under-test.ts'
import { added, apply, changed } from '../fixtures/records-under-test.ts'
import { makeScriptedProvider } from '../fixtures/scripted-provider.ts'
import { until } from '../fixtures/until.ts'

const { openWorld } = await controlWorlds(t)
const claimMs = 30_000
const good: Probe = async () => ({ ok: true, ms: 1, egressIp: '203.0.113.9' })
const ordered = (id: string, more: Partial<NewUpstream> = {}) =>
  added(id, {
    provider: 'gce',
    state: 'provisioning',
    host: '',
    zone: 'zone-a',
    requestId: randomUUID(),
    addedBy: 'control',
    ...more,
  })
const draining = (thenDelete: boolean) => ({
  state: 'draining' as const,
  drain: {
    sinceMs: 0,
    deadlineMs: Date.now() + 3_600_000,
    thenDelete,
    by: 'operator' as const,
    drainedAtMs: null,
    shut: null,
  },
})

async function setUp(t: Test) {
  const { records, facts } = await openWorld(t)
  const cloud = makeScriptedProvider({ zones: ['zone-a', 'zone-b'] })
  const told = { probe: good, busy: new Set<string>(), confirmed: true, storeAnswers: true, observed: 0 }
  const observe = async (): Promise<ObservedTraffic> => {
    told.observed += 1
    if (!told.storeAnswers) throw new GatewayError('store_unavailable', { detail: 'away' })
    return {
      confirmedVersion: told.confirmed ? Infinity : 0,
      use: (id) => {
        const pins = told.busy.has(id) ? 1 : 0
        return { pins, tunnels: 0, isEmpty: pins === 0 }
      },
    }
  }
  const open = (holder: string, store = records.store) => {
    const controller = makeController({
      fleet: store.fleet,
      records: store,
      provider: cloud.provider,
      observe,
      probe: (...given) => told.probe(...given),
      settings: { good: 2, launchMs: 600_000, drainMs: 60_000, claimMs },
      holder,
      newRequestId: randomUUID,
      now: () => performance.now(),
      random: () => 0.5,
      events: facts.events,
      changed: () => {},
    })
    t.teardown(() => controller.stop())
    return controller
  }
  const controller = open('control-1')
  const read = (id: string) => records.store.upstreams.read(id)
  const pass = async (by = controller) => {
    await by.pass()
    await by.idle()
  }
  const state = async (id: string) => (await read(id))?.state
  return { records, facts, cloud, told, open, controller, read, pass, state }
}

t.test('an order becomes a machine, and after its probes it runs: a step with each pass', async (t) => {
  const { records, cloud, pass, read, facts } = await setUp(t)
  await apply(records.store, ordered('up-1'))
  await pass()
  t.match(await read('up-1'), { state: 'provisioning', host: '10.0.0.1', incarnation: '1', requestId: null })
  await pass()
  t.match(await read('up-1'), { state: 'running', egressIp: '203.0.113.9', listedIp: '203.0.113.1' })
  t.equal(cloud.made, 1)
  t.match(facts.of('upstream_moved_on'), [{ upstream: 'up-1', to: 'running' }])
  await pass()
  t.equal(cloud.calls.length, 1, 'and then nothing is left to do')
})

t.test('a step that fails is told, waits, and is taken again with the same request id', async (t) => {
  const { records, cloud, pass, read, facts } = await setUp(t)
  await apply(records.store, ordered('up-1'))
  cloud.fail('create', 'lost')
  await pass()
  const failed = await read('up-1')
  t.match(failed, { state: 'provisioning', attempts: 1, problem: /^unavailable: no answer/ })
  t.match(facts.of('upstream_step_failed'), [{ upstream: 'up-1', step: 'launch', attempts: 1 }])
  await pass()
  t.equal(cloud.calls.length, 1, 'not before its time')
  await records.pass(60_000)
  await pass()
  t.match(await read('up-1'), { host: '10.0.0.1', attempts: 0, problem: null })
  t.equal(cloud.made, 1)
})

t.test('a probe that this process itself spoiled, or a bad one, lets nobody run', async (t) => {
  const { records, told, pass, read } = await setUp(t)
  await apply(records.store, ordered('up-1', { host: '10.0.0.1' }))
  told.probe = async () => ({ ok: false, ms: 1, problem: 'connection refused' })
  await pass()
  t.match(await read('up-1'), { state: 'provisioning', attempts: 1, problem: 'probe: connection refused' })
  told.probe = good
  await records.pass(60_000)
  await pass()
  t.match(await read('up-1'), { state: 'running', problem: null })
})

t.test('a drain goes as far as the jobs on it allow, and a deletion to its end', async (t) => {
  const { records, cloud, told, pass, state, read } = await setUp(t)
  await apply(records.store, ordered('up-1'), ordered('up-2'))
  await pass()
  await pass()
  await apply(records.store, changed('up-1', draining(true)), changed('up-2', draining(false)))
  told.busy.add('up-1').add('up-2')
  await pass()
  t.same([await state('up-1'), await state('up-2')], ['draining', 'draining'])
  told.busy.clear()
  told.confirmed = false
  await pass()
  t.equal(await state('up-1'), 'draining', 'a gateway has not confirmed it')
  told.confirmed = true
  told.storeAnswers = false
  await pass()
  t.equal(await state('up-1'), 'draining', 'nobody knows')
  told.storeAnswers = true
  await pass()
  t.equal(await state('up-1'), 'deleting')
  t.match(await read('up-2'), { state: 'draining', drain: { drainedAtMs: Number } })
  await pass()
  t.match(await read('up-1'), { state: 'deleted', deletedBy: 'operator' })
  t.same([...cloud.machines.keys()], ['up-2'])
  await pass()
  t.equal(await state('up-2'), 'draining', 'drained, it waits for a person')
})

t.test('what it saw before the claim is looked at once more after it', async (t) => {
  const { records, told, open, pass, state } = await setUp(t)
  await apply(records.store, ordered('up-1'))
  await pass()
  await pass()
  await apply(records.store, changed('up-1', draining(true)))
  const { claims } = records.store
  const take: typeof claims.take = (ids, by) => {
    told.busy.add('up-1')
    return claims.take(ids, by)
  }
  await pass(open('control-2', { ...records.store, claims: { ...claims, take } }))
  t.equal(await state('up-1'), 'draining')
  t.ok(told.observed >= 2)
})

t.test('two controllers at once do each step once', async (t) => {
  const { records, cloud, controller, open } = await setUp(t)
  await apply(records.store, ...Array.from({ length: 10 }, (_, n) => ordered(`up-${n}`)))
  const both = [controller, open('control-2')]
  for (let turn = 0; turn < 2; turn++) {
    await Promise.all(both.map((one) => one.pass()))
    await Promise.all(both.map((one) => one.idle()))
  }
  t.equal(cloud.callsOf('create').length, 10)
  const { upstreams, version } = await records.store.fleet.read()
  t.ok(upstreams.every(({ state }) => state === 'running'))
  t.equal(version, 21, 'ten machines, ten admissions')
})

t.test('one that stood still while another took over writes nothing', async (t) => {
  const { records, cloud, controller, open, pass, read } = await setUp(t)
  await apply(records.store, ordered('up-1'))
  cloud.fail('create', 'hang')
  await controller.pass()
  await until('its order is given', () => cloud.callsOf('create').length === 1)
  await records.pass(claimMs)
  const other = open('control-2')
  await pass(other)
  const taken = await read('up-1')
  t.match(taken, { host: '10.0.0.1' })
  await controller.stop()
  t.strictSame(await read('up-1'), taken)
  t.equal(cloud.made, 1)
})

t.test('stopped, it leaves what is under way to whoever comes next, at once', async (t) => {
  const { records, cloud, controller, open, pass, read } = await setUp(t)
  await apply(records.store, ordered('up-1'))
  cloud.fail('create', 'hang')
  await controller.pass()
  await until('its order is given', () => cloud.callsOf('create').length === 1)
  await controller.stop()
  t.match(await read('up-1'), { attempts: 0, problem: null }, 'that is no failure of the machine')
  await pass(open('control-2'))
  t.match(await read('up-1'), { host: '10.0.0.1' })
  await controller.pass()
  t.equal(controller.running, 0, 'it begins nothing more')
})

t.test('a replacement that runs sends the old one away; one that never came leaves it', async (t) => {
  const { records, pass, read } = await setUp(t)
  await apply(
    records.store,
    ordered('old-1', { state: 'running', host: '10.0.0.8', requestId: null, replacedBy: 'new-1' }),
    ordered('old-2', { state: 'running', host: '10.0.0.9', requestId: null, replacedBy: 'new-2' }),
    ordered('new-1', { state: 'running', host: '10.0.0.7', requestId: null }),
    ordered('new-2', { state: 'failed', requestId: null }),
  )
  await pass()
  t.match(await read('old-1'), { state: 'draining', drain: { thenDelete: true, by: 'control' } })
  t.match(await read('old-2'), {
    state: 'running',
    replacedBy: null,
    problem: /"new-2" is failed, so it stays/,
  })
})

t.test('a machine that does not come up in time has failed, and none is left of it', async (t) => {
  const { records, cloud, told, pass, read } = await setUp(t)
  await apply(records.store, ordered('up-1'))
  told.probe = async () => ({ ok: false, ms: 1, problem: 'connection refused' })
  await pass()
  await pass()
  await records.pass(600_000)
  await pass()
  t.match(await read('up-1'), { state: 'failed', problem: /600 s: probe: connection refused/ })
  t.equal(cloud.machines.size, 0)
})
