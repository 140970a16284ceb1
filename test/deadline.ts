import t from 'tap'
import { startDeadline } from '../src/deadline.ts'
import { socketPair } from './fixtures/socket-pair.ts'

/** As long work, a pause for memory or a machine without time for us would. */
function stall(ms: number): void {
  const endMs = performance.now() + ms
  while (performance.now() < endMs);
}

function expiry(ms: number): { readonly cancel: () => void; readonly expired: Promise<number> } {
  const { promise, resolve } = Promise.withResolvers<number>()
  const startMs = performance.now()
  return { cancel: startDeadline(ms, () => resolve(performance.now() - startMs)), expired: promise }
}

t.test('it expires once its time is over, not before', async (t) => {
  for (const ms of [5, 100]) {
    const tookMs = await expiry(ms).expired
    // Node counts in whole milliseconds, and each step may be one early. The upper bound: a machine shared by many.
    t.ok(tookMs >= ms - 5 && tookMs < ms + 500, `${ms}: ${tookMs}`)
  }
})

t.test('cancelled, at whatever time, it never expires', async (t) => {
  const fail = () => t.fail('it expired')
  startDeadline(20, fail)()
  const midway = startDeadline(40, fail)
  setTimeout(midway, 20)
  const longer = expiry(120)
  await longer.expired
  longer.cancel()
})

t.test('what arrived while the loop stood still is read before it counts as missing', async (t) => {
  // The loop stands still again and again: each of the five steps ends behind a stall.
  for (let sentInStall = 1; sentInStall <= 5; sentInStall++) {
    const { near, far, close } = await socketPair()
    t.teardown(close)
    const lastStall = Promise.withResolvers<void>()
    const outcome = await new Promise((resolve) => {
      const cancel = startDeadline(5, () => resolve('expired'))
      near.on('data', () => {
        cancel()
        resolve('heard')
      })
      let stalls = 0
      setImmediate(function again() {
        stalls += 1
        if (stalls === sentInStall) far.write('an answer')
        stall(20)
        if (stalls < 7) setImmediate(again)
        else lastStall.resolve()
      })
    })
    await lastStall.promise
    t.equal(outcome, 'heard', `sent in stall ${sentInStall}`)
  }
})

const stalls = [
  { name: 'at its start', atMs: 0 },
  { name: 'in its middle', atMs: 50 },
]
for (const { name, atMs } of stalls) {
  t.test(`of a stall ${name} no more than a step counts`, async (t) => {
    const { cancel, expired } = expiry(100)
    t.teardown(cancel)
    setTimeout(() => stall(400), atMs)
    const tookMs = await expired
    // 80 ms in which this process ran, less the millisecond by which each timer may be early.
    t.ok(tookMs >= 400 + 75, `after ${tookMs} ms`)
    t.ok(tookMs < 1400, 'and not for ever')
  })
}
