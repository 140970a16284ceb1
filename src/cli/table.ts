// What people read: aligned tables, and one record as lines of key and value. Pure.
// Whatever a value holds, it cannot paint the terminal, break its line or hide a part of itself.

export type Column<Row> = {
  readonly title: string
  readonly of: (row: Row) => unknown
  /** Numbers stand under each other at their right. */
  readonly align?: 'right'
}

/** Columns are as wide as their widest cell; nothing is cut, nothing is wrapped. */
export function table<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const lines = [
    columns.map(({ title }) => title),
    ...rows.map((row) => columns.map(({ of }) => cell(of(row)))),
  ]
  const widths = columns.map((_, index) => widest(lines.map((line) => line[index]!)))
  const pad = (text: string, index: number) =>
    columns[index]!.align === 'right' ? text.padStart(widths[index]!) : text.padEnd(widths[index]!)
  return lines.map((line) => line.map(pad).join('  ').trimEnd()).join('\n')
}

/** Fields of fields have a dotted key, as in `upstream.egressIp`; labels stay together. */
export function record(fields: { readonly [key: string]: unknown }): string {
  const entries = flatten(fields)
  const width = widest(entries.map(([key]) => key))
  return entries.map(([key, value]) => `${key.padEnd(width)}  ${cell(value)}`).join('\n')
}

/** `-` for none, yes and no, `a,b` for a list, `k=v,k=v` for a table. */
export function cell(value: unknown): string {
  if (value === null || value === undefined || value === '') return '-'
  if (typeof value === 'boolean') return value ? 'yes' : 'no'
  if (typeof value === 'string') return plain(value)
  if (Array.isArray(value)) return value.length === 0 ? '-' : value.map(cell).join(',')
  if (typeof value !== 'object') return String(value)
  const entries = Object.entries(value).map(([key, of]) => `${plain(key)}=${cell(of)}`)
  return entries.length === 0 ? '-' : entries.join(',')
}

const names: { readonly [character: string]: string } = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }

/** Control characters, marks that turn the direction of writing and the like, written as `\u{1b}`. */
export function plain(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu,
    (character) => names[character] ?? `\\u{${character.codePointAt(0)!.toString(16)}}`,
  )
}

/** `1 upstream`, `3 upstreams`, `no upstreams`. */
export function count(number: number, noun: string): string {
  return `${number === 0 ? 'no' : number} ${noun}${number === 1 ? '' : 's'}`
}

function flatten(fields: { readonly [key: string]: unknown }): [string, unknown][] {
  return Object.entries(fields).flatMap(([key, value]): [string, unknown][] => {
    const isTable = typeof value === 'object' && value !== null && !Array.isArray(value) && key !== 'labels'
    if (!isTable) return [[plain(key), value]]
    return flatten(value as { readonly [key: string]: unknown }).map(([inner, of]) => [
      `${plain(key)}.${inner}`,
      of,
    ])
  })
}

function widest(texts: readonly string[]): number {
  return Math.max(0, ...texts.map(({ length }) => length))
}
