import t from 'tap'
import type { Pin } from '../../../src/types.ts'
import { makeAdmin } from '../../fixtures/admin.ts'
import { makeUpstream } from '../../fixtures/upstream.ts'

const pinOf = (id: string): Pin => ({
  job: { id, type: 'payment', institution: 'bank-a' },
  upstreamId: 'up-1',
  freshBy: null,
  pinnedAtMs: Date.UTC(2026, 0, 1),
  expiresAtMs: Date.UTC(2026, 0, 2),
})
const upstream = makeUpstream({ id: 'up-1', host: '10.0.0.5', egressIp: '203.0.113.7' })

const jobs = {
  pins: { read: async (id: string) => (id.startsWith('job') ? pinOf(id) : null) },
  upstream: (id: string) => (id === 'up-1' ? upstream : null),
  tunnels: () => 2,
}

t.test('a pinned job', async (t) => {
  const { app } = makeAdmin(t, { jobs })
  const answer = await app.inject({ url: '/v1/jobs/job-1' })
  t.equal(answer.statusCode, 200)
  t.strictSame(answer.json(), {
    id: 'job-1',
    type: 'payment',
    institution: 'bank-a',
    upstream: { id: 'up-1', egressIp: '203.0.113.7' },
    fresh: false,
    pinnedAt: '2026-01-01T00:00:00.000Z',
    expiresAt: '2026-01-02T00:00:00.000Z',
    tunnels: 2,
  })
})

t.test('every id that a job may have is found', async (t) => {
  const { app } = makeAdmin(t, { jobs })
  const ids = ['job.~:@+-_9', 'job' + 'x'.repeat(125), `job${'@'.repeat(125)}`]
  for (const id of ids) {
    for (const url of [`/v1/jobs/${id}`, `/v1/jobs/${encodeURIComponent(id)}`]) {
      const answer = await app.inject({ url })
      t.equal(answer.statusCode, 200, url)
      t.equal(answer.json().id, id)
    }
  }
})

t.test('a job that is not pinned', async (t) => {
  const { app } = makeAdmin(t, { jobs })
  const answer = await app.inject({ url: '/v1/jobs/nobody' })
  t.equal(answer.statusCode, 404)
  t.match(answer.json(), { code: 'not_found', detail: /"nobody"/ })
})

t.test('a job whose upstream has left the fleet', async (t) => {
  const { app } = makeAdmin(t, { jobs: { ...jobs, upstream: () => null } })
  t.strictSame((await app.inject({ url: '/v1/jobs/job-1' })).json().upstream, { id: 'up-1', egressIp: null })
})
