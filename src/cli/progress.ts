// What a wait looks like meanwhile: a line for each thing that is waited for. On a terminal they are drawn in place; a
// log gets a new line only where something has changed, and the time that is left is no change.

import type { Screen } from './command.ts'

export type ProgressLine = {
  readonly subject: string
  /** How far it is: another text is news. */
  readonly text: string
  /** Goes on from look to look by itself: the time that is left. */
  readonly ticking?: string
  /** Nothing more will come: the first to go where there is no room for all. */
  readonly isOver?: boolean
}

export type Show = (lines: readonly ProgressLine[]) => void

export function makeProgress(io: {
  readonly err: (line: string) => void
  readonly screen: Screen | null
}): Show {
  return io.screen ? drawOn(io.screen) : noteChanges(io.err)
}

function noteChanges(err: (line: string) => void): Show {
  let last = new Map<string, string>()
  return (lines) => {
    const news = lines.filter(({ subject, text }) => last.get(subject) !== text)
    last = new Map(lines.map(({ subject, text }) => [subject, text]))
    for (const line of news) err(inOneLine(line, line.subject.length))
  }
}

/** Control sequences of ECMA-48: cursor up, erase to the end of the screen. */
const up = (rows: number) => (rows === 0 ? '\r' : `\x1b[${rows}A\r`)
const eraseBelow = '\x1b[J'

function drawOn({ write, columns, rows }: Screen): Show {
  let drawn: readonly string[] = []
  return (lines) => {
    const height = drawn.reduce((sum, line) => sum + heightOf(line, columns()), 0)
    drawn = fitted(lines, { columns: columns() - 1, rows: rows() - 1 })
    write(`${up(height)}${eraseBelow}${drawn.map((line) => `${line}\n`).join('')}`)
  }
}

/** A terminal that was made narrower has wrapped what was drawn. */
function heightOf(line: string, columns: number): number {
  return Math.max(1, Math.ceil(line.length / Math.max(1, columns)))
}

/** Pure. What does not fit is cut; of too many lines, those that are over are left out first. */
export function fitted(
  lines: readonly ProgressLine[],
  { columns, rows }: { readonly columns: number; readonly rows: number },
): string[] {
  const room = Math.max(1, lines.length > rows ? rows - 1 : rows)
  const width = Math.min(Math.floor(columns / 2), Math.max(0, ...lines.map(({ subject }) => subject.length)))
  const shown = chosen(lines, room).map((line) => cut(inOneLine(line, width), columns))
  const more = lines.length - shown.length
  return more === 0 ? shown : [...shown, cut(`and ${more} more`, columns)]
}

/** In their order. */
function chosen(lines: readonly ProgressLine[], room: number): readonly ProgressLine[] {
  const kept = new Set(
    lines.toSorted((a, b) => Number(a.isOver ?? false) - Number(b.isOver ?? false)).slice(0, room),
  )
  return lines.filter((line) => kept.has(line))
}

function inOneLine({ subject, text, ticking = '' }: ProgressLine, width: number): string {
  return `${shortened(subject, width).padEnd(width)}  ${text}${ticking}`
}

/** Ids differ at their end, and say what they are at their beginning. */
function shortened(text: string, width: number): string {
  if (text.length <= width) return text
  const end = Math.floor((width - 1) / 2)
  return `${text.slice(0, Math.max(0, width - 1 - end))}…${end > 0 ? text.slice(-end) : ''}`
}

function cut(text: string, columns: number): string {
  return text.length <= columns ? text : `${text.slice(0, Math.max(0, columns - 1))}…`
}
