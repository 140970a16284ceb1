import t from 'tap'
import { presentSyncReport } from '../../src/admin/present-sync.ts'
import { syncReport } from '../fixtures/admin-control.ts'

t.test('a report is told whole, with its times', async (t) => {
  const corrected = [{ id: 'up-1', action: 'removed', detail: 'gone since 2 lists' }]
  const left = [{ id: 'up-2', detail: 'changed meanwhile' }]
  const report = syncReport({ outcome: 'incomplete', problems: ['zone b did not answer'], corrected, left })
  const { startedAtMs: _, endedAtMs: _1, ...rest } = report
  t.strictSame(presentSyncReport(report), {
    ...rest,
    startedAt: '2026-01-01T00:00:00.000Z',
    endedAt: '2026-01-01T00:00:02.000Z',
  })
})
