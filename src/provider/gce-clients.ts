// Google's client, loaded when it is first needed: it takes a second of this thread and 60 MB and more, which nobody should
// pay who has no machine there. Only the two files are loaded that are used; the whole package is five times that.

import type { GceInstance } from './gce-instance.ts'
import type { OperationFault } from './gce-errors.ts'
import { ProviderError } from './provider.ts'

/** @see https://cloud.google.com/compute/docs/reference/rest/v1/zoneOperations */
export type GceOperation = {
  readonly name?: string | null
  readonly status?: unknown
  readonly error?: { readonly errors?: readonly OperationFault[] | null } | null
  readonly httpErrorStatusCode?: number | null
}

export type GceList = {
  readonly nextPageToken?: string | null
  readonly warning?: { readonly code?: unknown } | null
}

export type CallOptions = {
  readonly timeout: number
  /** Null takes the client's own retries away. */
  readonly retry: null
  readonly autoPaginate?: false
  readonly signal?: AbortSignal
}

type Call<Answer extends readonly unknown[]> = (
  request: { readonly [field: string]: unknown },
  options: CallOptions,
) => Promise<Answer>

export type GceClients = {
  readonly insert: Call<[GceOperation]>
  readonly delete: Call<[GceOperation]>
  readonly get: Call<[GceInstance]>
  readonly list: Call<[GceInstance[] | null, unknown, GceList]>
  readonly wait: Call<[GceOperation]>
}

/**
 * The calls behind the client's methods, since those methods read the description of the whole API anew for each refusal
 * that comes with details, as most of Google's do: 0.37 s in which this thread does nothing else (2026-11, 7.8.0).
 * @param endpoint  null is Google's. One without TLS is a test's, and gets no credentials: they would go over the wire open.
 * @throws ProviderError unavailable without credentials that can be read
 */
export async function loadGceClients(endpoint: string | null): Promise<GceClients> {
  const { InstancesClient } = await import('@google-cloud/compute/build/src/v1/instances_client.js')
  const { ZoneOperationsClient } =
    await import('@google-cloud/compute/build/src/v1/zone_operations_client.js')
  const options = { fallback: true as const, ...(endpoint === null ? {} : await placeOf(new URL(endpoint))) }
  const instances = new InstancesClient(options)
  const operations = new ZoneOperationsClient(options)
  try {
    await Promise.all([instances.initialize(), operations.initialize()])
  } catch (error) {
    throw new ProviderError('unavailable', withoutCredentials(error))
  }
  return { ...instances.innerApiCalls, wait: operations.innerApiCalls.wait } as unknown as GceClients
}

async function placeOf({ protocol, hostname, port }: URL) {
  const place = { apiEndpoint: hostname, ...(port === '' ? {} : { port: Number(port) }) }
  if (protocol === 'https:') return place
  const { PassThroughClient } = await import('google-auth-library')
  return { port: 80, ...place, protocol: 'http', authClient: new PassThroughClient() }
}

/** Of the error only its code: its text may quote the file with the key. */
function withoutCredentials(error: unknown): string {
  const { code } = error as { readonly code?: unknown }
  const detail = typeof code === 'string' ? ` (${code})` : ''
  return `Google's credentials cannot be found or read${detail}; set GOOGLE_APPLICATION_CREDENTIALS to a file with a key, or run on a machine that has a service account.`
}
