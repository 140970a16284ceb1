// The fleet at each version, replayed from the ledger: who was eligible, when drains were acknowledged, which life a
// machine was. Made once, before the lines are read; snapshots are kept for the versions that were asked for last.

import { laneName } from '../../src/lane.ts'
import { snapshotOf } from '../../src/control/publish.ts'
import { eligible, makeIsForbidden } from '../../src/routing/restrictions.ts'
import type { LedgerEntry, Step, UpstreamRecord } from '../../src/store/records.ts'
import type { Lane, Snapshot, UpstreamState } from '../../src/types.ts'
import { emptyModel, replay, type Model } from '../fixtures/records-model.ts'
import type { Acknowledgement } from './records.ts'
import type { Findings } from './verdict.ts'

const versionsKept = 256
const lanesKept = 1000

export type History = ReturnType<typeof makeHistory>

/** When an upstream came to its end, and whether that was as it should be whatever was on it. */
export type Leaving = { readonly atMs: number; readonly isAllowed: boolean }

export function makeHistory(
  entries: readonly LedgerEntry[],
  given: readonly Acknowledgement[],
  findings: Findings,
) {
  const byVersion = new Map(entries.map((entry) => [entry.version, entry]))
  const versions = entries.map(({ version }) => version)
  const snapshots = new Map<number, Snapshot>()
  const eligibles = new Map<string, ReadonlySet<string>>()
  let cursor: { model: Model; next: number } = { model: emptyModel(), next: 0 }
  const { model: last, acknowledged, leaving } = readAll(entries, findings)
  for (const one of given) add(acknowledged, one.upstream, one)

  function snapshot(version: number): Snapshot | null {
    const kept = snapshots.get(version)
    if (kept) return kept
    if (!byVersion.has(version)) return null
    const place = versions.indexOf(version)
    if (place < cursor.next - 1) cursor = { model: emptyModel(), next: 0 }
    for (; cursor.next <= place; cursor.next += 1) if (!goOn(cursor.model, entries[cursor.next]!)) return null
    const { upstreams, restrictions } = cursor.model
    const live = [...upstreams.values()].filter(({ state }) => state !== 'deleted')
    const content = { version, ledgerHash: '', nowMs: 0, upstreams: live, restrictions: [...restrictions] }
    const made = snapshotOf({ ...content, evictionAsked: null, wantedSize: null, configuredSize: null })
    snapshots.set(version, made)
    if (snapshots.size > versionsKept) snapshots.delete(snapshots.keys().next().value!)
    return made
  }

  return {
    isThere: entries.length > 0,

    /** After the last row. */
    model: last,

    /** Null: nobody wrote down that version. */
    eligible(version: number, lane: Lane): ReadonlySet<string> | null {
      const key = `${version} ${laneName(lane)}`
      const kept = eligibles.get(key)
      if (kept) return kept
      const content = snapshot(version)
      if (!content) return null
      const ids = new Set(eligible(lane, content).eligible.map(({ id }) => id))
      eligibles.set(key, ids)
      if (eligibles.size > lanesKept) eligibles.delete(eligibles.keys().next().value!)
      return ids
    },

    /** Did a person's change of the rules, between these times, take the job from that upstream? */
    wasEvicted(lane: Lane, upstream: string, fromMs: number, toMs: number): boolean {
      const asked = entries
        .filter(({ atMs }) => atMs >= fromMs && atMs <= toMs)
        .flatMap(({ steps }) => steps.flatMap((step) => (step.kind === 'jobs_evicted' ? [step.asked] : [])))
      return asked.some((version) => {
        const content = snapshot(version)
        return content !== null && makeIsForbidden(content)(lane, upstream)
      })
    },

    /** Of the drain that was acknowledged then; null where none was. */
    acknowledgedMs(upstream: string, atMs: number): number | null {
      const drains = acknowledged.get(upstream) ?? []
      return drains.find(({ fromMs, untilMs }) => atMs > fromMs && atMs < untilMs)?.fromMs ?? null
    },

    egressIp: (upstream: string): string | null => last.upstreams.get(upstream)?.egressIp ?? null,

    /** The life that a machine was at that time. */
    lifeOf(instance: string, incarnation: string | null, atMs: number): UpstreamRecord | null {
      const lives = [...last.upstreams.values()].filter(
        (row) =>
          row.instanceId === instance &&
          (incarnation === null || row.incarnation === null || row.incarnation === incarnation),
      )
      return lives.findLast(({ createdAtMs }) => createdAtMs <= atMs) ?? lives.at(-1) ?? null
    },

    leaving: (upstream: string): Leaving | null => leaving.get(upstream) ?? null,
  }
}

/** @returns false where the ledger is broken, which was said when it was read first */
function goOn(model: Model, entry: LedgerEntry): boolean {
  try {
    replay(model, entry)
    return true
  } catch {
    return false
  }
}

function readAll(entries: readonly LedgerEntry[], findings: Findings) {
  const model = emptyModel()
  const acknowledged = new Map<string, Acknowledgement[]>()
  const leaving = new Map<string, Leaving>()
  for (const entry of entries) {
    for (const step of entry.steps) {
      const before = subject(model, step)
      if (before) read(before, step, entry)
    }
    if (!goOn(model, entry)) findings.violated(9, `version ${entry.version} cannot be replayed`, entry)
  }

  function read(row: UpstreamRecord, step: Step, { atMs, actor }: LedgerEntry): void {
    const { id, state } = row
    if (step.kind === 'upstream_deleted') leave(id, { atMs, isAllowed: step.by === 'provider' })
    if (step.kind !== 'upstream_changed') return
    const { state: to = state, drain } = step.to
    const open = acknowledged.get(id)?.at(-1)
    if (to === 'running' && state !== 'running' && open?.untilMs === Infinity)
      replaceLast(acknowledged.get(id)!, { ...open, untilMs: atMs })
    const isDrained = drain?.drainedAtMs != null && !drain.shut
    if (isDrained && (to === 'draining' || to === 'deleting') && (open?.untilMs ?? 0) !== Infinity)
      add(acknowledged, id, { upstream: id, fromMs: atMs, untilMs: Infinity })
    if (to === 'deleting' && state !== 'deleting')
      leave(id, { atMs, isAllowed: mayLeave(state, step, actor) })
    else if (drain?.shut) leave(id, { atMs, isAllowed: true })
  }

  function leave(id: string, how: Leaving): void {
    const before = leaving.get(id)
    leaving.set(id, before ? { ...before, isAllowed: before.isAllowed || how.isAllowed } : how)
  }

  return { model, acknowledged, leaving }
}

/** Without regard to who is on it: a person said so, its deadline has come, or it never had jobs. */
function mayLeave(
  from: UpstreamState,
  { to }: Extract<Step, { kind: 'upstream_changed' }>,
  actor: string,
): boolean {
  return actor.startsWith('admin') || from === 'provisioning' || from === 'failed' || to.drain?.shut != null
}

function subject({ upstreams }: Model, step: Step): UpstreamRecord | null {
  return 'id' in step ? (upstreams.get(step.id) ?? null) : null
}

function add<Item>(to: Map<string, Item[]>, key: string, item: Item): void {
  const items = to.get(key)
  if (items) items.push(item)
  else to.set(key, [item])
}

function replaceLast<Item>(items: Item[], item: Item): void {
  items[items.length - 1] = item
}
