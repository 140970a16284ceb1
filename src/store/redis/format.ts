// Records outlive a rolling update, so each carries a format number `f`. A program reads its own format and the
// one before. What a newer one wrote must be refused in clear words, never misread.

import { GatewayError } from '../../errors.ts'

export const recordFormat = 1

/** @throws GatewayError store_unavailable where `format` is not one that this program can read */
export function refuseUnreadable(what: string, format: unknown): void {
  if (format === recordFormat) return
  throw new GatewayError('store_unavailable', {
    detail: `The store holds a ${what} of format ${String(format)}; this program reads format ${recordFormat}. Update it.`,
  })
}
