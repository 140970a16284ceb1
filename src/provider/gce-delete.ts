// Deletes a machine: asked for by its number, so that another one that was made under the same name is not meant, and done
// when a read says that it is gone.

import { randomUUID } from 'node:crypto'
import type { GceCalls } from './gce-calls.ts'
import { unavailable } from './gce-errors.ts'
import { findMachine } from './gce-find.ts'
import { numberOf } from './gce-instance.ts'
import { failureOf, finished, watched, type Watch } from './gce-operations.ts'
import { isProviderError, type DeleteOrder } from './provider.ts'

type Parts = {
  readonly calls: Pick<GceCalls, 'remove' | 'wait' | 'get' | 'page'>
  readonly zones: readonly string[]
  readonly watch: Watch
}

type Target = { readonly zone: string; readonly instance: string; readonly what: string }

/** What is gone is deleted. @throws ProviderError; the signal's reason */
export async function deleteMachine(order: DeleteOrder, parts: Parts): Promise<void> {
  const { calls, watch } = parts
  const found = await findMachine(order, parts, watch.signal)
  if (!found) return
  const { zone } = found
  const instance = numberOf(found.instance) ?? order.id
  const target = { zone, instance, what: `delete ${order.id} in ${zone}` }
  try {
    await carryOut(target, order.requestId, parts)
  } catch (error) {
    if (!isProviderError(error, 'not_found')) throw error
  }
  const isGone = async () => (await calls.get(zone, instance, watch.signal)) === null || null
  if (!(await watched(watch, isGone))) throw unavailable(target.what, 'it is still there')
}

/** A request id brings its operation back even if that has failed long ago; then the order is given anew. */
async function carryOut(target: Target, requestId: string, { calls, watch }: Parts): Promise<void> {
  const { what, ...machine } = target
  const first = await calls.remove({ ...machine, requestId }, watch.signal)
  const hasFailed = first !== null && failureOf(first, what) !== null
  const operation = hasFailed
    ? await calls.remove({ ...machine, requestId: randomUUID() }, watch.signal)
    : first
  if (operation) await finished(operation, { calls, zone: machine.zone, what, watch })
}
