import t, { type Test } from 'tap'
import { makeTakeIn } from '../../src/control/take-in.ts'
import { makeStaticProvider } from '../../src/provider/static.ts'
import type { Provider } from '../../src/provider/provider.ts'
import { controlWorlds } from '../fixtures/control-under-test.ts'
import { added, apply, restriction } from '../fixtures/records-under-test.ts'
import { makeScriptedProvider } from '../fixtures/scripted-provider.ts'

const { openWorld } = await controlWorlds(t)
const entry = { id: 'vm-1', host: '10.0.0.5', port: 8888 }

async function setUp(t: Test) {
  const { records, facts } = await openWorld(t)
  const open = (said: { provider?: Provider; wanted?: number | null; rules?: string[] } = {}) =>
    makeTakeIn({
      provider: said.provider ?? makeStaticProvider([entry]),
      records: records.store,
      restrictions: (said.rules ?? []).map((id) => restriction(id)),
      wanted: said.wanted ?? null,
      settings: { probes: true, drainMs: 60_000 },
      events: facts.events,
    })
  return { records, facts, open, read: () => records.store.fleet.read() }
}

t.test('a list comes in as what its probes may let run', async (t) => {
  const { open, read } = await setUp(t)
  await open({ rules: ['no-b'] })()
  t.match(await read(), {
    version: 1,
    upstreams: [{ id: 'vm-1', state: 'provisioning', addedBy: 'provider' }],
    restrictions: [{ id: 'no-b', source: 'config' }],
  })
})

t.test('done again, it changes nothing', async (t) => {
  const { open, read } = await setUp(t)
  const takeIn = open({ rules: ['no-b'], wanted: 3 })
  await takeIn()
  await takeIn()
  t.equal((await read()).version, 1)
})

t.test('a fleet without anything is a fleet too, once', async (t) => {
  const { open, read } = await setUp(t)
  const empty = { provider: makeStaticProvider([]) }
  await open(empty)()
  await open(empty)()
  t.match(await read(), { version: 1, upstreams: [] })
})

t.test(
  'the wanted size of the configuration counts when it is new; until then what a person said stands',
  async (t) => {
    const { open, read, records } = await setUp(t)
    await open({ wanted: 3 })()
    t.match(await read(), { wantedSize: 3, configuredSize: 3 })
    await apply(records.store, { kind: 'size_wanted', from: 3, to: 5, configured: 3 })
    await open({ wanted: 3 })()
    t.match(await read(), { wantedSize: 5, configuredSize: 3 })
    await open({ wanted: 4 })()
    t.match(await read(), { wantedSize: 4, configuredSize: 4 })
  },
)

t.test('a cloud is not asked, but what another provider left is drained', async (t) => {
  const { open, read, records } = await setUp(t)
  await apply(records.store, added('vm-1', { provider: 'static', addedBy: 'provider' }))
  const cloud = makeScriptedProvider()
  await open({ provider: cloud.provider })()
  t.equal(cloud.calls.length, 0)
  t.match((await read()).upstreams, [{ id: 'vm-1', state: 'draining', drain: { thenDelete: true } }])
})

t.test('what is listed and not taken in is told', async (t) => {
  const { open, records, facts } = await setUp(t)
  await apply(records.store, added('vm-1', { provider: 'static', addedBy: 'provider' }))
  await apply(records.store, { kind: 'upstream_deleted', id: 'vm-1', by: 'operator' })
  await open()()
  t.match(facts.of('upstream_not_adopted'), [{ id: 'vm-1', detail: /operator deleted/ }])
})
