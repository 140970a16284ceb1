import t from 'tap'
import { readNewUpstream, type NewUpstreamBody } from '../../src/admin/new-upstream.ts'

t.test('with an address a machine is registered, without one it is ordered', async (t) => {
  const upstream = { host: 'h', port: 1, name: null, egressIp: null, labels: {}, credentials: null }
  const rows: [body: NewUpstreamBody, wanted: object][] = [
    [{ address: 'h:1' }, { way: 'register', upstream }],
    [
      { address: 'h:1', zone: null },
      { way: 'register', upstream },
    ],
    [
      { address: 'h:1', name: 'n', labels: { a: 'b' } },
      { way: 'register', upstream: { ...upstream, name: 'n', labels: { a: 'b' } } },
    ],
    [{}, { way: 'order', order: { labels: null, zone: null } }],
    [{ labels: {} }, { way: 'order', order: { labels: {}, zone: null } }],
    [
      { labels: { a: 'b' }, zone: 'eu-1', name: null, egressIp: null, credentials: null },
      { way: 'order', order: { labels: { a: 'b' }, zone: 'eu-1' } },
    ],
  ]
  for (const [body, wanted] of rows) t.strictSame(readNewUpstream(body), wanted, JSON.stringify(body))
})

t.test('who mixes the two ways is told both', async (t) => {
  const rows: [body: NewUpstreamBody, detail: RegExp][] = [
    [{ address: 'h:1', zone: 'eu-1' }, /^Field "zone" does not go with "address"\. With "address" a machine/],
    [{ name: 'n' }, /^Field "name" needs "address"\. .*without it the provider makes one \(labels and zone/],
    [{ egressIp: '203.0.113.7', zone: 'eu-1' }, /^Field "egressIp" needs "address"\./],
    [{ credentials: 'c' }, /^Field "credentials" needs "address"\./],
  ]
  for (const [body, detail] of rows)
    t.throws(() => readNewUpstream(body), { code: 'bad_request', detail }, JSON.stringify(body))
})
