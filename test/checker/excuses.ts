// The exceptions of invariant 1 (design 13): what a log line, the ledger or the run's own log of faults tells, and nothing
// else, explains why a job changed its upstream.

import type { Faults } from './faults.ts'
import type { History } from './history.ts'
import type { Life, OpenJob } from './job.ts'
import type { GatewayLine, Settings } from './records.ts'
import type { Exception } from './verdict.ts'

export type Excuse = (
  job: Pick<OpenJob, 'life' | 'lane'>,
  from: string,
  to: string,
  atMs: number,
) => Exception | null

type Absence = { readonly fromMs: number; toMs: number }

export function makeExcuse({
  settings,
  history,
  faults,
}: {
  readonly settings: Settings
  readonly history: History
  readonly faults: Faults
}): { readonly excuse: Excuse; readonly line: (line: GatewayLine) => void } {
  const { idleMs, skewMs } = settings
  /** As each gateway told them. */
  const absences = new Map<string, Absence[]>()

  /** Of all gateways that had to do with it, none was there any more when the store lost it. */
  function wasLostUnknown({ knownBy, sinceMs }: Life, atMs: number): boolean {
    return faults
      .during('store_lost_data', { fromMs: sinceMs, toMs: atMs })
      .some(({ toMs: lostMs }) =>
        [...knownBy].every(
          ([gateway, lastMs]) =>
            lastMs > lostMs ||
            faults.isAny('gateway_killed', { whom: gateway, fromMs: lastMs, toMs: lostMs }),
        ),
      )
  }

  function wasCutOff({ knownBy, sinceMs }: Life, atMs: number): boolean {
    return faults
      .during('store_away', { fromMs: sinceMs, toMs: atMs })
      .some(({ whom, fromMs, toMs }) => toMs - fromMs > idleMs && (whom === null || knownBy.has(whom)))
  }

  function wasAway(gateway: string, atMs: number): boolean {
    // It goes on for a while before it is noticed.
    return (absences.get(gateway) ?? []).some(
      ({ fromMs, toMs }) => atMs >= fromMs - skewMs && atMs <= toMs + skewMs,
    )
  }

  /** One gateway worked it out while another asked the store; or two of them by different versions of the fleet. */
  function wasHashedByHalf({ hashed, given }: Life): boolean {
    return hashed.some(
      ({ gateway, version }) =>
        given.some((line) => line.gateway !== gateway && wasAway(gateway, line.atMs)) ||
        hashed.some((line) => line.gateway !== gateway && line.version !== version),
    )
  }

  function line({ name, gateway, atMs }: GatewayLine): void {
    const known = absences.get(gateway) ?? []
    const last = known.at(-1)
    if (name === 'store_lost') absences.set(gateway, [...known, { fromMs: atMs, toMs: Infinity }])
    else if (name === 'store_found' && last?.toMs === Infinity) last.toMs = atMs
  }

  const excuse: Excuse = ({ life, lane }, from, to, atMs) => {
    if (life.flexTo.has(to)) return 'flex_repin'
    if (life.conflict && isBetween(life.conflict, from, to)) return 'pin_conflict'
    if (history.wasEvicted(lane, from, life.sinceMs, atMs + skewMs)) return 'eviction'
    if (faults.isAny('embedded_exit', { fromMs: life.sinceMs, toMs: atMs })) return 'embedded_exit'
    if (wasCutOff(life, atMs)) return 'cut_off_longer_than_idle'
    if (wasLostUnknown(life, atMs)) return 'failover_lost_unknown_pin'
    if (wasHashedByHalf(life)) return 'hash_in_partial_partition'
    return null
  }
  return { excuse, line }
}

function isBetween(line: { kept?: string; dropped?: string }, from: string, to: string): boolean {
  return (line.kept === to && line.dropped === from) || (line.kept === from && line.dropped === to)
}
