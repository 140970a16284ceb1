// Claims while many take them at once, and what it costs to look for them. One call at a time is in
// test/fixtures/claims-contract.ts.

import t from 'tap'
import type { Test } from 'tap'
import { queries } from '../../../src/store/postgres/queries.ts'
import { claimsContract } from '../../fixtures/claims-contract.ts'
import { postgresFor } from '../../fixtures/postgres.ts'
import {
  added,
  apply,
  beforeLast,
  changed,
  recordsEmbedded,
  recordsOnServer,
  type OpenRecords,
} from '../../fixtures/records-under-test.ts'

const onServer = await recordsOnServer(await postgresFor(t))
const databases: { readonly [name: string]: OpenRecords } = {
  'on a PostgreSQL server': onServer,
  embedded: await recordsEmbedded(t),
}

for (const [name, open] of Object.entries(databases))
  t.test(name, async (t) => {
    t.test('claims', (t) => claimsContract(t, open))
    t.test('of many takers at once each upstream has one', (t) => takers(t, open))
    t.test('those that wait are found without reading the rest', (t) => found(t, open))
  })

const deleting = (id: string) => added(id, { provider: 'gce', state: 'deleting' })

async function takers(t: Test, open: OpenRecords): Promise<void> {
  const { store, another } = await open(t)
  const stores = [store, another()]
  const ids = Array.from({ length: 40 }, (_, n) => `up-${n}`)
  await apply(store, ...ids.map(deleting))
  const takes = Array.from({ length: 12 }, async (_, n) => {
    const order = n % 3 === 0 ? ids.toReversed() : ids
    return (await stores[n % 2]!.claims.take(order, { holder: `control-${n}`, forMs: 60_000 })).claimed
  })
  const claimed = (await Promise.all(takes)).flat()
  t.same(claimed.map(({ claim }) => claim.id).toSorted(), ids.toSorted())
  t.ok(claimed.every(({ claim }) => claim.fence === 1))
  const released = await Promise.all(claimed.map(({ claim }) => store.claims.release(claim)))
  t.ok(released.every(Boolean))
}

/** The rest: thousands that run, and as many tombstones. */
async function found(t: Test, open: OpenRecords): Promise<void> {
  const { store, fleet, tamper, look } = await open(t)
  await apply(store, deleting('up-a'), added('up-b', { replacedBy: 'up-c' }), added('up-c'))
  const copies = (name: string, more: string) => `
    insert into upstreams
    select (jsonb_populate_record(upstreams, jsonb_build_object('id', '${name}-' || n) || '${more}')).*
    from upstreams, generate_series(1, 5000) as n
    where fleet = '${fleet}' and id = 'up-c'`
  const gone = '{"state": "deleted", "deleted_at": "2026-01-01", "deleted_by": "control"}'
  await tamper(`${copies('runs', '{"provider": "gce"}')}; ${copies('gone', gone)}; analyze upstreams`)
  const values = [`'${fleet}'`, `'gce'`, 'null', '10']
  const sql = queries['waiting-upstreams'].replaceAll(/\$(\d)/g, (_, n: string) => values[Number(n) - 1]!)
  const plan = await look(`explain (analyze, costs off, timing off) ${sql}`)
  const lines = plan.map((row) => String(row['QUERY PLAN']))
  t.match(lines.join('\n'), /upstreams_waiting/)
  const read = lines.find((line) => line.includes('upstreams_waiting')) ?? ''
  t.match(read, /rows=2[. ]/, 'two of ten thousand')
}

t.test('one that is being changed is passed over, and nobody waits for it', async (t) => {
  const { store, through } = await onServer(t)
  await apply(store, deleting('up-a'), deleting('up-b'))
  const gate = Promise.withResolvers<void>()
  const reached = Promise.withResolvers<void>()
  const slow = through((db) =>
    beforeLast(db, async () => {
      reached.resolve()
      await gate.promise
    }),
  )
  const change = apply(slow, changed('up-a', { problem: 'being changed' }))
  await reached.promise
  const { claimed } = await store.claims.take(['up-a', 'up-b'], { holder: 'control-1', forMs: 60_000 })
  t.same(
    claimed.map(({ claim }) => claim.id),
    ['up-b'],
  )
  t.equal(await store.claims.release(claimed[0]!.claim), true, 'a change under way keeps no claim waiting')
  gate.resolve()
  await change
})
