// Finds one machine by its id, which is its name, or for a machine that bears another name stands in a label.

import type { GceCalls } from './gce-calls.ts'
import { idOf, isGceName, numberOf, upstreamLabel, type GceInstance } from './gce-instance.ts'
import type { InstanceRef } from './provider.ts'

type Parts = { readonly calls: Pick<GceCalls, 'get' | 'page'>; readonly zones: readonly string[] }

/** Null: no zone has it, or another under its id. @throws ProviderError; the signal's reason */
export async function findMachine(
  ref: InstanceRef,
  { calls, zones }: Parts,
  signal?: AbortSignal,
): Promise<{ readonly zone: string; readonly instance: GceInstance } | null> {
  if (!isGceName(ref.id)) return null
  for (const zone of ref.zone === null ? zones : [ref.zone]) {
    const instance = await findIn(zone, ref, calls, signal)
    if (instance) return { zone, instance }
  }
  return null
}

async function findIn(
  zone: string,
  { id, incarnation }: InstanceRef,
  calls: Parts['calls'],
  signal?: AbortSignal,
): Promise<GceInstance | null> {
  const isMeant = (found: GceInstance) =>
    idOf(found) === id && (incarnation === null || numberOf(found) === incarnation)
  const named = await calls.get(zone, id, signal)
  if (named && idOf(named) === id) return isMeant(named) ? named : null
  const { items } = await calls.page({ zone, filter: `labels.${upstreamLabel}="${id}"`, token: null }, signal)
  const listed = items.find(isMeant)?.name
  if (!listed) return null
  // A list may be of the past, a read is not.
  const read = await calls.get(zone, listed, signal)
  return read && isMeant(read) ? read : null
}
