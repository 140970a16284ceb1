// Runs a pass every so often: never twice at once, on after a failure, sooner when woken, and ended by `stop`.

import type { Events } from './events.ts'

export type Loop = {
  /** Asks for a pass that begins after this call, as soon as `gapMs` since the begin of the last one allow. */
  wake(): void
  /** Resolves when a pass that is under way has ended. */
  stop(): Promise<void>
}

/** Read before each wait: a reload may change it. */
type Pace = {
  /** From the end of a pass to the begin of the next. */
  readonly everyMs: number
  /** From the begin of a pass to the begin of the next, however often it is woken. */
  readonly gapMs?: number
  readonly events: Events
}

export function startLoop(name: string, pass: () => Promise<void>, pace: Pace): Loop {
  const { gapMs = 0, events } = pace
  let timer: NodeJS.Timeout | undefined
  let running: Promise<void> | null = null
  let begunAt = -Infinity
  let woken = false
  let stopped = false

  function schedule(): void {
    if (stopped) return
    clearTimeout(timer)
    timer = setTimeout(run, woken ? Math.max(0, begunAt + gapMs - performance.now()) : pace.everyMs)
  }

  function run(): void {
    woken = false
    begunAt = performance.now()
    running = pass()
      .catch((error: unknown) => void events.emit('pass_failed', { pass: name, error }))
      .then(() => {
        running = null
        schedule()
      })
  }

  schedule()
  return {
    wake() {
      woken = true
      if (!running) schedule()
    },

    async stop() {
      stopped = true
      clearTimeout(timer)
      await running
    },
  }
}
