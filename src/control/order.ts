// A machine that the provider is to make, as a row: written before anything is asked of the cloud, so that a crash in
// between leaves a row that is repeated, never a machine that nobody knows.

import { ControlError } from '../errors.ts'
import { isProviderError, type Draft, type DraftRequest, type Provider } from '../provider/provider.ts'
import type { NewUpstream } from '../store/records.ts'

type Parts = {
  readonly provider: Pick<Provider, 'name' | 'draft'>
  /** Null where the provider has but one. */
  readonly place: string | null
  /** 8 of 0-9a-z, never the same again. */
  readonly newSuffix: () => string
  /** A UUID. */
  readonly newRequestId: () => string
}

/** Until the provider has said where it listens; a port must be one. */
const unknownAddress = { host: '', port: 1 }

/**
 * @param upstreams  all that are not deleted
 * @throws ControlError conflict, bad_request where the provider makes none, or not so
 */
export function order(
  upstreams: readonly Pick<NewUpstream, 'name' | 'provider' | 'state' | 'zone'>[],
  asked: Pick<DraftRequest, 'labels' | 'zone'>,
  { provider, place, newSuffix, newRequestId }: Parts,
): NewUpstream {
  const standing = upstreams
    .filter((upstream) => upstream.provider === provider.name && upstream.state !== 'failed')
    .map(({ name, zone = null }) => ({ name, zone }))
  const { id, name, zone, labels, credentials } = drafted(provider, {
    ...asked,
    standing,
    suffix: newSuffix(),
  })
  return {
    ...unknownAddress,
    id,
    name,
    provider: provider.name,
    state: 'provisioning',
    egressIp: null,
    labels,
    ejected: false,
    quarantined: false,
    credentials,
    instanceId: id,
    zone: zone ?? place,
    requestId: newRequestId(),
    addedBy: 'control',
  }
}

function drafted(provider: Parts['provider'], request: DraftRequest): Draft {
  try {
    return provider.draft(request)
  } catch (error) {
    if (isProviderError(error, 'refused')) throw new ControlError('bad_request', error.message)
    if (isProviderError(error)) throw new ControlError('conflict', error.message)
    throw error
  }
}
