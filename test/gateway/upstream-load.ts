import t from 'tap'
import { makeUpstreamLoad } from '../../src/gateway/upstream-load.ts'

t.test('an upstream is full once it carries as many tunnels as it may', async (t) => {
  const load = makeUpstreamLoad({ maxTunnels: 2 })
  load.take('up-1')
  t.notOk(load.full.has('up-1'))
  load.take('up-1')
  t.ok(load.full.has('up-1'))
  t.equal(load.count('up-1'), 2)
  t.notOk(load.full.has('up-2'), 'others are not')
})

t.test('a seat at a full upstream is refused, by name, and takes nothing', async (t) => {
  const load = makeUpstreamLoad({ maxTunnels: 1 })
  load.take('up-1')
  t.throws(() => load.take('up-1'), { code: 'overloaded', fields: { upstream: 'up-1' } })
  t.equal(load.count('up-1'), 1)
})

t.test('a seat that is freed twice is freed once', async (t) => {
  const load = makeUpstreamLoad({ maxTunnels: 2 })
  const first = load.take('up-1')
  load.take('up-1')
  first.free()
  first.free()
  t.equal(load.count('up-1'), 1)
  t.notOk(load.full.has('up-1'))
})

t.test('an upstream without tunnels is not in the report', async (t) => {
  const load = makeUpstreamLoad({ maxTunnels: 2 })
  load.take('up-1').free()
  t.same([...load.own], [])
})

t.test("other gateways' tunnels count, but are not reported as ours", async (t) => {
  const load = makeUpstreamLoad({ maxTunnels: 3 })
  load.take('up-1')
  load.learnOthers(new Map([['up-1', 2]]))
  t.ok(load.full.has('up-1'))
  t.same([...load.own], [['up-1', 1]])
  t.throws(() => load.take('up-1'), { code: 'overloaded' })
})

t.test('what others no longer report no longer counts', async (t) => {
  const load = makeUpstreamLoad({ maxTunnels: 3 })
  load.learnOthers(new Map([['up-1', 3]]))
  t.ok(load.full.has('up-1'))
  load.learnOthers(new Map([['up-2', 3]]))
  t.notOk(load.full.has('up-1'))
  t.ok(load.full.has('up-2'))
})

t.test(
  'another limit holds at once, for upstreams that were full and for those that become so',
  async (t) => {
    const limits = { maxTunnels: 2 }
    const load = makeUpstreamLoad(limits)
    for (const id of ['up-1', 'up-1', 'up-2']) load.take(id)
    load.learnOthers(new Map([['up-3', 1]]))
    limits.maxTunnels = 3
    t.same([...load.full], [])
    load.take('up-1')
    limits.maxTunnels = 1
    t.throws(() => load.take('up-2'), { code: 'overloaded', message: /its 1 tunnels/ })
    t.same([...load.full].sort(), ['up-1', 'up-2', 'up-3'])
  },
)
