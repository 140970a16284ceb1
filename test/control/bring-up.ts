import t from 'tap'
import { bringUp } from '../../src/control/bring-up.ts'
import { makeLocalProvider } from '../../src/provider/local.ts'
import { ProviderError, type Instance, type Provider } from '../../src/provider/provider.ts'
import { makeStaticProvider } from '../../src/provider/static.ts'
import type { UpstreamRecord } from '../../src/store/records.ts'
import { noLife } from '../fixtures/life.ts'
import { carries, createMany, idsOf } from '../fixtures/provider-contract.ts'
import { makeUpstream } from '../fixtures/upstream.ts'

const instance = (id: string): Instance => ({
  id,
  name: id,
  host: '127.0.0.1',
  port: 8888,
  egressIp: null,
  labels: {},
  credentials: null,
  zone: 'here',
  incarnation: null,
  status: 'running',
  createdAtMs: null,
})

const record = (id: string, more: Partial<UpstreamRecord> = {}): UpstreamRecord => ({
  ...makeUpstream({ id, provider: 'local' }),
  ...noLife(id),
  zone: 'here',
  addedBy: 'control',
  rowVersion: 1,
  createdAtMs: 5,
  updatedAtMs: 5,
  deletedAtMs: null,
  deletedBy: null,
  ...more,
})

/** Says what it was asked for. */
function makeProvider(there: Instance[] = [], resume?: Provider['resume']) {
  const calls: string[] = []
  const resumed: Instance[] = []
  const never = async () => {
    throw new Error('never asked')
  }
  const provider: Provider = {
    name: 'local',
    zones: [],
    place: async () => 'here',
    draft: () => {
      throw new Error('never asked')
    },
    list: async () => ({ instances: there, problems: [] }),
    read: never,
    create: never,
    async resume(given) {
      calls.push(`resume ${given.id}`)
      resumed.push(given)
      return resume ? resume(given) : given
    },
    async delete({ id, zone }) {
      calls.push(`delete ${id} ${zone}`)
    },
    close: async () => {},
  }
  return { provider, calls, resumed }
}

t.test('a list is taken as it is', async (t) => {
  const provider = makeStaticProvider(() => [{ host: '10.0.0.5', port: 8888 }])
  const { instances } = await provider.list()
  t.strictSame(await bringUp(provider, [record('old')]), instances)
})

t.test('those of the records that served start again, and nothing else is made', async (t) => {
  const rows: [name: string, record: UpstreamRecord, isResumed: boolean][] = [
    ['it ran', record('a'), true],
    ['taken in from a list', record('a', { addedBy: 'provider' }), true],
    ['it was being drained', record('a', { state: 'draining' }), true],
    ['it was about to be probed', record('a', { state: 'provisioning' }), true],
    ['it was still to be made', record('a', { state: 'provisioning', host: '' }), false],
    ['it was being deleted', record('a', { state: 'deleting' }), false],
    ['it never came up', record('a', { state: 'failed' }), false],
    ['in another folder', record('a', { zone: 'there' }), false],
    ['of another provider', record('a', { provider: 'static' }), false],
  ]
  for (const [name, recorded, isResumed] of rows) {
    const { provider, calls } = makeProvider()
    const made = await bringUp(provider, [recorded])
    t.strictSame(calls, isResumed ? ['resume a'] : [], name)
    t.strictSame(idsOf(made), isResumed ? ['a'] : [], name)
  }
})

t.test('it starts again as its provider knew it, not as probes saw it', async (t) => {
  const { provider, resumed } = makeProvider()
  const recorded = record('a.2', {
    instanceId: 'a',
    name: 'local-1',
    port: 9999,
    egressIp: '203.0.113.9',
    listedIp: '127.0.4.4',
    labels: { pool: 'p' },
  })
  await bringUp(provider, [recorded])
  t.strictSame(resumed, [
    {
      ...instance('a'),
      name: 'local-1',
      port: 9999,
      egressIp: '127.0.4.4',
      labels: { pool: 'p' },
      createdAtMs: 5,
    },
  ])
})

t.test('one that cannot start again is missing, the others stand', async (t) => {
  const { provider, calls } = makeProvider([], async (given) => {
    if (given.id === 'id-1') throw new ProviderError('no_capacity', 'port taken')
    return given
  })
  t.strictSame(idsOf(await bringUp(provider, [record('id-1'), record('id-2')])), ['id-2'])
  t.strictSame(calls, ['resume id-1', 'resume id-2'])
})

t.test('what a process before it left running is ended first', async (t) => {
  const { provider, calls } = makeProvider([instance('old-1')])
  await bringUp(provider, [record('old-1')])
  t.same(calls, ['delete old-1 here', 'resume old-1'])
})

t.test('a provider that fails is told to whoever starts it', async (t) => {
  const { provider } = makeProvider([instance('old-1')])
  const fails = async () => {
    throw new ProviderError('unavailable', 'not allowed')
  }
  await t.rejects(bringUp({ ...provider, list: fails }, []), { code: 'unavailable' })
  await t.rejects(bringUp({ ...provider, delete: fails }, []), { code: 'unavailable' })
  const broken = makeProvider([], async () => {
    throw new TypeError('a mistake')
  })
  await t.rejects(bringUp(broken.provider, [record('a')]), { message: 'a mistake' })
})

t.test('real ones come back under their addresses', async (t) => {
  const settings = {
    dataDir: t.testdir(),
    sourceAddresses: false,
    tinyproxy: 'auto',
    maxClients: 10,
    labels: [],
  } as const
  const before = makeLocalProvider(settings)
  const made = await createMany(before, 2)
  await before.close()
  const after = makeLocalProvider(settings)
  t.teardown(() => after.close())
  const recorded = made.map(({ id, name, host, port, labels, zone, createdAtMs }) =>
    record(id, { name, host, port, labels, zone, createdAtMs: createdAtMs! }),
  )
  t.strictSame(await bringUp(after, recorded), made)
  t.equal(await carries(t, made[0]!), 200)
})
