import t from 'tap'
import { findToken } from '../../src/routing/token.ts'

t.test('one of several tokens, whole and exact', (t) => {
  const tokens = [
    { name: 'old', token: 'old-t0ken' },
    { name: 'next', token: 'n3xt' },
    { name: 'again', token: 'n3xt' },
  ]
  t.equal(findToken('old-t0ken', tokens)?.name, 'old')
  for (const given of ['n3xt', Buffer.from('n3xt')])
    t.equal(findToken(given, tokens)?.name, 'next', 'the first of two that are the same')
  for (const given of ['', 'N3xt', 'n3xt ', 'n3x', 'old-t0kenn3xt', 'next'])
    t.equal(findToken(given, tokens), null, given)
  t.equal(findToken('', []), null, 'no token is given out')
  t.end()
})
