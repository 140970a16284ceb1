import t from 'tap'
import { GatewayError } from '../../../src/errors.ts'
import type { Restriction, Snapshot } from '../../../src/types.ts'
import { makeAdmin } from '../../fixtures/admin.ts'
import { makeControl } from '../../fixtures/admin-control.ts'
import { snapshot, upstream } from '../../fixtures/snapshot.ts'

const published: Snapshot = {
  ...snapshot(
    12,
    ['up-1'],
    [
      {
        id: 'payments',
        kind: 'exclusive',
        type: 'payment',
        institution: '*',
        upstreams: { ids: ['up-1'] },
        overflow: false,
      },
    ],
  ),
  upstreams: [upstream('up-1'), upstream('up-2'), upstream('up-3', { quarantined: true })],
}

t.test('a lane is explained as gateways decide it', async (t) => {
  const { app } = makeAdmin(t, { control: makeControl({ snapshot: async () => published }).control })
  t.strictSame((await app.inject({ url: '/v1/explain?type=payment&institution=bank-a' })).json(), {
    type: 'payment',
    institution: 'bank-a',
    version: 12,
    eligible: ['up-1'],
    refused: [
      { upstream: 'up-2', reason: 'lane_kept_elsewhere', restriction: 'payments' },
      { upstream: 'up-3', reason: 'lane_kept_elsewhere', restriction: 'payments' },
    ],
    targets: { allowed: null, reported: null, restrictions: [] },
  })
})

t.test('what a lane may reach, and what would be refused', async (t) => {
  const rule = (id: string, type: string, more: Partial<Restriction>): Restriction => {
    return { id, kind: 'targets', type, institution: '*', upstreams: { ids: [] }, overflow: false, ...more }
  }
  const restrictions = [
    rule('bank', 'payment', { targets: ['bank.example', '203.0.113.0/24'] }),
    rule('soon', '*', { targets: ['*.example'], report: true }),
  ]
  const known = { ...published, restrictions }
  const { app } = makeAdmin(t, { control: makeControl({ snapshot: async () => known }).control })
  const rows: [query: string, targets: object][] = [
    [
      '?type=payment',
      { allowed: ['bank.example', '203.0.113.0/24'], reported: null, restrictions: ['bank'] },
    ],
    ['?type=statement', { allowed: null, reported: ['*.example'], restrictions: ['soon'] }],
  ]
  for (const [query, targets] of rows) {
    const { eligible, targets: told } = (await app.inject({ url: `/v1/explain${query}` })).json()
    t.strictSame(told, targets, query)
    t.same([...eligible].sort(), ['up-1', 'up-2'], 'and no upstream is taken from it')
  }
})

t.test('jobs that say neither are in lane *:*', async (t) => {
  const { app } = makeAdmin(t, { control: makeControl({ snapshot: async () => published }).control })
  const lane = { type: '*', institution: '*', eligible: ['up-2'] }
  t.match((await app.inject({ url: '/v1/explain' })).json(), lane)
  t.match((await app.inject({ url: '/v1/explain?type=*&institution=*' })).json(), lane)
  t.equal((await app.inject({ url: '/v1/explain?type=a:b' })).statusCode, 400)
})

t.test('without a snapshot there is nothing to explain by', async (t) => {
  const { app } = makeAdmin(t, { control: makeControl().control })
  const answer = await app.inject({ url: '/v1/explain' })
  t.equal(answer.statusCode, 503)
  t.match(answer.json(), { code: 'no_upstream', detail: /published/ })

  const away = () => Promise.reject(new GatewayError('store_unavailable', { detail: 'Redis is away.' }))
  const without = makeAdmin(t, { control: makeControl({ snapshot: away }).control })
  const refused = await without.app.inject({ url: '/v1/explain' })
  t.equal(refused.statusCode, 503)
  t.equal(refused.headers['retry-after'], '1')
  t.match(refused.json(), { code: 'store_unavailable' })
})
