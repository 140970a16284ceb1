// What concerns the same id is done one after the other: an order that is given twice at the same time must not make
// two, and a delete ends what is still being made.

export type Turns = ReturnType<typeof makeTurns>

export function makeTurns() {
  /** The last one of each id. */
  const last = new Map<string, Promise<unknown>>()

  return {
    /** Begins when all that came before it for this id have ended, however they did. */
    take<T>(id: string, work: () => Promise<T>): Promise<T> {
      const turn = (last.get(id) ?? Promise.resolve()).then(work, work)
      const forget = () => {
        if (last.get(id) === turn) last.delete(id)
      }
      last.set(id, turn)
      turn.then(forget, forget)
      return turn
    },

    /** Of those that have been taken by now. */
    async untilNone(): Promise<void> {
      await Promise.allSettled(last.values())
    },
  }
}
