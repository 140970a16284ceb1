// When a step that failed is tried again, and what people are told of it. Pure.

import { isControlError, isGatewayError } from '../errors.ts'
import { isProviderError, type ProviderErrorCode } from '../provider/provider.ts'

/** The probes of an upstream are bad. */
export class ProbeFailure extends Error {}

const longestMs = 60_000
const longestProbeMs = 10_000

/** Where another try soon cannot help: quotas of Compute Engine refill by the minute, people mend what was refused. */
const waits: { readonly [Code in ProviderErrorCode]?: number } = {
  rate_limited: 60_000,
  quota: 60_000,
  no_capacity: 60_000,
  refused: 300_000,
}

/** @param attempts  failed ones before this one */
export function retryAfterMs(error: unknown, attempts: number): number {
  const growing = (firstMs: number) => firstMs * 2 ** Math.min(attempts, 20)
  if (error instanceof ProbeFailure) return Math.min(longestProbeMs, growing(500))
  const known = isProviderError(error) ? waits[error.code] : undefined
  return known ?? Math.min(longestMs, growing(1000))
}

/** `code: what happened` */
export function problemOf(error: unknown): string {
  if (isProviderError(error)) return `${error.code}: ${error.message}`
  if (error instanceof ProbeFailure) return `probe: ${error.message}`
  if (isControlError(error) || isGatewayError(error)) return error.message
  return `internal: ${error instanceof Error ? error.message : String(error)}`
}
