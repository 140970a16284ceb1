// Lists come page by page: {items, next}.

import Type, { type Static } from 'typebox'
import type { Page, PageRequest } from '../store/records.ts'
import { after, limit } from './grammar.ts'
import { closed } from './shapes.ts'

const defaultLimit = 100

export const limitQuery = { limit: Type.Optional(limit) }
export const pageQuery = { ...limitQuery, after: Type.Optional(after) }
const pageQueryShape = closed(pageQuery)

export function readPage(query: Static<typeof pageQueryShape>): PageRequest {
  return { after: query.after ?? null, limit: readLimit(query.limit) }
}

export function readLimit(limit: string | undefined): number {
  return limit === undefined ? defaultLimit : Number(limit)
}

export function presentPage<Item, Shape>({ items, next }: Page<Item>, present: (item: Item) => Shape) {
  return { items: items.map(present), next }
}
