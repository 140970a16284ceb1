// Instances that live on this machine end with the process that runs them. Those of the records start again as they
// were, so that rules and pins that name them still hold. For a provider whose list is all there is, that list.

import { randomUUID } from 'node:crypto'
import { isProviderError, type Instance, type Provider } from '../provider/provider.ts'
import type { UpstreamRecord } from '../store/records.ts'

/**
 * @returns what stands then: what could not start again is missing
 * @throws ProviderError
 */
export async function bringUp(
  provider: Provider,
  recorded: readonly UpstreamRecord[],
): Promise<readonly Instance[]> {
  const { instances } = await provider.list()
  const resume = provider.resume?.bind(provider)
  if (!resume) return instances
  // Whatever is there was left by a process that could not clean up.
  for (const { id, zone, incarnation } of instances)
    await provider.delete({ id, zone, incarnation, requestId: randomUUID() })
  const place = await provider.place()
  const own = recorded.filter((record) => record.provider === provider.name && record.zone === place)
  const resumed = await Promise.all(
    own.filter(hasServed).map((record) => resume(instanceOf(record)).catch(nullWhereRefused)),
  )
  return resumed.filter((instance) => instance !== null)
}

/** What has no address yet is made anew by its own step; what is to be deleted has ended by itself. */
function hasServed({ state, host }: UpstreamRecord): boolean {
  return state === 'running' || state === 'draining' || (state === 'provisioning' && host !== '')
}

function instanceOf(record: UpstreamRecord): Instance {
  const { instanceId, name, host, port, listedIp, labels, credentials, zone, createdAtMs } = record
  const machine = { zone, incarnation: null, status: 'running', createdAtMs } as const
  // What probes have seen behind it is not its own address.
  return { id: instanceId, name, host, port, egressIp: listedIp, labels, credentials, ...machine }
}

/** It cannot be what it was: its port is taken, say. */
function nullWhereRefused(error: unknown): null {
  if (isProviderError(error)) return null
  throw error
}
