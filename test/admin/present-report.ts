import t from 'tap'
import { presentReport } from '../../src/admin/present-report.ts'

t.test('a report says when, what, where and who', async (t) => {
  const said = { outcome: 'blocked', upstream: 'up-1', type: null, institution: 'bank-a', actor: 'admin' }
  t.strictSame(presentReport({ ...said, id: 'f3c2', jobId: 'job-1', atMs: Date.UTC(2026, 0, 1) }), {
    ...said,
    at: '2026-01-01T00:00:00.000Z',
  })
})
