import fc from 'fast-check'
import t from 'tap'
import { canonicalJson } from '../src/canonical-json.ts'

t.test('canonical JSON is written in one way', async (t) => {
  const cases: readonly (readonly [string, unknown, string])[] = [
    ['keys are sorted', { b: 1, a: { d: 2, c: 3 } }, '{"a":{"c":3,"d":2},"b":1}'],
    ['lists keep their order', [3, 1, { b: 1, a: 2 }], '[3,1,{"a":2,"b":1}]'],
    ['what is undefined is not there', { a: undefined, b: null }, '{"b":null}'],
    ['as numbers are written', [1e21, 0.1, -0, 1.0], '[1e+21,0.1,0,1]'],
    ['a key may have any name', JSON.parse('{"__proto__":1,"":2}'), '{"":2,"__proto__":1}'],
    ['text is escaped as JSON does', 'ü"\u2028\n', '"ü\\"\u2028\\n"'],
  ]
  for (const [name, value, text] of cases) t.equal(canonicalJson(value), text, name)
})

t.test('canonical JSON says the same as JSON, in whatever order keys were written', async () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = canonicalJson(value)
      return text === canonicalJson(reversed(value)) && text === canonicalJson(JSON.parse(text))
    }),
    { numRuns: 1000 },
  )
})

function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).toReversed()
  return Object.fromEntries(entries.map(([key, item]) => [key, reversed(item)]))
}
