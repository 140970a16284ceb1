import fc from 'fast-check'
import t from 'tap'
import { makeExpiryQueue } from '../../../src/store/memory/expiry-queue.ts'

type Item = { id: number; expiresAtMs: number }

function makeQueue() {
  const alive = new Set<Item>()
  const queue = makeExpiryQueue<Item>((item) => alive.has(item))
  return {
    ...queue,
    alive,
    put(id: number, expiresAtMs: number): Item {
      const item = { id, expiresAtMs }
      alive.add(item)
      queue.add(item)
      return item
    },
  }
}

t.test('what has expired comes out, earliest first, and once', async (t) => {
  const queue = makeQueue()
  for (const [id, expiresAtMs] of [30, 10, 20, 40].entries()) queue.put(id, expiresAtMs)
  t.same(queue.take(10, 9), [])
  t.same(
    queue.take(2, 30).map(({ id }) => id),
    [1, 2],
  )
  t.same(
    queue.take(10, 30).map(({ id }) => id),
    [0],
  )
  t.same(queue.take(10, 30), [])
})

t.test('what was extended comes out at its new time', async (t) => {
  const queue = makeQueue()
  const item = queue.put(1, 10)
  item.expiresAtMs = 25
  t.same(queue.take(10, 24), [])
  t.same(queue.take(10, 25), [item])
})

t.test('what ended early never comes out, and does not pile up', async (t) => {
  const queue = makeQueue()
  for (let id = 0; id < 5000; id++) {
    const item = queue.put(id, 1_000_000 - id)
    if (id % 1000 !== 0) queue.alive.delete(item)
    queue.compact(queue.alive.size)
  }
  t.same(
    queue.take(10, 1_000_000).map(({ id }) => id),
    [4000, 3000, 2000, 1000, 0],
  )
})

t.test('it finds the same as looking at all, whatever is put in, extended and ended', async () => {
  const step = fc.record({
    act: fc.constantFrom('put', 'extend', 'end', 'take', 'compact'),
    which: fc.nat(50),
    ms: fc.nat(100),
    limit: fc.integer({ min: 1, max: 5 }),
  })
  const property = fc.property(fc.array(step, { maxLength: 200, size: 'max' }), (steps) => {
    const queue = makeQueue()
    let now = 0
    for (const { act, which, ms, limit } of steps) {
      const items = [...queue.alive]
      const item = items[which % Math.max(1, items.length)]
      if (act === 'put') queue.put(which, now + ms)
      else if (act === 'extend' && item) item.expiresAtMs += ms
      else if (act === 'end' && item) queue.alive.delete(item)
      else if (act === 'compact') queue.compact(queue.alive.size)
      else if (act === 'take') {
        now += ms
        const expired = items.filter(({ expiresAtMs }) => expiresAtMs <= now)
        const taken = queue.take(limit, now)
        for (const one of taken) queue.alive.delete(one)
        if (taken.length !== Math.min(limit, expired.length))
          throw new Error(`took ${taken.length} of ${expired.length}`)
        if (!taken.every((one) => expired.includes(one))) throw new Error('took one that has not expired')
      }
    }
  })
  fc.assert(property, { numRuns: 300 })
})
