import fc from 'fast-check'
import t from 'tap'
import { canonicalJson, ledgerHash } from '../../../src/store/postgres/ledger-hash.ts'
import type { Unhashed } from '../../../src/store/postgres/ledger-hash.ts'

const row: Unhashed = {
  fleet: 'default',
  version: 7,
  atMs: Date.UTC(2026, 10, 21, 9, 30, 0, 5),
  actor: 'admin:alice',
  reason: 'as the bank asked',
  steps: [{ kind: 'upstream_deleted', id: 'up-a', by: 'operator' }],
  previousHash: 'abc',
}

t.test('the hash stays what it is: ledgers that are there must verify for ever', async (t) => {
  // printf '{"actor":"admin:alice",...,"version":7}' | sha256sum
  t.equal(ledgerHash(row), '396c68fcd5a4067e175ecd9ab77a5f951b8277a83b49f2d1cdc172bdb021d2d9')
})

t.test('whatever a row says is in its hash', async (t) => {
  const others: { readonly [what: string]: Partial<Unhashed> } = {
    'another fleet': { fleet: 'other' },
    'another version': { version: 8 },
    'a millisecond later': { atMs: row.atMs + 1 },
    'another actor': { actor: 'admin:bob' },
    'another reason': { reason: 'as the bank asked.' },
    'no reason': { reason: null },
    'an empty reason': { reason: '' },
    'other steps': { steps: [{ kind: 'upstream_deleted', id: 'up-b', by: 'operator' }] },
    'a step more': { steps: [...row.steps, { kind: 'eviction_asked' }] },
    'no step': { steps: [] },
    'another row before': { previousHash: 'abd' },
  }
  const hashes = Object.values(others).map((more) => ledgerHash({ ...row, ...more }))
  t.equal(new Set([ledgerHash(row), ...hashes]).size, hashes.length + 1)
})

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
