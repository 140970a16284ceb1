// What makes and ends the machines behind upstreams. One contract for every cloud; nobody else imports an SDK.

import type { Labels } from '../types.ts'

/** A machine as its provider sees it now. `id` is one life: a machine made anew has another. */
export type Instance = {
  readonly id: string
  readonly name: string
  readonly host: string
  readonly port: number
  readonly egressIp: string | null
  readonly labels: Labels
  /** The name of a credential in the gateway's own configuration. */
  readonly credentials: string | null
}

export type CreateRequest = { readonly name: string; readonly labels: Labels }

export interface Provider {
  readonly name: 'gce' | 'local' | 'static'
  /** What tells its instances from others of the same provider: for `local` the data folder's own id. Else null. */
  place(): Promise<string | null>
  /** All instances of this fleet, whoever made them. */
  list(signal?: AbortSignal): Promise<Instance[]>
  /** @throws ProviderError */
  create(request: CreateRequest, signal?: AbortSignal): Promise<Instance>
  /**
   * Starts one again that ended with the process that kept it: the same id, address and egress IP. Only where
   * instances end with their process (`local`). @throws ProviderError where its address is taken
   */
  resume?(instance: Instance, signal?: AbortSignal): Promise<Instance>
  /** Idempotent: an instance that is gone is deleted. @throws ProviderError */
  delete(instanceId: string, signal?: AbortSignal): Promise<void>
  /** Ends what this process itself keeps running (the processes of `local`); instances in a cloud live on. */
  close(): Promise<void>
}

export const providerErrorCodes = [
  'not_found',
  'quota',
  'no_capacity',
  'rate_limited',
  'unavailable',
] as const
export type ProviderErrorCode = (typeof providerErrorCodes)[number]

export class ProviderError extends Error {
  readonly code: ProviderErrorCode

  constructor(code: ProviderErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'ProviderError'
    this.code = code
  }
}
