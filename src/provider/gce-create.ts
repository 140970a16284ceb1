// Makes a machine, at most once: a name stands for one machine in a zone, so that whatever answer was lost, the one that is
// there under our name and labels is the one that was ordered.

import { randomUUID } from 'node:crypto'
import type { GceCalls } from './gce-calls.ts'
import type { GceOperation } from './gce-clients.ts'
import { GceError, unavailable } from './gce-errors.ts'
import {
  gceLabels,
  hasAddresses,
  idOf,
  instanceOf,
  isOfFleet,
  templatePath,
  type GceInstance,
  type GceReading,
} from './gce-instance.ts'
import { failureOf, finished, watched, type Watch } from './gce-operations.ts'
import { ProviderError, type CreateOrder, type Instance } from './provider.ts'

type Parts = {
  readonly calls: Pick<GceCalls, 'insert' | 'wait' | 'get'>
  readonly reading: GceReading
  readonly template: string
  readonly watch: Watch
}

type Order = CreateOrder & { readonly zone: string }

/** So often a machine may be missing that an operation has made. */
const absencesAtMost = 5

/** Resolves once it has its addresses. @throws ProviderError; the signal's reason */
export async function createMachine(order: Order, parts: Parts): Promise<Instance> {
  const { zone } = order
  try {
    await finished(await ordered(order, parts), { ...parts, zone, what: whatOf(order) })
  } catch (error) {
    // Made by an earlier order whose answer was lost, or somebody else's: its labels tell.
    if (!isConflict(error)) throw blamed(error)
  }
  return instanceOf(await standing(order, parts), zone, parts.reading)
}

/** A request id brings its operation back even if that has failed long ago; then the order is given anew. */
async function ordered(order: Order, { calls, reading, template, watch }: Parts): Promise<GceOperation> {
  const { name, zone, requestId } = order
  const wish = { name, zone, labels: gceLabels(order, reading.fleet), template: templatePath(template) }
  const operation = await calls.insert({ ...wish, requestId }, watch.signal)
  const hasFailed = failureOf(operation, whatOf(order)) !== null
  return hasFailed ? calls.insert({ ...wish, requestId: randomUUID() }, watch.signal) : operation
}

async function standing(order: Order, { calls, reading, watch }: Parts): Promise<GceInstance> {
  let absences = 0
  const machine = await watched(watch, async () => {
    const found = await calls.get(order.zone, order.name, watch.signal)
    if (!found) absences += 1
    if (absences === absencesAtMost) throw goneAgain(order)
    if (!found) return null
    refuseOthers(found, order, reading)
    return isReady(found, order, reading) ? found : null
  })
  if (!machine) throw unavailable(whatOf(order), 'it has no addresses yet')
  return machine
}

function isReady(found: GceInstance, order: Order, reading: GceReading): boolean {
  const { status, host } = instanceOf(found, order.zone, reading)
  if (status === 'stopped' || status === 'ending') {
    throw unavailable(whatOf(order), `it is there, but ${String(found.status)}`)
  }
  if (!hasAddresses(found)) return false
  if (host !== '') return true
  throw refused(order, 'its template gives it no external address, and gce.address is external')
}

function refuseOthers(found: GceInstance, order: Order, { fleet }: GceReading): void {
  if (isOfFleet(found, fleet) && idOf(found) === order.id) return
  throw refused(order, 'there is one of that name whose labels say that it is not this upstream')
}

function goneAgain(order: Order): ProviderError {
  return new ProviderError(
    'not_found',
    `Compute Engine: ${whatOf(order)}: it was made, and is gone; does somebody delete it?`,
  )
}

function refused(order: Order, why: string): ProviderError {
  return new ProviderError('refused', `Compute Engine: ${whatOf(order)}: ${why}.`)
}

function whatOf({ name, zone }: Order): string {
  return `make ${name} in ${zone}`
}

function isConflict(error: unknown): boolean {
  return error instanceof GceError && error.httpStatus === 409
}

/** What is not found when a machine is made is its template or its network, and looking again is useless. */
function blamed(error: unknown): unknown {
  if (!(error instanceof GceError) || error.code !== 'not_found') return error
  return new GceError('refused', error.message, error.httpStatus)
}
