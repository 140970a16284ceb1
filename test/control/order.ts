import t from 'tap'
import { order } from '../../src/control/order.ts'
import { ProviderError, type Draft, type DraftRequest } from '../../src/provider/provider.ts'
import { upstreamRecord } from '../fixtures/upstream-records.ts'

function setUp({ place = null, zone = null }: { place?: string | null; zone?: string | null } = {}) {
  const requests: DraftRequest[] = []
  const draft = (request: DraftRequest): Draft => {
    requests.push(request)
    const labels = { pool: 'a', ...request.labels }
    return {
      id: `vm-${request.suffix}`,
      name: 'vm',
      zone: request.zone ?? zone,
      labels,
      credentials: 'vm-user',
    }
  }
  const parts = {
    provider: { name: 'gce', draft },
    place,
    newSuffix: () => '00000001',
    newRequestId: () => 'request-1',
  } as const
  return { parts, requests }
}

const anything = { labels: null, zone: null }

t.test('a row for a machine that is still to be made', async (t) => {
  const { parts } = setUp({ zone: 'zone-b' })
  t.strictSame(order([], { labels: { pool: 'b' }, zone: null }, parts), {
    id: 'vm-00000001',
    instanceId: 'vm-00000001',
    name: 'vm',
    provider: 'gce',
    state: 'provisioning',
    host: '',
    port: 1,
    egressIp: null,
    labels: { pool: 'b' },
    ejected: false,
    quarantined: false,
    credentials: 'vm-user',
    zone: 'zone-b',
    requestId: 'request-1',
    addedBy: 'control',
  })
})

t.test('its zone: as asked, else as drafted, else the place of the provider', async (t) => {
  const zoneOf = (asked: string | null, given: Parameters<typeof setUp>[0]) =>
    order([], { labels: null, zone: asked }, setUp(given).parts).zone
  t.equal(zoneOf('zone-c', { zone: 'zone-b', place: 'here' }), 'zone-c')
  t.equal(zoneOf(null, { zone: 'zone-b', place: 'here' }), 'zone-b')
  t.equal(zoneOf(null, { place: 'here' }), 'here')
  t.equal(zoneOf(null, {}), null)
})

t.test('the provider is told which of its machines stand, whoever made them', async (t) => {
  const { parts, requests } = setUp()
  const upstreams = [
    upstreamRecord({ id: 'a', name: 'name-a', zone: 'zone-a' }),
    upstreamRecord({ id: 'b', name: 'name-b', zone: null, state: 'provisioning' }),
    upstreamRecord({ id: 'c', name: 'name-c', state: 'draining', addedBy: 'provider' }),
    // Its name may be in use until it is gone.
    upstreamRecord({ id: 'd', name: 'name-d', state: 'deleting' }),
    upstreamRecord({ id: 'e', name: 'name-e', state: 'failed' }),
    upstreamRecord({ id: 'f', name: 'name-f', provider: 'static' }),
    { name: 'name-g', provider: 'gce', state: 'running' } as const,
  ]
  order(upstreams, anything, parts)
  t.strictSame(requests, [
    {
      labels: null,
      zone: null,
      suffix: '00000001',
      standing: [
        { name: 'name-a', zone: 'zone-a' },
        { name: 'name-b', zone: null },
        { name: 'name-c', zone: 'zone-a' },
        { name: 'name-d', zone: 'zone-a' },
        { name: 'name-g', zone: null },
      ],
    },
  ])
})

t.test('rows that were ordered in the same change stand, too', async (t) => {
  const { parts, requests } = setUp({ zone: 'zone-b' })
  const first = order([], anything, parts)
  order([first], anything, parts)
  t.strictSame(requests[1]?.standing, [{ name: 'vm', zone: 'zone-b' }])
})

t.test('what the provider refuses is told to whoever asked', async (t) => {
  const rows = [
    [
      new ProviderError('refused', 'There is no zone "z".'),
      { code: 'bad_request', detail: 'There is no zone "z".' },
    ],
    [new ProviderError('no_capacity', 'It makes none.'), { code: 'conflict', detail: 'It makes none.' }],
    [new TypeError('a bug'), new TypeError('a bug')],
  ] as const
  for (const [error, told] of rows) {
    const draft = () => {
      throw error
    }
    t.throws(() => order([], anything, { ...setUp().parts, provider: { name: 'gce', draft } }), told)
  }
})
