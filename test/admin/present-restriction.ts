import t from 'tap'
import { presentRestriction } from '../../src/admin/present-restriction.ts'
import { restrictionRecord } from '../fixtures/admin-control.ts'

t.test('a restriction says where it comes from and since when', async (t) => {
  const record = restrictionRecord({ id: 'rule-1', type: 'payment', upstreams: { labels: { pool: 'a' } } })
  t.strictSame(presentRestriction(record), {
    id: 'rule-1',
    kind: 'exclusive',
    type: 'payment',
    institution: '*',
    upstreams: { labels: { pool: 'a' } },
    overflow: false,
    targets: null,
    report: false,
    source: 'api',
    createdAt: '2026-01-01T00:00:00.000Z',
    updatedAt: '2026-01-02T00:00:00.000Z',
  })
})

t.test('and what its lanes may reach', async (t) => {
  const targets = ['bank.example', '203.0.113.0/24']
  const record = restrictionRecord({
    id: 'r',
    kind: 'targets',
    upstreams: { ids: [] },
    targets,
    report: true,
  })
  t.match(presentRestriction(record), { kind: 'targets', upstreams: { ids: [] }, targets, report: true })
})
