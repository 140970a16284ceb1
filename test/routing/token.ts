import t from 'tap'
import { matchesToken } from '../../src/routing/token.ts'

t.test('one of several tokens, whole and exact', (t) => {
  const tokens = ['old-t0ken', 'n3xt']
  for (const given of [...tokens, Buffer.from('n3xt')]) t.ok(matchesToken(given, tokens), String(given))
  for (const given of ['', 'N3xt', 'n3xt ', 'n3x', 'old-t0kenn3xt'])
    t.notOk(matchesToken(given, tokens), given)
  t.notOk(matchesToken('', []), 'no token is given out')
  t.end()
})
