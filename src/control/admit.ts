// The step that lets an upstream run: only after good probes through it.

import type { Upstream } from '../types.ts'
import type { Held } from './hold.ts'
import { move } from './life.ts'
import { probeUntilGood, type Probe } from './probe.ts'
import { ProbeFailure } from './retry.ts'

type Parts = {
  /** Null: probes are switched off. */
  readonly probe: Probe | null
  /** So many good ones in a row. */
  readonly good: number
}

/** @throws ProbeFailure; ControlError conflict where the claim is lost */
export async function admit(held: Held, { probe, good }: Parts): Promise<void> {
  const seen = probe && (await egressIpSeen(held.record, { probe, good, signal: held.signal }))
  const reason = probe ? 'its probes are good' : 'probes are switched off'
  await held.settle(reason, (record) => [move(record, 'admit', { egressIp: seen ?? record.egressIp })])
}

/** Null where the probe cannot tell. */
async function egressIpSeen(
  upstream: Upstream,
  { probe, good, signal }: { probe: Probe; good: number; signal: AbortSignal },
): Promise<string | null> {
  const result = await probeUntilGood(probe, upstream, good, signal)
  if (!result.ok) throw new ProbeFailure(result.problem)
  return result.egressIp
}
