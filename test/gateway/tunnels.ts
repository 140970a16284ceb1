import t, { type Test } from 'tap'
import { makeTunnels, type OpenTunnel } from '../../src/gateway/tunnels.ts'
import { makeFakeClock } from '../fixtures/clock.ts'

const limits = { idleMs: 1000, maxLifeMs: 60_000 }

function setUp(t: Test, changed: Partial<typeof limits> = {}) {
  const clock = makeFakeClock()
  const tunnels = makeTunnels({ ...limits, ...changed, now: clock.now })
  t.teardown(() => tunnels.stop())
  return { clock, tunnels, open: (upstreamId = 'up-1') => openTunnel(clock.now(), upstreamId) }
}

type FakeTunnel = { tunnel: OpenTunnel; carry: (bytes: number) => void; closedBy: string[] }

function openTunnel(openedMs: number, upstreamId: string): FakeTunnel {
  let bytes = 0
  const closedBy: string[] = []
  const tunnel: OpenTunnel = {
    requestId: 'r-1',
    token: null,
    job: { id: 'job-1', type: null, institution: null },
    target: { host: 'example.com', port: 443 },
    upstreamId,
    openedMs,
    relay: { bytes: () => bytes, close: (why) => closedBy.push(why) },
  }
  return { tunnel, carry: (more) => (bytes += more), closedBy }
}

t.test('tunnels are counted and listed from their begin to their end', async (t) => {
  const { tunnels, open } = setUp(t)
  const [a, b] = [open(), open()]
  tunnels.add(a.tunnel)
  tunnels.add(b.tunnel)
  t.equal(tunnels.count, 2)
  t.strictSame(tunnels.list(), [a.tunnel, b.tunnel])
  tunnels.remove(a.tunnel)
  tunnels.remove(a.tunnel)
  t.equal(tunnels.count, 1, 'removed twice is removed once')
})

t.test('a tunnel without a byte for the idle time is closed, and says so', async (t) => {
  const { tunnels, open, clock } = setUp(t)
  const idle = open()
  tunnels.add(idle.tunnel)
  clock.advance(999)
  tunnels.sweep()
  t.same(idle.closedBy, [])
  clock.advance(1)
  tunnels.sweep()
  t.same(idle.closedBy, ['idle'])
})

t.test('each byte starts the idle time anew', async (t) => {
  const { tunnels, open, clock } = setUp(t)
  const slow = open()
  tunnels.add(slow.tunnel)
  for (let i = 0; i < 10; i++) {
    slow.carry(1)
    clock.advance(900)
    tunnels.sweep()
  }
  t.same(slow.closedBy, [])
  clock.advance(1000)
  tunnels.sweep()
  t.same(slow.closedBy, ['idle'])
})

t.test('the longest life ends a busy tunnel too', async (t) => {
  const { tunnels, open, clock } = setUp(t, { maxLifeMs: 5000, idleMs: 4000 })
  const busy = open()
  tunnels.add(busy.tunnel)
  for (let i = 0; i < 5; i++) {
    t.same(busy.closedBy, [])
    busy.carry(1000)
    clock.advance(1000)
    tunnels.sweep()
  }
  t.same(busy.closedBy, ['life'])
})

t.test('only the idle one of several is closed', async (t) => {
  const { tunnels, open, clock } = setUp(t)
  const [idle, busy] = [open(), open()]
  tunnels.add(idle.tunnel)
  tunnels.add(busy.tunnel)
  clock.advance(1000)
  busy.carry(1)
  tunnels.sweep()
  t.same(idle.closedBy, ['idle'])
  t.same(busy.closedBy, [])
})

t.test('closing all tells every relay why', async (t) => {
  const { tunnels, open } = setUp(t)
  const both = [open(), open()]
  for (const { tunnel } of both) tunnels.add(tunnel)
  tunnels.closeAll('stop')
  t.same(
    both.map(({ closedBy }) => closedBy),
    [['stop'], ['stop']],
  )
})

t.test('closing those whose upstream has left the fleet', async (t) => {
  const { tunnels, open } = setUp(t)
  const [left, stays] = [open('up-1'), open('up-2')]
  for (const { tunnel } of [left, stays]) tunnels.add(tunnel)
  tunnels.closeLeft((id) => id === 'up-2')
  t.same(left.closedBy, ['drained'])
  t.same(stays.closedBy, [])
})

t.test('waiting for none', async (t) => {
  t.test('is over at once where none is open', async (t) => {
    const { tunnels } = setUp(t)
    await tunnels.none(new AbortController().signal)
  })

  t.test('is over when the last one has ended, not before', async (t) => {
    const { tunnels, open } = setUp(t)
    const [a, b] = [open(), open()]
    tunnels.add(a.tunnel)
    tunnels.add(b.tunnel)
    let over = false
    const none = tunnels.none(new AbortController().signal).then(() => (over = true))
    tunnels.remove(a.tunnel)
    await Promise.resolve()
    t.notOk(over)
    tunnels.remove(b.tunnel)
    await none
    t.ok(over)
  })

  t.test('is over at the deadline, though one is open', async (t) => {
    const { tunnels, open } = setUp(t)
    tunnels.add(open().tunnel)
    const deadline = new AbortController()
    const none = tunnels.none(deadline.signal)
    deadline.abort()
    await none
    await tunnels.none(deadline.signal)
    t.equal(tunnels.count, 1)
  })
})
