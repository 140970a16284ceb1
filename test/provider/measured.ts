import t, { type Test } from 'tap'
import { makeMeasuredProvider } from '../../src/provider/measured.ts'
import { makeLocalProvider } from '../../src/provider/local.ts'
import { ProviderError, type Instance, type Listing, type Provider } from '../../src/provider/provider.ts'
import { makeStaticProvider } from '../../src/provider/static.ts'
import { makeFakeClock } from '../fixtures/clock.ts'
import { recordFacts } from '../fixtures/facts.ts'
import { deletionOf, orderOf, providerLists, providerMakes } from '../fixtures/provider-contract.ts'

function setUp(inside: Provider) {
  const facts = recordFacts()
  const clock = makeFakeClock()
  const provider = makeMeasuredProvider(inside, { events: facts.events, now: clock.now })
  return { provider, clock, calls: () => facts.of('provider_called') }
}

const makeLocal = (t: Test) =>
  makeLocalProvider({
    dataDir: t.testdir(),
    sourceAddresses: false,
    tinyproxy: 'never',
    maxClients: 10,
    labels: [],
  })

providerMakes(t, 'measured', (t) => setUp(makeLocal(t)).provider)
providerLists(t, 'measured', (t) => setUp(makeLocal(t)).provider)

t.test('each call is told, with what it took', async (t) => {
  const listing: Listing = { instances: [], problems: [] }
  const inside = makeStaticProvider(() => [])
  const { provider, clock, calls } = setUp({
    ...inside,
    list: async () => {
      clock.advance(1500)
      return listing
    },
    create: async () => instance,
    resume: async (given) => given,
  })
  t.equal(await provider.list(), listing)
  t.equal(await provider.read(instance), null)
  t.equal(await provider.create(orderOf(instance)), instance)
  t.equal(await provider.resume!(instance), instance)
  await provider.delete(deletionOf(instance))
  t.strictSame(
    calls(),
    (['list', 'read', 'create', 'resume', 'delete'] as const).map((verb) => {
      return { provider: 'static', verb, ms: verb === 'list' ? 1500 : 0, outcome: 'ok' }
    }),
  )
})

t.test('how a call ended is told, and the error is the same', async (t) => {
  const quota = new ProviderError('quota', 'no more')
  const gone = new Error('gone')
  const stopping = new ProviderError('unavailable', 'stopping')
  const rows: [name: string, error: Error, signal: AbortSignal | null, outcome: string][] = [
    ['an error of the contract', quota, null, 'quota'],
    ['an error of the contract, while its caller goes', quota, AbortSignal.abort(gone), 'quota'],
    ['an error that nobody knows', gone, null, 'failed'],
    ['its caller goes', gone, AbortSignal.abort(gone), 'aborted'],
    ['its caller goes, and the error is what somebody made of it', gone, AbortSignal.abort(), 'aborted'],
    ['its caller goes with an error of the contract', stopping, AbortSignal.abort(stopping), 'aborted'],
  ]
  for (const [name, error, signal, outcome] of rows) {
    const list = async () => {
      throw error
    }
    const { provider, calls } = setUp({ ...makeStaticProvider(() => []), list })
    const thrown = await provider.list(signal ?? undefined).catch((reason: unknown) => reason)
    t.equal(thrown, error, name)
    t.match(calls(), [{ verb: 'list', outcome }], name)
  }
})

t.test('what asks nobody is not told, and what is not there is not made up', async (t) => {
  const { provider, calls } = setUp(makeStaticProvider(() => []))
  t.equal(await provider.place(), null)
  t.strictSame(provider.zones, [])
  t.throws(() => provider.draft({ standing: [], labels: null, zone: null, suffix: '12345678' }))
  t.notOk('resume' in provider)
  await provider.close()
  t.strictSame(calls(), [])
})

const instance: Instance = {
  id: 'vm-1',
  name: 'vm-1',
  host: '10.0.0.1',
  port: 8888,
  egressIp: null,
  labels: {},
  credentials: null,
  zone: null,
  incarnation: null,
  status: 'running',
  createdAtMs: null,
}
