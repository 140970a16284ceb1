// Values on their way in and out, the same for every adapter: in as PostgreSQL's text, out by type.

import pg from 'pg'

/** The oids of https://github.com/postgres/postgres/blob/master/src/include/catalog/pg_type.dat */
const int8 = 20
const int8Array = 1016

/**
 * A parameter as PostgreSQL reads it, whatever the type of the column.
 * @throws TypeError for what has no one spelling: `undefined`, and objects (JSON.stringify them)
 */
export function toText(value: unknown): string | null {
  if (value === null) return null
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') return `${value}`
  if (value instanceof Date) return value.toISOString()
  if (Array.isArray(value)) return `{${value.map(element).join(',')}}`
  if (value === undefined) throw new TypeError('A value of a statement is undefined; none is null')
  throw new TypeError('A value of a statement is an object; for a json column, JSON.stringify it')
}

function element(value: unknown): string {
  if (Array.isArray(value)) return toText(value)!
  const text = toText(value)
  return text === null ? 'NULL' : `"${text.replaceAll(/["\\]/g, '\\$&')}"`
}

/** How to read a column, by the oid of its type. Types that nobody asked for stay text. */
export function parserOf(oid: number): (text: string) => unknown {
  if (oid === int8) return safeInteger
  const usual = pg.types.getTypeParser(oid, 'text')
  if (oid !== int8Array) return usual
  return (text) => (usual(text) as (string | null)[]).map((item) => item && safeInteger(item))
}

function safeInteger(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw new RangeError(`${text} does not fit into a number`)
  return value
}
