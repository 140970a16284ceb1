// Instances that live on this machine end with the process that runs them. Those of the records start again as they
// were, so that rules and pins that name them still hold; what is missing is created. For a provider whose list is
// all there is, that list.

import { ProviderError, type Instance, type Provider } from '../provider/provider.ts'
import type { UpstreamRecord } from '../store/records.ts'
import type { Labels } from '../types.ts'

type Parts = {
  readonly provider: Provider
  /** Instances to have where the provider makes them; null where its list is all there is. */
  readonly wanted: number | null
  /** Of the first, second, ... instance. */
  readonly labels: readonly Labels[]
}

/** @throws ProviderError */
export async function bringUp(
  { provider, wanted, labels }: Parts,
  recorded: readonly UpstreamRecord[],
): Promise<readonly Instance[]> {
  if (wanted === null) return provider.list()
  // Whatever is there was left by a process that could not clean up.
  for (const leftover of await provider.list()) await provider.delete(leftover.id)
  const place = await provider.place()
  const own = recorded.filter((record) => record.provider === provider.name && record.zone === place)
  const names = Array.from({ length: wanted }, (_, index) => `${provider.name}-${index + 1}`)
  return Promise.all(
    names.map(async (name, index) => {
      const request = { name, labels: labels[index] ?? {} }
      const before = own.find((record) => record.name === name)
      return (before && (await resumed(provider, before, request.labels))) ?? provider.create(request)
    }),
  )
}

/** Null where it cannot be what it was: its port is taken, say. */
async function resumed(provider: Provider, before: UpstreamRecord, labels: Labels): Promise<Instance | null> {
  if (!provider.resume) return null
  const { id, name, host, port, egressIp, credentials } = before
  try {
    return await provider.resume({ id, name, host, port, egressIp, labels, credentials })
  } catch (error) {
    if (error instanceof ProviderError) return null
    throw error
  }
}
