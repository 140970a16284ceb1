import t from 'tap'
import { bringUp } from '../../src/control/bring-up.ts'
import { ProviderError, type Instance, type Provider } from '../../src/provider/provider.ts'
import type { UpstreamRecord } from '../../src/store/records.ts'
import { makeUpstream } from '../fixtures/upstream.ts'

const instance = (id: string, name: string, labels = {}): Instance => {
  return { id, name, host: '127.0.0.1', port: 8888, egressIp: null, labels, credentials: null }
}
const record = (id: string, name: string, more: Partial<UpstreamRecord> = {}): UpstreamRecord => ({
  ...makeUpstream({ id, name, provider: 'local' }),
  zone: 'here',
  addedBy: 'provider',
  rowVersion: 1,
  createdAtMs: 0,
  updatedAtMs: 0,
  deletedAtMs: null,
  deletedBy: null,
  ...more,
})

/** Says what it was asked for. */
function makeProvider(there: Instance[] = [], resume?: Provider['resume']) {
  const calls: string[] = []
  const provider: Provider = {
    name: 'local',
    place: async () => 'here',
    list: async () => [...there],
    async create({ name, labels }) {
      calls.push(`create ${name}`)
      return instance(`${name}-new`, name, labels)
    },
    async resume(given) {
      calls.push(`resume ${given.id}`)
      return resume ? resume(given) : given
    },
    async delete(id) {
      calls.push(`delete ${id}`)
    },
    close: async () => {},
  }
  return { provider, calls }
}

t.test('a list is taken as it is', async (t) => {
  const there = [instance('a', 'a'), instance('b', 'b')]
  const { provider, calls } = makeProvider(there)
  t.strictSame(await bringUp({ provider, wanted: null, labels: [] }, [record('old', 'local-1')]), there)
  t.same(calls, [])
})

t.test('as many as wanted are created, each with its labels', async (t) => {
  const { provider, calls } = makeProvider()
  const made = await bringUp({ provider, wanted: 3, labels: [{ pool: 'a' }, { pool: 'b' }] }, [])
  t.same(calls, ['create local-1', 'create local-2', 'create local-3'])
  t.same(
    made.map(({ labels }) => labels),
    [{ pool: 'a' }, { pool: 'b' }, {}],
  )
})

t.test('those of the records start again, with the labels of today; what is too many does not', async (t) => {
  const { provider, calls } = makeProvider()
  const recorded = ['1', '2', '3'].map((n) => record(`id-${n}`, `local-${n}`, { labels: { pool: 'old' } }))
  const made = await bringUp({ provider, wanted: 2, labels: [{ pool: 'new' }] }, recorded)
  t.same(calls, ['resume id-1', 'resume id-2'])
  t.same(
    made.map(({ id, labels }) => [id, labels]),
    [
      ['id-1', { pool: 'new' }],
      ['id-2', {}],
    ],
  )
})

t.test('one that cannot start again is replaced by a new one', async (t) => {
  const taken = async () => {
    throw new ProviderError('no_capacity', 'port taken')
  }
  const { provider, calls } = makeProvider([], taken)
  const made = await bringUp({ provider, wanted: 1, labels: [] }, [record('id-1', 'local-1')])
  t.same(calls, ['resume id-1', 'create local-1'])
  t.same(
    made.map(({ id }) => id),
    ['local-1-new'],
  )
})

t.test("another folder's upstreams, and another provider's, are left alone", async (t) => {
  const { provider, calls } = makeProvider()
  const others = [
    record('id-1', 'local-1', { zone: 'there' }),
    record('id-2', 'local-1', { provider: 'static' }),
  ]
  await bringUp({ provider, wanted: 1, labels: [] }, others)
  t.same(calls, ['create local-1'])
})

t.test('what a process before it left running is ended first', async (t) => {
  const { provider, calls } = makeProvider([instance('old-1', 'local-1')])
  await bringUp({ provider, wanted: 1, labels: [] }, [record('old-1', 'local-1')])
  t.same(calls, ['delete old-1', 'resume old-1'])
})

t.test('a provider that fails is told to whoever starts it', async (t) => {
  const { provider } = makeProvider()
  provider.create = async () => {
    throw new ProviderError('no_capacity', 'no port is free')
  }
  await t.rejects(bringUp({ provider, wanted: 1, labels: [] }, []), { code: 'no_capacity' })
})
