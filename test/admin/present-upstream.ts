import t from 'tap'
import { presentUpstream } from '../../src/admin/present-upstream.ts'
import { upstreamRecord } from '../fixtures/admin-control.ts'

const record = upstreamRecord({
  id: 'up-1',
  name: 'first',
  zone: 'eu-1',
  egressIp: '203.0.113.7',
  labels: { pool: 'a' },
  credentials: 'tinyproxy',
})
const shape = {
  id: 'up-1',
  name: 'first',
  provider: 'static',
  zone: 'eu-1',
  state: 'running',
  host: '127.0.0.1',
  port: 8888,
  egressIp: '203.0.113.7',
  labels: { pool: 'a' },
  ejected: false,
  quarantined: false,
  credentials: 'tinyproxy',
  pins: 3,
  tunnels: 0,
  createdAt: '2026-01-01T00:00:00.000Z',
  updatedAt: '2026-01-02T00:00:00.000Z',
  deletedAt: null,
}

t.test('with its jobs and tunnels; none counted is none', async (t) => {
  t.strictSame(presentUpstream(record, { pins: new Map([['up-1', 3]]), tunnels: new Map() }), shape)
})

t.test('while Redis is away nobody knows them', async (t) => {
  t.strictSame(presentUpstream(record, null), { ...shape, pins: null, tunnels: null })
})

t.test('a deleted one says when', async (t) => {
  const deletedAtMs = Date.UTC(2026, 0, 3)
  t.match(presentUpstream({ ...record, state: 'deleted', deletedAtMs }, null), {
    state: 'deleted',
    deletedAt: '2026-01-03T00:00:00.000Z',
  })
})
