import t from 'tap'
import { authorOf } from '../../src/admin/author.ts'

t.test('who asks is named in the ledger, and why', async (t) => {
  const headers = { 'x-actor': 'alice' }
  t.strictSame(authorOf({ headers, query: { reason: 'blocked by bank-a' } }), {
    actor: 'admin:alice',
    reason: 'blocked by bank-a',
  })
})

t.test('without a name it is an admin, without a reason there is none', async (t) => {
  t.strictSame(authorOf({ headers: {}, query: {} }), { actor: 'admin', reason: null })
})
