import t from 'tap'
import { isAuthorized } from '../../src/admin/auth.ts'

t.test('without a token everybody is let in', async (t) => {
  for (const given of [undefined, '', 'Bearer x', 'nonsense']) t.ok(isAuthorized(given, null), String(given))
})

t.test('with one, only who shows it', async (t) => {
  const rows: [given: string | undefined, allowed: boolean][] = [
    ['Bearer s3cret', true],
    ['bearer s3cret', true],
    ['BEARER   s3cret', true],
    [undefined, false],
    ['', false],
    ['s3cret', false],
    ['Bearer', false],
    ['Bearer ', false],
    ['Bearer s3cre', false],
    ['Bearer s3cret2', false],
    ['Bearer S3CRET', false],
    ['Bearer s3cret s3cret', false],
    ['Basic s3cret', false],
    [' Bearer s3cret', false],
  ]
  for (const [given, allowed] of rows) t.equal(isAuthorized(given, 's3cret'), allowed, String(given))
})
