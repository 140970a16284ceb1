import t from 'tap'
import { presentLedgerEntry } from '../../src/admin/present-ledger.ts'

t.test('a row of the ledger is told whole', async (t) => {
  const row = {
    version: 8,
    actor: 'admin:alice',
    reason: null,
    steps: [{ kind: 'eviction_asked' as const }],
    previousHash: 'a1',
    hash: 'b2',
  }
  t.strictSame(presentLedgerEntry({ ...row, atMs: Date.UTC(2026, 0, 1) }), {
    ...row,
    at: '2026-01-01T00:00:00.000Z',
  })
})
