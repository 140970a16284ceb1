// What must hold while many change a fleet at once, and whatever breaks in between. One call at a time is in
// test/fixtures/records-contract.ts.

import { deepStrictEqual, ok } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import type { Test } from 'tap'
import { isControlError } from '../../../src/errors.ts'
import type { Db } from '../../../src/store/postgres/db.ts'
import type { RecordStore, StoredAnswer } from '../../../src/store/records.ts'
import {
  anyHistory,
  changeOf,
  emptyModel,
  replay,
  type Model,
  type Wish,
} from '../../fixtures/records-model.ts'
import { postgresFor } from '../../fixtures/postgres.ts'
import {
  added,
  apply,
  author,
  beforeLast,
  changed,
  deleted,
  recordsEmbedded,
  recordsOnServer,
  restriction,
  ruleAdded,
  type OpenRecords,
} from '../../fixtures/records-under-test.ts'
import { until } from '../../fixtures/until.ts'

const onServer = await recordsOnServer(await postgresFor(t))
const databases: { readonly [name: string]: OpenRecords } = {
  'on a PostgreSQL server': onServer,
  embedded: await recordsEmbedded(t),
}
const runs = 50

for (const [name, open] of Object.entries(databases))
  t.test(name, async (t) => {
    t.test('whatever changes, the tables are what the ledger tells', (t) => histories(t, open))
    t.test('20 writers at once follow each other', (t) => manyWriters(t, open))
    t.test('a reader never sees half of a change', (t) => readers(t, open))
    t.test('a crash after any statement leaves nothing half done', (t) => crashes(t, open))
  })

t.test('controls that wait while another one sees the new store too agree that it changed', async (t) => {
  const { store, another, through, look } = await onServer(t)
  const other = another()
  await store.fleet.storeSeen('one')
  const gate = Promise.withResolvers<void>()
  const reached = Promise.withResolvers<void>()
  const hold = async (): Promise<void> => {
    reached.resolve()
    await gate.promise
  }
  const change = apply(
    through((db) => beforeLast(db, hold)),
    added('up-a'),
  )
  await reached.promise
  const seen = [store, other, other].map((each) => each.fleet.storeSeen('two'))
  await until('all wait for the row of the fleet', async () => {
    const waiting = await look(`select 1 from pg_stat_activity where wait_event_type = 'Lock'`)
    return waiting.length === seen.length
  })
  gate.resolve()
  await change
  const told = await Promise.all(seen)
  const { changedAtMs } = await store.fleet.storeSeen('two')
  t.ok(told.every((each) => each.changedAtMs !== null && each.changedAtMs >= changedAtMs!))
})

/** The ledger's rows, played again on nothing, are the tables: each record, time and row version. */
async function histories(t: Test, open: OpenRecords): Promise<void> {
  const under = await open(t)
  const property = fc.asyncProperty(anyHistory, async (history) => {
    const { store, another } = await under.next()
    const stores = [store, another()]
    let model = emptyModel()
    for (const [n, wishes] of history.entries()) model = await makeChange(stores[n % 2]!, model, wishes)

    const replayed = emptyModel()
    const { items } = await store.ledger.list({ after: null, limit: 1000, about: null })
    for (const entry of items.toReversed()) replay(replayed, entry)
    same(replayed, model)

    const { upstreams, restrictions, ...head } = model
    const { ledgerHash, nowMs, ...content } = await store.fleet.read()
    const live = [...upstreams.values()].filter(({ state }) => state !== 'deleted')
    same(content, { ...head, upstreams: live.toSorted(byId), restrictions })
    for (const upstream of upstreams.values()) same(await store.upstreams.read(upstream.id), upstream)
    same(await store.ledger.verify(), {
      ok: true,
      entries: items.length,
      version: head.version,
      hash: ledgerHash,
    })
    ok(items.every(({ atMs }) => atMs <= nowMs))
  })
  await fc.assert(property, { numRuns: runs })
}

/** @returns the model after it; the same where it clashes with an id that is there, as the store must say */
async function makeChange(store: RecordStore, model: Model, wishes: readonly Wish[]): Promise<Model> {
  const { steps, isClash } = changeOf(model, wishes)
  const change = store.fleet.change({ author, decide: () => ({ steps, answer: null }) })
  const outcome = await change.catch((error: unknown) => {
    if (isControlError(error, 'conflict')) return null
    throw error
  })
  same(outcome === null, isClash)
  if (outcome === null || steps.length === 0) return model
  const raises = steps.map((step) => (step.kind === 'version_raised' ? step.above : 0))
  same(outcome.version, Math.max(model.version, ...raises) + 1)
  const entry = await store.ledger.read(outcome.version)
  same(entry?.steps, steps)
  const after = structuredClone(model)
  replay(after, { version: outcome.version, atMs: entry!.atMs, steps })
  return after
}

function byId(a: { readonly id: string }, b: { readonly id: string }): number {
  return a.id < b.id ? -1 : 1
}

/** Throws, so that fast-check finds the smallest history. */
function same(actual: unknown, expected: unknown): void {
  deepStrictEqual(actual, expected)
}

