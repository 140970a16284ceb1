// Pages of a list. One row more than asked for is read: it tells whether there is a next page. Pure.

import { ControlError } from '../../errors.ts'
import type { Page } from '../records.ts'

/**
 * @param rows   up to `limit` + 1
 * @param after  of a page's last row, what the next page goes on after
 */
export function pageOf<Row, Item>(
  rows: readonly Row[],
  { limit, item, after }: { limit: number; item: (row: Row) => Item; after: (row: Row) => string },
): Page<Item> {
  const shown = rows.slice(0, limit)
  const last = shown.at(-1)
  return { items: shown.map(item), next: rows.length > limit && last ? after(last) : null }
}

/**
 * For lists that go by number.
 * @throws ControlError bad_request
 */
export function afterNumber(after: string | null): number | null {
  if (after === null) return null
  if (/^\d{1,15}$/.test(after)) return Number(after)
  throw new ControlError(
    'bad_request',
    `The list cannot go on after "${after}". Give the \`next\` of the page before.`,
  )
}
