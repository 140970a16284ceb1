// Which records have expired, without looking at all of them: a heap by time, each record in it once.
// A record is put in with the expiry that it has then. When that comes, and the record was extended
// meanwhile, it goes back in; so extending costs nothing.

type Expiring = { readonly expiresAtMs: number }

export function makeExpiryQueue<T extends Expiring>(isAlive: (record: T) => boolean) {
  let heap: { readonly dueMs: number; readonly record: T }[] = []

  function push(record: T): void {
    const entry = { dueMs: record.expiresAtMs, record }
    let at = heap.length
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (heap[parent]!.dueMs <= entry.dueMs) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = entry
  }

  function pop(): T {
    const first = heap[0]!
    const last = heap.pop()!
    if (heap.length > 0) sink(last)
    return first.record
  }

  function sink(entry: (typeof heap)[number]): void {
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && heap[child + 1]!.dueMs < heap[child]!.dueMs) child++
      if (heap[child]!.dueMs >= entry.dueMs) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = entry
  }

  return {
    add(record: T): void {
      push(record)
    },

    /** Takes out up to `limit` records that have expired; those no longer alive are dropped on the way. */
    take(limit: number, nowMs: number): T[] {
      const expired: T[] = []
      while (expired.length < limit && heap.length > 0 && heap[0]!.dueMs <= nowMs) {
        const record = pop()
        if (!isAlive(record)) continue
        if (record.expiresAtMs <= nowMs) expired.push(record)
        else push(record)
      }
      return expired
    },

    /** Records released early wait here for their time. Drops them once they are the larger part. */
    compact(aliveCount: number): void {
      if (heap.length < 1000 || heap.length < 2 * aliveCount) return
      const alive = heap.filter(({ record }) => isAlive(record))
      heap = []
      for (const { record } of alive) push(record)
    },
  }
}