async function manyWriters(t: Test, open: OpenRecords): Promise<void> {
  const { store, another } = await open(t)
  const stores = [store, another()]
  const changesEach = 5
  const versions: number[] = []
  const seen: number[] = []

  /** Each takes the next number, which two at once would both take if they did not see each other. */
  async function write(store: RecordStore): Promise<void> {
    for (let n = 0; n < changesEach; n += 1) {
      const { version, answer } = await store.fleet.change({
        author,
        decide: ({ upstreams, version }) => ({
          steps: [added(`up-${String(upstreams.length).padStart(3, '0')}`)],
          answer: version,
        }),
      })
      seen.push(answer)
      versions.push(version)
    }
  }

  await Promise.all(Array.from({ length: 20 }, (_, n) => write(stores[n % 2]!)))
  const all = Array.from({ length: 20 * changesEach }, (_, n) => n + 1)
  t.same(
    versions.toSorted((a, b) => a - b),
    all,
    'each version once, none left out',
  )
  t.same(
    seen,
    versions.map((version) => version - 1),
    'each saw the one before',
  )
  t.match(await store.ledger.verify(), { ok: true, entries: all.length, version: all.length })
  const { items } = await store.ledger.list({ after: null, limit: 1000, about: null })
  const times = items.map(({ atMs }) => atMs)
  t.same(
    times,
    times.toSorted((a, b) => b - a),
    'and the clock was read when it was their turn',
  )
}

async function readers(t: Test, open: OpenRecords): Promise<void> {
  const { store, another } = await open(t)
  const other = another()
  await apply(store, added('up-a', { port: 1 }), ruleAdded('r-1', { institution: '1' }))
  let isDone = false
  const write = async (): Promise<void> => {
    for (let port = 2; port <= 40; port += 1) {
      const from = restriction('r-1')
      const rule = restriction('r-1', { institution: String(port) })
      await apply(store, changed('up-a', { port }), {
        kind: 'restriction_replaced',
        from,
        restriction: rule,
        source: 'api',
      })
    }
    isDone = true
  }
  const read = async (): Promise<number> => {
    let reads = 0
    for (; !isDone; reads += 1) {
      const { version, upstreams, restrictions } = await other.fleet.read()
      const seen = [upstreams[0]?.port, Number(restrictions[0]?.institution)]
      if (seen.some((number) => number !== version)) t.fail(`at version ${version}: ${String(seen)}`)
    }
    return reads
  }
  const [, reads] = await Promise.all([write(), read()])
  t.ok(reads > 3, 'there were readers')
}

async function crashes(t: Test, open: OpenRecords): Promise<void> {
  const under = await open(t)
  const { store } = under
  await apply(store, added('up-a'), added('up-b'), ruleAdded('r-1'), ruleAdded('r-2'))
  const { claim } = (await store.keys.claim('key', 'f', { retake: true })) as {
    claim: { key: string; token: string }
  }
  const stored: StoredAnswer = { status: 200, location: null, body: null }
  const change = (store: RecordStore) =>
    store.fleet.change({
      author,
      decide: () => ({
        steps: [
          added('up-c'),
          changed('up-a', { ejected: true }),
          deleted('up-b'),
          ruleAdded('r-3'),
          {
            kind: 'restriction_replaced',
            from: restriction('r-1'),
            restriction: restriction('r-1'),
            source: 'api',
          },
          { kind: 'restriction_removed', restriction: restriction('r-2') },
          { kind: 'eviction_asked' },
        ],
        answer: null,
      }),
      keep: { claim, answer: () => stored },
    })
  const before = await everything(store)

  let statements = 0
  for (let broken = true; broken; statements += broken ? 1 : 0) {
    const crashing = under.through((db) => crashAfter(db, statements))
    broken = await change(crashing).then(
      () => false,
      (error: Error) => error.message === 'crash' || Promise.reject(error),
    )
    if (broken) t.same(await everything(store), before, `after ${statements} statements all is as it was`)
  }
  t.equal(statements, 12, 'the lock, two reads, six steps, the ledger, the answer, the version')
  t.match(await store.fleet.head(), { version: 2, evictionAsked: 2 })
  t.match(await store.keys.claim('key', 'f', { retake: true }), { kind: 'answered' })
  t.match(await store.ledger.verify(), { ok: true, entries: 2 })
}

/** All that the fleet has, as far as a change can touch it. */
async function everything(store: RecordStore) {
  const { nowMs: _, ...content } = await store.fleet.read()
  const deleted = await store.upstreams.list({ after: null, limit: 100, state: 'deleted' })
  const ledger = await store.ledger.list({ after: null, limit: 100, about: null })
  const key = await store.keys.claim('key', 'f', { retake: true })
  return { content, deleted, ledger, key }
}

/** Breaks when so many statements of a transaction are done. */
function crashAfter(db: Db, count: number): Db {
  return {
    ...db,
    transaction: (work, options) =>
      db.transaction((statements) => {
        let done = 0
        return work({
          ...statements,
          query: async (sql, values) => {
            if (done === count) throw new Error('crash')
            done += 1
            return statements.query(sql, values)
          },
        })
      }, options),
  }
}
