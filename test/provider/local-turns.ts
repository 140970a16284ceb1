import t from 'tap'
import { makeTurns } from '../../src/provider/local-turns.ts'

t.test('turns of one id follow each other, also after one that failed; others do not wait', async (t) => {
  const turns = makeTurns()
  const told: string[] = []
  const first = Promise.withResolvers<void>()
  const failing = turns.take('a', async () => {
    told.push('first')
    await first.promise
    told.push('first ends')
    throw new Error('what failed')
  })
  const second = turns.take('a', async () => void told.push('second'))
  await turns.take('b', async () => void told.push('other'))
  t.strictSame(told, ['first', 'other'])
  first.resolve()
  await t.rejects(failing, { message: 'what failed' })
  await second
  t.strictSame(told, ['first', 'other', 'first ends', 'second'])
})

t.test('one that comes when the first has ended waits for the second', async (t) => {
  const turns = makeTurns()
  const told: string[] = []
  const second = Promise.withResolvers<void>()
  const first = turns.take('a', async () => void told.push('first'))
  const others = [turns.take('a', () => second.promise.then(() => told.push('second')))]
  await first
  others.push(turns.take('a', async () => told.push('third')))
  await new Promise(setImmediate)
  second.resolve()
  await Promise.all(others)
  t.strictSame(told, ['first', 'second', 'third'])
})

t.test('who waits for all waits for those in the queue too', async (t) => {
  const turns = makeTurns()
  const first = Promise.withResolvers<void>()
  const told: string[] = []
  const failing = turns.take('a', () => first.promise)
  void turns.take('a', async () => void told.push('second'))
  const none = turns.untilNone().then(() => told.push('none'))
  first.reject(new Error('what failed'))
  await t.rejects(failing)
  await none
  t.strictSame(told, ['second', 'none'])
  await t.resolves(turns.untilNone(), 'nobody is left')
})
