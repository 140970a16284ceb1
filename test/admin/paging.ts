import t from 'tap'
import { presentPage, readLimit, readPage } from '../../src/admin/paging.ts'

t.test('a page has 100 items unless told otherwise', async (t) => {
  t.strictSame(readPage({}), { after: null, limit: 100 })
  t.strictSame(readPage({ after: 'up-7', limit: '1000' }), { after: 'up-7', limit: 1000 })
  t.equal(readLimit(undefined), 100)
  t.equal(readLimit('1'), 1)
})

t.test('a list is its items, and where to go on', async (t) => {
  const page = { items: [1, 2], next: '2' }
  t.strictSame(
    presentPage(page, (item) => item * 10),
    { items: [10, 20], next: '2' },
  )
})
