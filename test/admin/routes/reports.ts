import t from 'tap'
import type { JobReport } from '../../../src/store/records.ts'
import type { Pin } from '../../../src/types.ts'
import { GatewayError } from '../../../src/errors.ts'
import { makeAdmin, noJobs } from '../../fixtures/admin.ts'
import { databaseAway, makeControl } from '../../fixtures/admin-control.ts'

const pin: Pin = {
  job: { id: 'job-1', type: 'payment', institution: null },
  upstreamId: 'up-1',
  freshBy: null,
  pinnedAtMs: 0,
  expiresAtMs: 1,
}

function setUp(said: { add?: () => Promise<void>; read?: () => Promise<Pin | null> } = {}) {
  const added: JobReport[] = []
  const reports = {
    add: async (reports: readonly JobReport[]) => void added.push(...reports),
    list: async (_: string, limit: number) =>
      added.map((report) => ({ ...report, atMs: Date.UTC(2026, 0, 1) })).slice(0, limit),
    sweep: async () => 0,
    ...(said.add && { add: said.add }),
  }
  const pins = { read: said.read ?? (async (id: string) => (id === 'job-1' ? pin : null)) }
  return {
    added,
    control: makeControl({ records: { reports } }).control,
    jobs: { ...noJobs, pins },
  }
}
const report = (id: string, payload: object, headers = {}) => ({
  method: 'POST' as const,
  url: `/v1/jobs/${id}/report`,
  payload,
  headers,
})

t.test('a report is kept with where the job was pinned, and who said it', async (t) => {
  const { added, ...parts } = setUp()
  const { app } = makeAdmin(t, parts)
  const answer = await app.inject(report('job-1', { outcome: 'blocked' }, { 'x-actor': 'alice' }))
  t.equal(answer.statusCode, 202)
  t.strictSame(answer.json(), { accepted: true })
  await app.inject(report('job@2', { outcome: 'ok' }))
  const first = { jobId: 'job-1', type: 'payment', institution: null, upstream: 'up-1' }
  const second = { jobId: 'job@2', type: null, institution: null, upstream: null }
  const [one, two] = added
  t.strictSame(added, [
    { ...first, outcome: 'blocked', actor: 'admin:alice', atMs: null, id: one!.id },
    { ...second, outcome: 'ok', actor: 'admin', atMs: null, id: two!.id },
  ])
  t.not(one!.id, two!.id)
})

t.test('the reports of a job', async (t) => {
  const { app } = makeAdmin(t, setUp())
  await app.inject(report('job-1', { outcome: 'captcha' }))
  t.strictSame((await app.inject({ url: '/v1/jobs/job-1/reports' })).json(), {
    items: [
      {
        at: '2026-01-01T00:00:00.000Z',
        outcome: 'captcha',
        upstream: 'up-1',
        type: 'payment',
        institution: null,
        actor: 'admin',
      },
    ],
    next: null,
  })
  t.equal((await app.inject({ url: '/v1/jobs/job-1/reports?after=1' })).statusCode, 400)
})

t.test('what is no report', async (t) => {
  const { added, ...parts } = setUp()
  const { app } = makeAdmin(t, parts)
  for (const payload of [{}, { outcome: 'meh' }, { outcome: 'ok', note: 'x' }, []])
    t.equal((await app.inject(report('job-1', payload))).statusCode, 400, JSON.stringify(payload))
  t.equal((await app.inject(report('-', { outcome: 'ok' }))).statusCode, 400)
  t.strictSame(added, [])
})

t.test('a store that is away is said', async (t) => {
  const noRedis = () => Promise.reject(new GatewayError('store_unavailable', { detail: 'Away.' }))
  const without = makeAdmin(t, setUp({ read: noRedis }))
  t.match((await without.app.inject(report('job-1', { outcome: 'ok' }))).json(), {
    code: 'store_unavailable',
  })
  const { app } = makeAdmin(t, setUp({ add: () => Promise.reject(databaseAway()) }))
  t.match((await app.inject(report('job-1', { outcome: 'ok' }))).json(), { code: 'database_unavailable' })
})
