// The verdict on a run, from its records alone: whether each invariant of design 13 held.
//
// What grows with the traffic (clients, lines) is read once, in the order of time, and of it only open jobs are remembered;
// what grows with the fleet (ledger, calls, faults) is read first. n log n at worst: a turn looks for the lowest round once
// in a lap, everything else is looked up.

import { checkBytes } from './bytes.ts'
import { checkCreations, checkEnd, makeDeletions } from './deletions.ts'
import { makeExcuse } from './excuses.ts'
import { makeFaults } from './faults.ts'
import { makeHistory } from './history.ts'
import { openSource, readAll, readInOrder, type Source } from './in-order.ts'
import { makeJobs, type Jobs } from './jobs.ts'
import { checkKeys } from './keys.ts'
import { checkLedger, checkSyncs, checkTables } from './ledger.ts'
import { makePins } from './pins.ts'
import { usualSettings, type ClientRecord, type GatewayLine, type Records, type Settings } from './records.ts'
import { makeRequests } from './requests.ts'
import { makeSecrets } from './secrets.ts'
import { makeTurns } from './turns.ts'
import { makeFindings, type Verdict } from './verdict.ts'

export async function check(records: Records, given: Partial<Settings> = {}): Promise<Verdict> {
  const settings = { ...usualSettings, ...given }
  const findings = makeFindings()
  const entries = await readAll(records.ledger)
  const calls = await readAll(records.calls)
  const faults = makeFaults(await readAll(records.faults), settings.skewMs)
  const admin = await readAll(records.admin)
  const history = makeHistory(entries, await readAll(records.acknowledgements), findings)

  checkLedger(entries, settings.fleet, findings)
  checkSyncs(entries, calls, findings)
  checkKeys(admin, entries, findings)
  checkCreations(calls, findings)
  if (records.tables) {
    if (history.isThere) checkTables(history.model, entries.at(-1), records.tables, findings)
    if (settings.isOver) checkEnd(records.tables, records.machines, findings)
  }

  const excuses = makeExcuse({ settings, history, faults })
  const pins = makePins({ settings, history, findings })
  const turns = makeTurns({ settings, history, findings })
  const requests = makeRequests({ settings, faults, findings })
  const secrets = makeSecrets(settings, findings)
  const jobs: Jobs = makeJobs({
    settings,
    history,
    findings,
    excuse: excuses.excuse,
    pinned(job, upstream, line) {
      pins.pinned(job, upstream, line)
      if (settings.checkTurns) turns.pinned(job, upstream, line)
    },
    unlogged: turns.unlogged,
    asked: pins.asked,
    closed: pins.closed,
  })
  const deletions = makeDeletions({ settings, history, faults, findings, on: jobs.on })

  function line(line: GatewayLine): void {
    findings.read('lines')
    secrets.line(line)
    requests.line(line)
    pins.line(line)
    excuses.line(line)
    if (settings.checkTurns) turns.line(line)
    jobs.line(line)
  }

  function client(record: ClientRecord): void {
    findings.read('clients')
    checkBytes(record, faults, findings)
    jobs.client(record)
  }

  const later = settings.skewMs
  const lost = faults.all.filter(({ kind }) => kind.startsWith('gateway_') || kind.startsWith('store_'))
  const sources: Source[] = [
    await openSource(
      lost.toSorted((a, b) => a.fromMs - b.fromMs),
      ({ fromMs }) => fromMs,
      () => turns.forgetAll(),
    ),
    // What it wrote last may be a little later than what was done to it was written down.
    await openSource(
      lost.filter(({ kind }) => kind === 'gateway_killed').toSorted((a, b) => a.fromMs - b.fromMs),
      ({ fromMs }) => fromMs + settings.tieMs,
      (fault) => {
        jobs.gatewayKilled(fault)
        requests.gatewayKilled(fault)
      },
    ),
    await openSource(
      lost.toSorted((a, b) => a.toMs - b.toMs),
      ({ toMs }) => toMs + later,
      () => turns.forgetAll(),
    ),
  ]
  for (const feed of records.gateways) sources.push(await openSource(feed, ({ atMs }) => atMs, line))
  for (const feed of records.clients)
    sources.push(await openSource(feed, ({ endedMs }) => endedMs + later, client))
  sources.push(
    await openSource(
      calls.filter(({ verb }) => verb === 'delete').toSorted((a, b) => a.fromMs - b.fromMs),
      ({ fromMs }) => fromMs + settings.tieMs,
      deletions.deleted,
    ),
  )
  await readInOrder(sources)
  jobs.end()
  requests.end()
  if (settings.checkTurns) turns.end()
  if (records.seen) await secrets.seen(records.seen)
  return findings.verdict()
}
