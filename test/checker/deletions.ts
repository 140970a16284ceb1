// Invariant 5: no machine is deleted while a job is pinned to it or a tunnel is open, before the deadline of its drain.
// Invariant 6: nothing is created twice, nothing is forgotten in the cloud, and everything that was begun has ended.

import type { Faults } from './faults.ts'
import type { History } from './history.ts'
import { openTunnels, type OpenJob } from './job.ts'
import type { Machine, ProviderCall, Settings, Tables } from './records.ts'
import type { Findings } from './verdict.ts'

type Parts = {
  readonly settings: Settings
  readonly history: History
  readonly faults: Faults
  readonly findings: Findings
  readonly on: (upstream: string) => Iterable<OpenJob>
}

export function makeDeletions({ settings, history, faults, findings, on }: Parts) {
  const { idleMs, tieMs } = settings

  /** Every gateway that knew of it was gone when the store forgot it: nobody could say that it is there. */
  function isForgotten({ life }: OpenJob, atMs: number): boolean {
    return faults
      .during('store_lost_data', { fromMs: life.sinceMs, toMs: atMs })
      .some(({ toMs }) =>
        [...life.knownBy].every(([gateway, lastMs]) =>
          faults.isAny('gateway_killed', { whom: gateway, fromMs: lastMs, toMs }),
        ),
      )
  }

  function usedBy(job: OpenJob, atMs: number): string | null {
    const { life } = job
    if (life.sinceMs > atMs - tieMs) return null
    const tunnels = openTunnels(life)
    if (tunnels > 0 && life.lastUseMs < atMs - tieMs) return `${job.id} has ${tunnels} tunnels through it`
    if (tunnels > 0 || life.releasedMs !== null || life.lastUseMs + idleMs <= atMs + tieMs) return null
    return isForgotten(job, atMs) ? null : `${job.id} is pinned to it`
  }

  return {
    /** To be told `tieMs` after it was asked for. */
    deleted(call: ProviderCall): void {
      const life =
        call.instance === null ? null : history.lifeOf(call.instance, call.incarnation, call.fromMs)
      if (!life) return findings.undecided('deletions of a machine that no ledger tells')
      if (history.leaving(life.id)?.isAllowed) return
      for (const job of on(life.id)) {
        const user = usedBy(job, call.fromMs)
        if (user !== null) findings.violated(5, `${life.id} was deleted, and ${user}`, call, job.life)
      }
    },
  }
}

export function checkCreations(calls: readonly ProviderCall[], findings: Findings): void {
  const made = new Map<string, ProviderCall>()
  const standing = new Map<string, ProviderCall>()
  for (const call of calls.toSorted((a, b) => a.fromMs - b.fromMs)) {
    const { verb, instance, requestId, incarnation } = call
    if (instance === null || call.outcome === 'failed') continue
    if (verb === 'delete') standing.delete(instance)
    if (verb !== 'create') continue
    const before = requestId === null ? undefined : made.get(requestId)
    if (before && (before.instance !== instance || differs(before, call)))
      findings.violated(6, `order ${requestId} made two machines`, before, call)
    const other = standing.get(instance)
    if (other && (other.requestId !== requestId || differs(other, call)))
      findings.violated(6, `${instance} was made twice`, other, call)
    if (requestId !== null) made.set(requestId, call)
    if (call.outcome === 'ok' || incarnation !== null) standing.set(instance, call)
  }
}

function differs(a: ProviderCall, b: ProviderCall): boolean {
  return a.incarnation !== null && b.incarnation !== null && a.incarnation !== b.incarnation
}

/** At the end, when all is quiet. */
export function checkEnd(
  { upstreams }: Tables,
  machines: readonly Machine[] | undefined,
  findings: Findings,
): void {
  for (const row of upstreams)
    if (
      row.state === 'provisioning' ||
      row.state === 'deleting' ||
      (row.state === 'draining' && row.drain?.thenDelete)
    )
      findings.violated(6, `${row.id} is still ${row.state}`, row)
  if (!machines) return
  const live = upstreams.filter(({ state }) => state !== 'deleted')
  const isOf = ({ name, incarnation }: Machine, row: (typeof live)[number]) =>
    (row.instanceId ?? row.id) === name &&
    (incarnation === null || row.incarnation == null || row.incarnation === incarnation)
  for (const machine of machines)
    if (!live.some((row) => isOf(machine, row)))
      findings.violated(6, `${machine.name} is forgotten in the cloud`, machine)
  for (const row of live)
    if (
      row.state === 'running' &&
      row.addedBy !== 'operator' &&
      !machines.some((machine) => isOf(machine, row))
    )
      findings.violated(6, `${row.id} runs, and has no machine`, row)
}
