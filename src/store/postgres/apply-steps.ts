// The steps of a change -> the tables. Many of one kind (a thousand upstreams that are new) are one statement.

import { ControlError } from '../../errors.ts'
import type { Step } from '../records.ts'
import type { Statements } from './db.ts'
import { queries, type QueryName } from './queries.ts'
import { restrictionRow } from './restrictions.ts'
import { subjectOf } from './subjects.ts'
import { fieldsRow, newRow } from './upstreams.ts'

type Kind = Step['kind']
type StepOf<K extends Kind> = Extract<Step, { kind: K }>

type Change = {
  readonly statements: Statements
  readonly fleet: string
  /** ISO 8601; rows and ledger carry the same. */
  readonly at: string
  readonly version: number
}

/**
 * In their order, inside the transaction that holds the fleet's row.
 * @throws ControlError conflict where an id is taken; Error where a step is about what is not there, which `decide`
 *   could see
 */
export async function applySteps(steps: readonly Step[], change: Change): Promise<void> {
  for (const batch of batchesOf(steps)) await apply(batch, change)
}

/** Runs of one kind with each id once: inside one statement, a row changes once. */
export function batchesOf(steps: readonly Step[]): Step[][] {
  const batches: Step[][] = []
  let ids = new Set<string | null>()
  for (const step of steps) {
    const batch = batches.at(-1)
    const id = subjectOf(step)
    if (batch?.[0]?.kind === step.kind && !ids.has(id)) batch.push(step)
    else {
      batches.push([step])
      ids = new Set()
    }
    ids.add(id)
  }
  return batches
}

async function apply(batch: readonly Step[], change: Change): Promise<void> {
  const kind = batch[0]!.kind
  if (!isTableKind(kind)) return
  const { query, row, takes, refuse } = table[kind] as Row<Kind>
  const values = [change.fleet, JSON.stringify(batch.map(row)), ...takes.map((name) => change[name])]
  const done = await change.statements.query<{ id: string }>(queries[query], values)
  const ids = new Set(done.map(({ id }) => id))
  const missing = batch.map((step) => subjectOf(step)!).filter((id) => !ids.has(id))
  if (missing.length > 0) throw refuse(missing)
}

type Row<K extends Kind> = {
  /** Answers the ids of the rows that it has made, changed or removed. */
  readonly query: QueryName
  /** @param position  in the batch */
  readonly row: (step: StepOf<K>, position: number) => object
  /** What of the change the statement takes too. */
  readonly takes: readonly ('at' | 'version')[]
  readonly refuse: (ids: readonly string[]) => Error
}

/** The other kinds are about the fleet's own row (next-head.ts). */
type TableKind = Exclude<Kind, 'eviction_asked' | 'jobs_evicted' | 'size_wanted' | 'version_raised'>

const table: { readonly [K in TableKind]: Row<K> } = {
  upstream_added: {
    query: 'add-upstreams',
    row: ({ upstream }) => newRow(upstream),
    takes: ['at', 'version'],
    refuse: (ids) =>
      conflict(`${named('upstream', ids)} was there before, and an id is never used again. Choose another.`),
  },
  upstream_changed: {
    query: 'change-upstreams',
    row: ({ id, to }) => ({ id, fields: fieldsRow(to) }),
    takes: ['at', 'version'],
    refuse: (ids) => new Error(`${named('upstream', ids)} is to change, but is not there`),
  },
  upstream_deleted: {
    query: 'delete-upstreams',
    row: ({ id, by }) => ({ id, deleted_by: by }),
    takes: ['at', 'version'],
    refuse: (ids) => new Error(`${named('upstream', ids)} is to be deleted, but is not there`),
  },
  restriction_added: {
    query: 'add-restrictions',
    row: ({ restriction, source }, position) => ({ ...restrictionRow(restriction, source), position }),
    takes: ['at'],
    refuse: (ids) => conflict(`${named('restriction', ids)} is there already. Choose another id.`),
  },
  restriction_replaced: {
    query: 'replace-restrictions',
    row: ({ restriction, source }) => restrictionRow(restriction, source),
    takes: ['at'],
    refuse: (ids) => new Error(`${named('restriction', ids)} is to be replaced, but is not there`),
  },
  restriction_removed: {
    query: 'remove-restrictions',
    row: ({ restriction: { id } }) => ({ id }),
    takes: [],
    refuse: (ids) => new Error(`${named('restriction', ids)} is to be removed, but is not there`),
  },
}

function isTableKind(kind: Kind): kind is TableKind {
  return kind in table
}

function conflict(detail: string): ControlError {
  return new ControlError('conflict', detail)
}

/** `The upstream "up-1" (and 4 more)` */
function named(noun: string, [first, ...more]: readonly string[]): string {
  return `The ${noun} "${first}"${more.length === 0 ? '' : ` (and ${more.length} more)`}`
}
