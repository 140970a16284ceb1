import t from 'tap'
import { ledgerHash } from '../../../src/store/postgres/ledger-hash.ts'
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
