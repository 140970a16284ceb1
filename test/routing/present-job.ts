import t from 'tap'
import { presentJob } from '../../src/routing/present-job.ts'
import type { Pin, Upstream } from '../../src/types.ts'

const pin: Pin = {
  job: { id: 'job-1', type: 'payment', institution: null },
  upstreamId: 'up-1',
  freshBy: null,
  pinnedAtMs: Date.UTC(2026, 0, 2, 3, 4, 5, 6),
  expiresAtMs: Date.UTC(2026, 0, 2, 3, 14, 5, 6),
}
const upstream: Upstream = {
  id: 'up-1',
  name: 'vm-1',
  provider: 'static',
  state: 'running',
  host: '10.0.0.5',
  port: 8888,
  egressIp: '203.0.113.7',
  labels: {},
  ejected: false,
  quarantined: false,
  credentials: 'secret-ref',
}

t.test('a job in the words of the API, without internal addresses', async (t) => {
  t.strictSame(presentJob(pin, upstream, 2), {
    id: 'job-1',
    type: 'payment',
    institution: null,
    upstream: { id: 'up-1', egressIp: '203.0.113.7' },
    fresh: false,
    pinnedAt: '2026-01-02T03:04:05.006Z',
    expiresAt: '2026-01-02T03:14:05.006Z',
    tunnels: 2,
  })
})

t.test('a job whose upstream is gone still says which one it was', async (t) => {
  t.strictSame(presentJob(pin, null, 0).upstream, { id: 'up-1', egressIp: null })
})

t.test('a job without a tunnel so far is fresh', async (t) => {
  t.ok(presentJob({ ...pin, freshBy: 'gw-1' }, upstream, 0).fresh)
})
