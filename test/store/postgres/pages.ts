import t from 'tap'
import { afterNumber, pageOf } from '../../../src/store/postgres/pages.ts'

const page = (rows: readonly number[], limit: number) =>
  pageOf(rows, { limit, item: (row) => `item ${row}`, after: (row) => `after ${row}` })

t.test('a page ends where asked, and says how to go on', async (t) => {
  t.same(page([], 2), { items: [], next: null }, 'nothing there')
  t.same(page([1], 2), { items: ['item 1'], next: null }, 'less than asked for')
  t.same(page([1, 2], 2), { items: ['item 1', 'item 2'], next: null }, 'just as many: no next page')
  t.same(page([1, 2, 3], 2), { items: ['item 1', 'item 2'], next: 'after 2' }, 'one more')
})

t.test('a list by number goes on after a number only', async (t) => {
  t.equal(afterNumber(null), null)
  t.equal(afterNumber('42'), 42)
  for (const wrong of ['', 'up-a', '-1', '1.5', '1e3', '9'.repeat(16)])
    t.throws(() => afterNumber(wrong), { code: 'bad_request' }, JSON.stringify(wrong))
})
