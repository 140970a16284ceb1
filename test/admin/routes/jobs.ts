import t from 'tap'
import type { Pin } from '../../../src/types.ts'
import { makeAdmin, noJobs } from '../../fixtures/admin.ts'
import { databaseAway, makeControl } from '../../fixtures/admin-control.ts'
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
  ...noJobs,
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

t.test('what is no job id', async (t) => {
  const { app } = makeAdmin(t, { jobs })
  const answer = await app.inject({ url: '/v1/jobs/a%2Fb' })
  t.equal(answer.statusCode, 400)
  t.match(answer.json(), { code: 'bad_request', detail: /^Path parameter "id" must be a job id/ })
})

t.test('a release', async (t) => {
  const released: string[] = []
  const release = async (id: string) => {
    released.push(id)
    return id.startsWith('job') ? pinOf(id) : null
  }
  const { control } = makeControl()

  t.test('answers the job as it was', async (t) => {
    let tunnels = 2
    const { app } = makeAdmin(t, {
      control,
      jobs: {
        ...jobs,
        tunnels: () => tunnels,
        release: async (id) => {
          tunnels = 0
          return release(id)
        },
      },
    })
    const answer = await app.inject({ method: 'DELETE', url: '/v1/jobs/job-1?reason=stuck' })
    t.equal(answer.statusCode, 200)
    t.match(answer.json(), { id: 'job-1', upstream: { id: 'up-1', egressIp: '203.0.113.7' }, tunnels: 2 })
    t.strictSame(released, ['job-1'])
  })

  t.test('of a job that is not pinned', async (t) => {
    const { app } = makeAdmin(t, { control, jobs: { ...jobs, release } })
    const answer = await app.inject({ method: 'DELETE', url: '/v1/jobs/nobody' })
    t.equal(answer.statusCode, 404)
    t.match(answer.json(), { code: 'not_found', detail: /"nobody"/ })
  })

  t.test('needs the database only where its answer is to be kept', async (t) => {
    const keys = { ...control.records.keys, claim: () => Promise.reject(databaseAway()) }
    const away = makeControl({ records: { keys } }).control
    const { app } = makeAdmin(t, { control: away, jobs: { ...jobs, release } })
    const request = { method: 'DELETE' as const, url: '/v1/jobs/job-1' }
    released.length = 0
    t.equal((await app.inject(request)).statusCode, 200)
    const answer = await app.inject({ ...request, headers: { 'idempotency-key': 'k' } })
    t.equal(answer.statusCode, 503)
    t.match(answer.json(), { code: 'database_unavailable' })
    t.strictSame(released, ['job-1'], 'once')
  })
})
