import t, { type Test } from 'tap'
import { makeTakeIn } from '../../src/control/take-in.ts'
import { makeStaticProvider, type StaticEntry } from '../../src/provider/static.ts'
import type { Provider } from '../../src/provider/provider.ts'
import { controlWorlds } from '../fixtures/control-under-test.ts'
import { added, apply, restriction } from '../fixtures/records-under-test.ts'
import { makeScriptedProvider } from '../fixtures/scripted-provider.ts'

const { openWorld } = await controlWorlds(t)
const entry = { id: 'vm-1', host: '10.0.0.5', port: 8888 }

async function setUp(t: Test) {
  const { records, facts } = await openWorld(t)
  type Said = {
    provider?: Provider
    wanted?: number | null
    rules?: string[]
    entries?: readonly StaticEntry[]
  }
  const open = (said: Said = {}) =>
    makeTakeIn({
      provider: said.provider ?? makeStaticProvider(() => said.entries ?? [entry]),
      records: records.store,
      get restrictions() {
        return (said.rules ?? []).map((id) => restriction(id))
      },
      get wanted() {
        return said.wanted ?? null
      },
      settings: { probes: true, drainMs: 60_000 },
      events: facts.events,
    })
  return { records, facts, open, read: () => records.store.fleet.read() }
}

t.test('a list comes in as what its probes may let run', async (t) => {
  const { open, read } = await setUp(t)
  await open({ rules: ['no-b'] }).takeIn()
  t.match(await read(), {
    version: 1,
    upstreams: [{ id: 'vm-1', state: 'provisioning', addedBy: 'provider' }],
    restrictions: [{ id: 'no-b', source: 'config' }],
  })
})

t.test('done again, it changes nothing', async (t) => {
  const { open, read } = await setUp(t)
  const { takeIn } = open({ rules: ['no-b'], wanted: 3 })
  await takeIn()
  await takeIn()
  t.equal((await read()).version, 1)
})

t.test('a fleet without anything is a fleet too, once', async (t) => {
  const { open, read } = await setUp(t)
  const empty = { provider: makeStaticProvider(() => []) }
  await open(empty).takeIn()
  await open(empty).takeIn()
  t.match(await read(), { version: 1, upstreams: [] })
})

t.test(
  'the wanted size of the configuration counts when it is new; until then what a person said stands',
  async (t) => {
    const { open, read, records } = await setUp(t)
    await open({ wanted: 3 }).takeIn()
    t.match(await read(), { wantedSize: 3, configuredSize: 3 })
    await apply(records.store, { kind: 'size_wanted', from: 3, to: 5, configured: 3 })
    await open({ wanted: 3 }).takeIn()
    t.match(await read(), { wantedSize: 5, configuredSize: 3 })
    await open({ wanted: 4 }).takeIn()
    t.match(await read(), { wantedSize: 4, configuredSize: 4 })
  },
)

t.test('a cloud is not asked, but what another provider left is drained', async (t) => {
  const { open, read, records } = await setUp(t)
  await apply(records.store, added('vm-1', { provider: 'static', addedBy: 'provider' }))
  const cloud = makeScriptedProvider()
  await open({ provider: cloud.provider }).takeIn()
  t.equal(cloud.calls.length, 0)
  t.match((await read()).upstreams, [{ id: 'vm-1', state: 'draining', drain: { thenDelete: true } }])
})

t.test('what is listed and not taken in is told', async (t) => {
  const { open, records, facts } = await setUp(t)
  await apply(records.store, added('vm-1', { provider: 'static', addedBy: 'provider' }))
  await apply(records.store, { kind: 'upstream_deleted', id: 'vm-1', by: 'operator' })
  await open().takeIn()
  t.match(facts.of('upstream_not_adopted'), [{ id: 'vm-1', detail: /operator deleted/ }])
})

t.test('a configuration that is read again: its rules, its size and its list', async (t) => {
  const { open, read } = await setUp(t)
  const other = { id: 'vm-2', host: '10.0.0.6', port: 8888 }
  const said = { rules: ['no-a'], wanted: 1 as number | null, entries: [entry] }
  const { takeIn, takeInAgain } = open(said)
  await takeIn()
  await takeInAgain()
  t.equal((await read()).version, 1, 'nothing is new')
  Object.assign(said, { rules: ['no-b'], wanted: 2, entries: [other] })
  await takeInAgain()
  t.match(await read(), {
    version: 2,
    wantedSize: 2,
    upstreams: [{ id: 'vm-2' }],
    restrictions: [{ id: 'no-b' }],
  })
})

t.test('a configuration that is read again leaves machines of our own as they are', async (t) => {
  const { open, read, records } = await setUp(t)
  const own = makeScriptedProvider({ name: 'local', place: 'here' })
  const said = { provider: own.provider, rules: ['no-a'] }
  const { takeIn, takeInAgain } = open(said)
  await takeIn()
  // Made since, and nowhere in what was there at the start.
  await apply(records.store, added('vm-9', { provider: 'local', zone: 'here', state: 'running' }))
  const asked = own.calls.length
  said.rules = ['no-b']
  await takeInAgain()
  t.match(await read(), { upstreams: [{ id: 'vm-9', state: 'running' }], restrictions: [{ id: 'no-b' }] })
  t.equal(own.calls.length, asked, 'nobody is asked for them')
})
