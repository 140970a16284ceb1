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
  listedIp: null,
  labels: { pool: 'a' },
  ejected: false,
  quarantined: false,
  credentials: 'tinyproxy',
  pins: 3,
  tunnels: 0,
  drain: null,
  replacedBy: null,
  problem: null,
  attempts: 0,
  retryAt: null,
  ejectedUntil: null,
  instanceId: 'up-1',
  incarnation: null,
  addedBy: 'operator',
  stateSince: '2026-01-01T00:00:00.000Z',
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

t.test('one that is still being made has no address', async (t) => {
  const retryAtMs = Date.UTC(2026, 0, 2)
  const problem = 'quota: raise it'
  const made = {
    ...record,
    state: 'provisioning' as const,
    host: '',
    port: 0,
    attempts: 2,
    retryAtMs,
    problem,
  }
  t.match(presentUpstream(made, null), {
    host: null,
    port: null,
    attempts: 2,
    retryAt: '2026-01-02T00:00:00.000Z',
    problem,
  })
})

t.test('a drain says how far it is, and what it closed', async (t) => {
  const [sinceMs, deadlineMs] = [Date.UTC(2026, 0, 3), Date.UTC(2026, 0, 4)]
  const drain = {
    sinceMs,
    deadlineMs,
    thenDelete: true,
    by: 'operator',
    drainedAtMs: null,
    shut: null,
  } as const
  const told = {
    since: '2026-01-03T00:00:00.000Z',
    deadline: '2026-01-04T00:00:00.000Z',
    thenDelete: true,
    drainedAt: null,
    shut: null,
  }
  t.strictSame(presentUpstream({ ...record, drain }, null).drain, told)
  const over = { ...drain, drainedAtMs: deadlineMs, shut: { atMs: deadlineMs, pins: 2, tunnels: 1 } }
  t.strictSame(presentUpstream({ ...record, drain: over }, null).drain, {
    ...told,
    drainedAt: '2026-01-04T00:00:00.000Z',
    shut: { at: '2026-01-04T00:00:00.000Z', pins: 2, tunnels: 1 },
  })
})

t.test('a deleted one says when', async (t) => {
  const deletedAtMs = Date.UTC(2026, 0, 3)
  t.match(presentUpstream({ ...record, state: 'deleted', deletedAtMs }, null), {
    state: 'deleted',
    deletedAt: '2026-01-03T00:00:00.000Z',
  })
})
