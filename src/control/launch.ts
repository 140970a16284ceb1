// The step that has a machine made. The row says before each call which order is given (zone, request id), so that
// whoever repeats the step after a crash gives the same order, and gets the same machine.

import {
  isProviderError,
  type CreateOrder,
  type Instance,
  type Provider,
  type ProviderError,
} from '../provider/provider.ts'
import type { UpstreamRecord, UpstreamRecords } from '../store/records.ts'
import type { Held } from './hold.ts'
import { addressFields, changeOf, end, freshNotes, lifeTable } from './life.ts'
import { isOwn } from './plan-size.ts'
import { problemOf } from './retry.ts'

type Parts = {
  readonly provider: Pick<Provider, 'create' | 'zones'>
  readonly upstreams: Pick<UpstreamRecords, 'at'>
  /** A UUID. */
  readonly newRequestId: () => string
}

/** @throws ProviderError; ControlError conflict where the claim is lost */
export async function launch(held: Held, { provider, upstreams, newRequestId }: Parts): Promise<void> {
  const order = await orderOf(held, newRequestId)
  let instance: Instance
  try {
    instance = await provider.create(order, held.signal)
  } catch (error) {
    if (!isProviderError(error, 'no_capacity', 'quota')) throw error
    return orderAnew(held, error, { zones: provider.zones, requestId: newRequestId() })
  }
  const former = formerHolders(held.record, await upstreams.at(instance))
  await held.settle(
    'its machine is there',
    (record) => [
      ...former.map((other) => end(other, 'gone', 'provider')),
      changeOf(record, { ...addressFields(instance), ...freshNotes, requestId: null }),
    ],
    former,
  )
}

/**
 * A cloud gives an address to one machine at a time, so the machine that had it is no more. Whoever is pinned to that one
 * must not be sent to this one, which has another egress IP.
 */
function formerHolders(
  { id, provider }: UpstreamRecord,
  there: readonly UpstreamRecord[],
): readonly UpstreamRecord[] {
  return there.filter(
    (other) =>
      other.id !== id && isOwn(other, { provider, place: null }) && lifeTable[other.state].gone !== undefined,
  )
}

async function orderOf({ record, note }: Held, newRequestId: () => string): Promise<CreateOrder> {
  const { instanceId, name, zone, labels, credentials } = record
  const requestId = record.requestId ?? newRequestId()
  if (record.requestId === null) await note({ requestId })
  return { id: instanceId, name, zone, labels, credentials, requestId }
}

/**
 * Nothing was made, and the same request id would be answered the same again. A zone without machines left leads to the
 * next one at once; after the last of them a while is waited.
 */
async function orderAnew(
  { record, note }: Held,
  error: ProviderError,
  { zones, requestId }: { readonly zones: readonly string[]; readonly requestId: string },
): Promise<void> {
  const zone = error.code === 'no_capacity' ? zoneAfter(record.zone, zones) : null
  if (zone !== null && zone !== zones[0])
    return note({ zone, requestId, attempts: record.attempts + 1, problem: problemOf(error) })
  await note({ zone: zone ?? record.zone, requestId })
  throw error
}

function zoneAfter(zone: UpstreamRecord['zone'], zones: readonly string[]): string | null {
  return zone === null ? null : (zones[(zones.indexOf(zone) + 1) % zones.length] ?? null)
}
