import t from 'tap'
import { within } from '../../../src/store/postgres/deadline.ts'

const late = () => new Error('too late')

t.test('an answer in time is passed on, whatever it is', async (t) => {
  t.equal(await within(10_000, Promise.resolve(1), late), 1)
  await t.rejects(within(10_000, Promise.reject(new Error('mine')), late), /mine/)
})

t.test('after that, its failure is nobody’s', async (t) => {
  const { promise, reject } = Promise.withResolvers<never>()
  await t.rejects(within(1, promise, late), /too late/)
  reject(new Error('an unhandled rejection, if it were one'))
  await new Promise(setImmediate)
})
