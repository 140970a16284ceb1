// One at a time, in the order in which they asked, and nobody waits for ever.

export type Turns = {
  /**
   * @returns what ends the turn; to be called once
   * @throws what `late` makes, where the turn has not come within `ms` milliseconds
   */
  take(ms: number, late: () => Error): Promise<() => void>
}

export function makeTurns(): Turns {
  const waiting = new Set<() => void>()
  let isTaken = false

  function next(): void {
    const [first] = waiting
    if (first === undefined) isTaken = false
    else first()
  }

  return {
    take(ms, late) {
      if (!isTaken) {
        isTaken = true
        return Promise.resolve(next)
      }
      const { promise, resolve, reject } = Promise.withResolvers<() => void>()
      const timer = setTimeout(() => {
        waiting.delete(mine)
        reject(late())
      }, ms)
      const mine = () => {
        clearTimeout(timer)
        waiting.delete(mine)
        resolve(next)
      }
      waiting.add(mine)
      return promise
    },
  }
}
