import t from 'tap'
import { isAuthorized, isFromOtherSite } from '../../src/admin/auth.ts'

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

t.test('a page of another site is told by what its browser says', async (t) => {
  const host = '127.0.0.1:3129'
  const rows: [headers: Parameters<typeof isFromOtherSite>[0], fromOther: boolean][] = [
    [{ host }, false],
    [{ host, 'sec-fetch-site': 'same-origin', origin: `http://${host}` }, false],
    [{ host, 'sec-fetch-site': 'none' }, false],
    [{ host, 'sec-fetch-site': 'cross-site' }, true],
    [{ host, 'sec-fetch-site': 'same-site', origin: 'http://127.0.0.1:8080' }, true],
    [{ host, origin: `http://${host}` }, false],
    [{ host: 'control.internal', origin: 'https://control.internal' }, false],
    [{ host, origin: 'http://127.0.0.1:8080' }, true],
    [{ host, origin: 'null' }, true],
    [{ host, origin: `http://${host}.example` }, true],
  ]
  for (const [headers, fromOther] of rows)
    t.equal(isFromOtherSite(headers), fromOther, JSON.stringify(headers))
})
