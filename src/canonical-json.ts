// One text for one value: what is hashed or compared must not depend on who wrote its keys down. Imports nothing.

/**
 * JSON that is the same for the same value, in whatever order its keys were written: what PostgreSQL gives back of a
 * jsonb column has another order than what went in, and two clients write one request in two orders.
 * @see RFC 8785, whose order of keys this is
 */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item ?? null)).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const entries = Object.entries(value).filter(([, item]) => item !== undefined)
  const sorted = entries.toSorted(([a], [b]) => (a < b ? -1 : 1))
  return `{${sorted.map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`).join(',')}}`
}
