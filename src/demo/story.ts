// What the demo tells while it happens: a line with its time for each event, and one line that is drawn in place.

export type Story = ReturnType<typeof makeStory>

type Screen = {
  write(text: string): unknown
  /** False: a log, which gets a line where something has changed, and not too often. */
  readonly isTTY?: boolean
  readonly columns?: number
}

/** Of a terminal that is not narrow. */
const columns = 100
/** As wide as a time. */
const indent = '         '
const logEveryMs = 1000
const eraseLine = '\r\x1b[K'

/** @param now  monotonic milliseconds; the story begins with the call */
export function makeStory(screen: Screen, now: () => number) {
  const begunMs = now()
  let drawn: string | null = null
  let loggedMs = -Infinity

  function line(text: string): string {
    return `${((now() - begunMs) / 1000).toFixed(1).padStart(5)} s  ${text}`
  }

  /** What was drawn in place stays, as it was last. */
  function settle(): void {
    if (drawn !== null && screen.isTTY) screen.write('\n')
    drawn = null
  }

  return {
    /** Without a time. */
    print(text: string): void {
      settle()
      screen.write(`${text}\n`)
    },

    say(text: string): void {
      settle()
      screen.write(`${wrapped(line(text))}\n`)
    },

    /** The same again is no news. */
    live(text: string): void {
      if (text === drawn) return
      if (screen.isTTY) {
        screen.write(`${drawn === null ? '' : eraseLine}${line(text).slice(0, (screen.columns ?? 80) - 1)}`)
        drawn = text
      } else if (now() - loggedMs >= logEveryMs) {
        screen.write(`${line(text)}\n`)
        drawn = text
        loggedMs = now()
      }
    },
  }
}

/** Between words; a word that is longer stays whole. Pure. */
export function wrapped(text: string): string {
  if (text.length <= columns) return text
  const at = text.lastIndexOf(' ', columns)
  if (at <= indent.length) return text
  return `${text.slice(0, at)}\n${wrapped(`${indent}${text.slice(at + 1)}`)}`
}
