import t from 'tap'
import { makeTurns } from '../../../src/store/postgres/turns.ts'

const late = () => new Error('too late')

t.test('one at a time, in the order in which they asked', async (t) => {
  const turns = makeTurns()
  const order: number[] = []
  let holders = 0
  await Promise.all(
    [1, 2, 3, 4].map(async (n) => {
      const end = await turns.take(10_000, late)
      holders += 1
      t.equal(holders, 1)
      await new Promise(setImmediate)
      order.push(n)
      holders -= 1
      end()
    }),
  )
  t.same(order, [1, 2, 3, 4])
  const end = await turns.take(10_000, late)
  end()
})

t.test('who waits too long leaves the queue; those behind do not wait for it', async (t) => {
  const turns = makeTurns()
  const end = await turns.take(10_000, late)
  const impatient = turns.take(5, late)
  const patient = turns.take(10_000, late)
  await t.rejects(impatient, /too late/)
  end()
  const endPatient = await patient
  endPatient()
  const endLast = await turns.take(5, late)
  endLast()
})
