// Both ways, on both adapters: test/fixtures/db-contract.ts. Here, what no database is needed for.

import t from 'tap'
import { parserOf, toText } from '../../../src/store/postgres/values.ts'

t.test('a value becomes the text that PostgreSQL reads', (t) => {
  const rows: readonly (readonly [unknown, string | null])[] = [
    [null, null],
    ['', ''],
    ['NULL', 'NULL'],
    [0, '0'],
    [1e21, '1e+21'],
    [10n, '10'],
    [false, 'false'],
    [new Date(0), '1970-01-01T00:00:00.000Z'],
    [[], '{}'],
    [['a', null, 'NULL', '', 'q"\\,{}'], '{"a",NULL,"NULL","","q\\"\\\\,{}"}'],
    [[[1, 2], [3]], '{{"1","2"},{"3"}}'],
    [[true, 2n], '{"true","2"}'],
  ]
  for (const [value, text] of rows) t.equal(toText(value), text)
  t.end()
})

t.test('what has no one spelling is refused, also inside an array', (t) => {
  const refused = [undefined, {}, { a: 1 }, new Map(), Symbol('a'), () => 1, new Uint8Array(1)]
  for (const value of [...refused, ...refused.map((item) => [item])])
    t.throws(() => toText(value), { name: 'TypeError' })
  t.end()
})

t.test('int8 is a number as long as it can be one', (t) => {
  t.equal(parserOf(20)('-9007199254740991'), Number.MIN_SAFE_INTEGER)
  t.throws(() => parserOf(20)('9007199254740992'), { name: 'RangeError' })
  t.same(parserOf(1016)('{1,NULL,-2}'), [1, null, -2])
  t.throws(() => parserOf(1016)('{1,9007199254740992}'), { name: 'RangeError' })
  t.equal(parserOf(987_654)('a type that nobody knows'), 'a type that nobody knows')
  t.end()
})
