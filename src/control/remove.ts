// The steps that end a machine: of an upstream that has left the rings, or of one that never came up. What is gone already
// is deleted, so both may be repeated; the row ends only with the provider's word that nothing is left.

import { isProviderError, type Provider } from '../provider/provider.ts'
import type { UpstreamRecord } from '../store/records.ts'
import type { Held } from './hold.ts'
import { end, move } from './life.ts'
import { isOwn } from './plan-size.ts'

type Parts = {
  readonly provider: Pick<Provider, 'name' | 'delete'>
  /** A UUID. */
  readonly newRequestId: () => string
}

/** @throws ProviderError; ControlError conflict where the claim is lost */
export async function remove(held: Held, parts: Parts): Promise<void> {
  const { record } = held
  if (hasMachine(record, parts.provider)) await deleteMachine(held, parts)
  await held.settle('nothing is left of it', (standing) => [
    end(standing, 'removed', record.drain?.by ?? 'operator'),
  ])
}

/** @param reason  why it failed; kept in the record */
export async function giveUp(held: Held, reason: string, parts: Parts): Promise<void> {
  // The order that failed may still have made it, unseen.
  if (hasMachine(held.record, parts.provider)) await deleteMachine(held, parts)
  await held.settle(reason, (record) => [move(record, 'fail', { problem: reason, requestId: null })])
}

/** Registered machines, and those of a list, belong to others. */
function hasMachine(record: UpstreamRecord, { name }: Parts['provider']): boolean {
  return name !== 'static' && isOwn(record, { provider: name, place: null })
}

async function deleteMachine(
  { record, signal, note }: Held,
  { provider, newRequestId }: Parts,
): Promise<void> {
  const { instanceId: id, zone, incarnation, state } = record
  // That of a launch was another order.
  const requestId = state === 'deleting' && record.requestId !== null ? record.requestId : newRequestId()
  try {
    await provider.delete({ id, zone, incarnation, requestId }, signal)
  } catch (error) {
    // A deletion that failed would be answered the same again; another one of what is gone by now does no harm.
    if (state === 'deleting' && isProviderError(error)) await note({ requestId: newRequestId() })
    throw error
  }
}
