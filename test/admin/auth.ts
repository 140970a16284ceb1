import t from 'tap'
import { accessOf, isForThisMachine, isFromOtherSite } from '../../src/admin/auth.ts'

t.test('without a token everybody may do everything', async (t) => {
  for (const given of [undefined, '', 'Bearer x', 'nonsense'])
    t.equal(accessOf(given, { token: null, readToken: null }), 'change', String(given))
})

t.test('with one, only who shows it', async (t) => {
  const rows: [given: string | undefined, access: 'change' | 'look' | 'none'][] = [
    ['Bearer s3cret', 'change'],
    ['bearer s3cret', 'change'],
    ['BEARER   s3cret', 'change'],
    ['Bearer l00k', 'look'],
    ['bearer  l00k', 'look'],
    [undefined, 'none'],
    ['', 'none'],
    ['s3cret', 'none'],
    ['Bearer', 'none'],
    ['Bearer ', 'none'],
    ['Bearer s3cre', 'none'],
    ['Bearer s3cret2', 'none'],
    ['Bearer S3CRET', 'none'],
    ['Bearer l00K', 'none'],
    ['Bearer s3cret s3cret', 'none'],
    ['Bearer l00k s3cret', 'none'],
    ['Bearer l00k,s3cret', 'none'],
    ['Bearer null', 'none'],
    ['Basic s3cret', 'none'],
    [' Bearer s3cret', 'none'],
  ]
  const both = { token: 's3cret', readToken: 'l00k' }
  for (const [given, access] of rows) {
    t.equal(accessOf(given, both), access, String(given))
    const alone = access === 'look' ? 'none' : access
    t.equal(accessOf(given, { ...both, readToken: null }), alone, `${given}, without a token to look`)
  }
  t.equal(accessOf('Bearer same', { token: 'same', readToken: 'same' }), 'change')
  t.equal(
    accessOf('Bearer l00k', { token: null, readToken: 'l00k' }),
    'look',
    'a token to look opens nothing',
  )
  t.equal(accessOf(undefined, { token: null, readToken: 'l00k' }), 'none')
})

t.test('this machine is meant by address or as localhost; a name of others may lead here too', async (t) => {
  const rows: [host: string | undefined, isMeant: boolean][] = [
    [undefined, true],
    ['localhost', true],
    ['localhost:3129', true],
    ['LOCALHOST.:3129', true],
    ['lanekeeper.localhost:3129', true],
    ['127.0.0.1:3129', true],
    ['127.8.8.8', true],
    ['[::1]:3129', true],
    ['[::1]', true],
    ['10.0.0.5:3129', true],
    ['', false],
    [':3129', false],
    ['localhost.evil.example', false],
    ['localhost.evil.example:3129', false],
    ['127.0.0.1.evil.example:3129', false],
    ['evil-localhost', false],
    ['evil.example', false],
    ['evil.example:3129', false],
    ['localhost@evil.example', false],
    ['localhost, evil.example', false],
    ['127.1', false],
    ['2130706433', false],
    ['[::1]evil.example', false],
  ]
  for (const [host, isMeant] of rows) t.equal(isForThisMachine(host), isMeant, String(host))
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
