// Invariants 9 and 7: what the ledger says, whether it is whole, comes to what is in the tables, and no sync wrote over
// something newer.

import { isDeepStrictEqual } from 'node:util'
import { restrictionOf } from '../../src/control/publish.ts'
import type { LedgerEntry, Step } from '../../src/store/records.ts'
import { ledgerHash } from '../../src/store/postgres/ledger-hash.ts'
import type { Model } from '../fixtures/records-model.ts'
import { foldLedger } from '../fixtures/ledger-fold.ts'
import type { ProviderCall, Tables } from './records.ts'
import type { Findings } from './verdict.ts'

/** Chain, versions, and each step beginning where the one before ended. */
export function checkLedger(entries: readonly LedgerEntry[], fleet: string, findings: Findings): void {
  let version = 0
  let hash = ''
  for (const entry of entries) {
    const raised = entry.steps.flatMap((step) => (step.kind === 'version_raised' ? [step.above] : []))
    const expected = Math.max(version, ...raised) + 1
    if (entry.version !== expected)
      findings.violated(9, `version ${entry.version} follows ${version}: a row is missing`, entry)
    if (entry.previousHash !== hash)
      findings.violated(9, `version ${entry.version} does not follow the row before it`, entry)
    const { hash: told, ...said } = entry
    if (told !== ledgerHash({ fleet, ...said }))
      findings.violated(9, `the row of version ${entry.version} was changed`, entry)
    version = entry.version
    hash = told
  }
  const rows = entries.map((entry) => ({ ...entry, at: new Date(entry.atMs).toISOString() }))
  for (const problem of foldLedger(rows).problems) findings.violated(9, problem)
}

/** Fields of which each change has its row; notes for the next try have none. */
const recorded = [
  'name',
  'host',
  'port',
  'egressIp',
  'labels',
  'state',
  'ejected',
  'quarantined',
  'credentials',
  'replacedBy',
  'incarnation',
  'instanceId',
] as const

export function checkTables(
  model: Model,
  last: LedgerEntry | undefined,
  tables: Tables,
  findings: Findings,
): void {
  if (tables.version !== model.version)
    findings.violated(9, `the ledger ends at version ${model.version}, the fleet is at ${tables.version}`)
  if (tables.ledgerHash !== null && tables.ledgerHash !== (last?.hash ?? ''))
    findings.violated(9, 'the last row is another than the one that the fleet knows', last)
  const listed = new Set(tables.upstreams.map(({ id }) => id))
  for (const id of model.upstreams.keys())
    if (!listed.has(id)) findings.violated(9, `${id} is in the ledger and not in the tables`)
  for (const row of tables.upstreams) {
    const folded = model.upstreams.get(row.id)
    if (!folded) findings.violated(9, `${row.id} is in the tables and not in the ledger`, row)
    else
      for (const field of recorded)
        if (field in row && !isDeepStrictEqual(row[field], folded[field]))
          findings.violated(9, `${row.id}.${field} is not what the ledger comes to`, row, folded)
  }
  const rules = (all: readonly Parameters<typeof restrictionOf>[0][]) => all.map(restrictionOf)
  if (!isDeepStrictEqual(rules(tables.restrictions), rules(model.restrictions)))
    findings.violated(
      9,
      'the rules are not what the ledger comes to',
      tables.restrictions,
      model.restrictions,
    )
}

/**
 * A sync reads the versions of the rows, then the list: so whatever somebody else wrote after the list was asked for is
 * newer than what it knows. Of many pages and zones the last call counts: a little less is found, nothing wrongly.
 */
export function checkSyncs(
  entries: readonly LedgerEntry[],
  calls: readonly ProviderCall[],
  findings: Findings,
): void {
  const listsMs = calls.flatMap(({ verb, fromMs }) => (verb === 'list' ? [fromMs] : [])).sort((a, b) => a - b)
  const others = new Map<string, LedgerEntry>()
  let list = 0
  for (const entry of entries) {
    while (list < listsMs.length && listsMs[list]! <= entry.atMs) list += 1
    const listedMs = listsMs[list - 1]
    for (const step of entry.steps) {
      if (!('id' in step)) continue
      if (!isSync(entry)) {
        others.set(step.id, entry)
        continue
      }
      const other = others.get(step.id)
      if (listedMs === undefined) findings.undecided('a sync whose list nobody wrote down')
      else if (other && other.atMs > listedMs)
        findings.violated(7, `sync undid what version ${other.version} made of ${step.id}`, other, entry)
      if (revives(step)) findings.violated(7, `sync made ${step.id} ${describe(step)}`, entry)
    }
  }
}

function isSync({ reason }: LedgerEntry): boolean {
  return reason?.startsWith('sync: ') ?? false
}

/** It may say that something is gone, or is somewhere else; it never undoes a drain or a deletion. */
function revives(step: Step): boolean {
  if (step.kind !== 'upstream_changed' || step.to.state === undefined) return false
  return ['draining', 'deleting'].includes(step.from.state ?? '') && step.to.state !== step.from.state
}

function describe(step: Step): string {
  return step.kind === 'upstream_changed' ? `${step.from.state} -> ${step.to.state}` : step.kind
}
