import fc from 'fast-check'
import t from 'tap'
import { rendezvousOrder } from '../../src/routing/rendezvous.ts'
import { makeUpstream } from '../fixtures/upstream.ts'

const ids = (count: number) => Array.from({ length: count }, (_, i) => `up-${i + 1}`)
const order = (key: string, ids: readonly string[]) =>
  rendezvousOrder(
    key,
    ids.map((id) => makeUpstream({ id })),
  ).map(({ id }) => id)

t.test('every process gives the same order', async (t) => {
  // Written down, so that a change of the hash is seen: gateways of two versions would disagree.
  t.same(order('*:*', ids(5)), ['up-5', 'up-2', 'up-4', 'up-1', 'up-3'])
  t.same(order('payment:bank-a', ids(5)), ['up-4', 'up-3', 'up-5', 'up-2', 'up-1'])
  t.same(order('*:*', []), [])
})

t.test('equal weights go by id', async (t) => {
  // For `*:*` these two weigh the same; found by search.
  const twins = ['18si262', 'z4m80l']
  t.same(order('*:*', twins), twins)
  t.same(order('*:*', twins.toReversed()), twins)
})

const key = fc.string({ maxLength: 20 })
const someIds = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 12 }), { maxLength: 30 })

t.test('the order does not depend on the order in which upstreams are listed', async () => {
  fc.assert(
    fc.property(key, someIds, (key, ids) => {
      return order(key, ids).join('\n') === order(key, ids.toReversed()).join('\n')
    }),
  )
})

t.test('an upstream that comes or goes moves no other', async () => {
  fc.assert(
    fc.property(key, someIds, fc.nat(), (key, ids, pick) => {
      const gone = ids[pick % Math.max(ids.length, 1)]
      const without = order(
        key,
        ids.filter((id) => id !== gone),
      )
      return (
        order(key, ids)
          .filter((id) => id !== gone)
          .join('\n') === without.join('\n')
      )
    }),
  )
})

t.test('lanes begin on different upstreams', async (t) => {
  const rows: [name: string, ids: string[]][] = [
    ['ids that differ in one digit', ids(10)],
    ['ids of machines', ids(10).map((id) => `gce-eu-west1-b-${id}-20261121`)],
    ['ids that differ in front', Array.from({ length: 10 }, (_, i) => `${i}-up`)],
    ['addresses', Array.from({ length: 10 }, (_, i) => `static-10.0.0.${i + 1}-8888`)],
  ]
  for (const [name, ids] of rows) {
    const firsts = new Map<string, number>(ids.map((id) => [id, 0]))
    const seconds = new Map(firsts)
    for (let lane = 0; lane < 1000; lane++) {
      const [first, second] = order(`payment:bank-${lane}`, ids) as [string, string]
      firsts.set(first, firsts.get(first)! + 1)
      seconds.set(second, seconds.get(second)! + 1)
    }
    for (const counts of [firsts, seconds]) {
      const [least, most] = [Math.min(...counts.values()), Math.max(...counts.values())]
      t.ok(least >= 50 && most <= 200, `${name}: ${least} to ${most} of 1,000, mean 100`)
    }
  }
})
