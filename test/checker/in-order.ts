// Many feeds, each in the order of its time, read as one. Holds one item of each; waits only for those that make it wait.

import type { Feed } from './records.ts'

export type Source = {
  /** Takes its present item; then `atMs` is that of the next. */
  take(): void | Promise<void>
  /** Of the present item; Infinity at the end. */
  atMs: number
}

/**
 * @param atMs  when an item is due: later than its time, where what belongs to it may come a little later
 * @param visit  is told when it is due
 */
export async function openSource<Item>(
  feed: Feed<Item>,
  atMs: (item: Item) => number,
  visit: (item: Item, dueMs: number) => void,
): Promise<Source> {
  const source: Source = { take, atMs: Infinity }
  let present: Item
  let goOn: () => void | Promise<void>
  const hold = ({ done, value }: IteratorResult<Item>): void => {
    source.atMs = done ? Infinity : atMs(value)
    present = value
  }
  if (Symbol.iterator in feed) {
    const items = feed[Symbol.iterator]()
    goOn = () => hold(items.next())
  } else {
    const items = feed[Symbol.asyncIterator]()
    goOn = async () => hold(await items.next())
  }

  function take(): void | Promise<void> {
    visit(present, source.atMs)
    return goOn()
  }

  await goOn()
  return source
}

export async function readInOrder(sources: readonly Source[]): Promise<void> {
  for (;;) {
    let first = sources[0]
    for (const source of sources) if (source.atMs < first!.atMs) first = source
    if (!first || first.atMs === Infinity) return
    const waiting = first.take()
    if (waiting) await waiting
  }
}

export async function readAll<Item>(feed: Feed<Item> | undefined): Promise<Item[]> {
  const items: Item[] = []
  if (feed) for await (const item of feed) items.push(item)
  return items
}
