// What makes and ends the machines behind upstreams. One contract for every cloud; nobody else imports an SDK.

import type { Labels } from '../types.ts'

/** `starting` ones may have no address yet. */
export type InstanceStatus = 'starting' | 'running' | 'stopped' | 'ending'

/** A machine as its provider sees it now. */
export type Instance = {
  readonly id: string
  readonly name: string
  /** Where gateways reach it; '' while it has no address yet. */
  readonly host: string
  readonly port: number
  /** The external address, as the provider knows it. */
  readonly egressIp: string | null
  readonly labels: Labels
  /** The name of a credential in the gateway's own configuration. */
  readonly credentials: string | null
  /** The cloud's zone; for `local` its place. */
  readonly zone: string | null
  /** The cloud's own number of this very machine: one made anew under the same id has another. Null where there is none. */
  readonly incarnation: string | null
  readonly status: InstanceStatus
  readonly createdAtMs: number | null
}

export type Listing = {
  readonly instances: readonly Instance[]
  /** Why instances may be missing from it (a zone did not answer, a page was cut off); empty: it is complete. */
  readonly problems: readonly string[]
}

/** What the next machine is called and where it goes: written down before it is made. */
export type Draft = {
  readonly id: string
  readonly name: string
  readonly zone: string | null
  readonly labels: Labels
  readonly credentials: string | null
}

export type DraftRequest = {
  /** The machines that are there, or are being made. */
  readonly standing: readonly { readonly name: string; readonly zone: string | null }[]
  /** Laid over those that the provider gives by itself; null: those alone. */
  readonly labels: Labels | null
  /** Null: where the fewest are. */
  readonly zone: string | null
  /** 8 of 0-9a-z, never the same again. */
  readonly suffix: string
}

/** One order to the cloud: the same `requestId` and zone again is the same order, however often it is given. */
export type CreateOrder = Draft & { readonly requestId: string }

export type InstanceRef = {
  readonly id: string
  readonly zone: string | null
  /** Where it is given, another machine under the same id is not meant. */
  readonly incarnation: string | null
}
export type DeleteOrder = InstanceRef & { readonly requestId: string }

export interface Provider {
  readonly name: 'gce' | 'local' | 'static'
  /** Where machines can be made, for a cloud that has zones; else empty. */
  readonly zones: readonly string[]
  /** What tells its instances from others of the same provider: for `local` the data folder's own id. Else null. */
  place(): Promise<string | null>
  /** Pure. @throws ProviderError no_capacity where it makes no machines; refused where the zone is none of its own */
  draft(request: DraftRequest): Draft
  /** All instances of this fleet, whoever made them. @throws ProviderError where there is no list at all */
  list(signal?: AbortSignal): Promise<Listing>
  /** Null: the provider says that there is no such machine (another under its id is none). @throws ProviderError */
  read(ref: InstanceRef, signal?: AbortSignal): Promise<Instance | null>
  /** Resolves once it is there, with its addresses. Idempotent by `requestId`. @throws ProviderError */
  create(order: CreateOrder, signal?: AbortSignal): Promise<Instance>
  /**
   * Starts one again that ended with the process that kept it: the same id, address and egress IP. Only where
   * instances end with their process (`local`). @throws ProviderError where its address is taken
   */
  resume?(instance: Instance, signal?: AbortSignal): Promise<Instance>
  /** Resolves once it is gone. Idempotent: an instance that is gone is deleted. @throws ProviderError */
  delete(order: DeleteOrder, signal?: AbortSignal): Promise<void>
  /** Ends what this process itself keeps running (the processes of `local`); instances in a cloud live on. */
  close(): Promise<void>
}

/**
 * `quota`: the project's limit is reached; `no_capacity`: the zone is out of machines; `rate_limited`: too many calls;
 * `refused`: the request itself is wrong, or not allowed, so that trying again is useless; `unavailable`: no answer, or
 * an error on their side, so nobody knows whether it was done.
 */
export const providerErrorCodes = [
  'not_found',
  'quota',
  'no_capacity',
  'rate_limited',
  'refused',
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

export function isProviderError(error: unknown, ...codes: ProviderErrorCode[]): error is ProviderError {
  return error instanceof ProviderError && (codes.length === 0 || codes.includes(error.code))
}
