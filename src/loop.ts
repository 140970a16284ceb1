// Runs a pass every so often: never twice at once, on after a failure, and ended by `stop`.

import type { Events } from './events.ts'

export type Loop = { stop(): Promise<void> }

export function startLoop(
  name: string,
  pass: () => Promise<void>,
  { everyMs, events }: { everyMs: number; events: Events },
): Loop {
  let timer: NodeJS.Timeout | undefined
  let running: Promise<void> = Promise.resolve()
  let stopped = false

  function schedule(): void {
    if (!stopped) timer = setTimeout(run, everyMs)
  }

  function run(): void {
    running = pass()
      .catch((error: unknown) => void events.emit('pass_failed', { pass: name, error }))
      .then(schedule)
  }

  schedule()
  return {
    /** Resolves when a pass that is under way has ended. */
    async stop() {
      stopped = true
      clearTimeout(timer)
      await running
    },
  }
}
