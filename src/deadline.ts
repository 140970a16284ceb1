// A time limit that does not blame others for our own lag. After a stall of the event loop timers run before sockets are
// read, so an answer that is there already looks as if it were missing; and a call that could not be written in time has
// had no time. So a stall costs at most one step of the limit, and sockets are read once more before it counts as passed.

const steps = 5

/**
 * @param ms         of time in which this process ran; its own stalls come on top
 * @param onExpired  called once, after all that had arrived by then was read; never after the cancel
 * @param holds      false: a process that has nothing else to wait for may end
 * @returns cancels; harmless once expired
 */
export function startDeadline(ms: number, onExpired: () => void, { holds = true } = {}): () => void {
  let timer: NodeJS.Timeout
  let immediate: NodeJS.Immediate | undefined

  /** Each step is counted from where the one before it ended, however late that was. */
  function wait(left: number): void {
    timer = setTimeout(() => {
      if (left > 1) wait(left - 1)
      // Immediates run behind the sockets that can be read.
      else immediate = setImmediate(onExpired)
    }, ms / steps)
    if (!holds) timer.unref()
  }

  wait(steps)
  return () => {
    clearTimeout(timer)
    clearImmediate(immediate)
  }
}
