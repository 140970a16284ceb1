// The proxy that breaks connections in the fault tests: each fault is what it says, and nothing else is broken. A test
// that stands on a proxy which does nothing proves nothing.

import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { startFaultProxy } from '../fixtures/fault-proxy.ts'
import { listen } from '../fixtures/listen.ts'
import { until } from '../fixtures/until.ts'

/** A server that keeps what it hears and sends it back, and a client of it by way of the proxy. */
async function setUp(t: Test) {
  const heard: Buffer[] = []
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('data', (chunk) => {
      heard.push(chunk)
      socket.write(chunk)
    })
    socket.on('end', () => socket.end('the end'))
  })
  const { host, port, close } = await listen(server)
  t.teardown(close)
  const proxy = await startFaultProxy({ host, port })
  t.teardown(proxy.stop)

  async function open() {
    const socket = connect({ host: proxy.host, port: proxy.port, allowHalfOpen: true })
    t.teardown(() => void socket.destroy())
    const back: Buffer[] = []
    socket.on('data', (chunk) => back.push(chunk))
    const ended = endOf(socket)
    await once(socket, 'connect')
    return { socket, back: () => String(Buffer.concat(back)), ended }
  }

  return { proxy, open, heard: () => String(Buffer.concat(heard)) }
}

function endOf(socket: Socket): Promise<'orderly' | 'reset'> {
  return new Promise((resolve) => {
    socket.once('error', () => resolve('reset'))
    socket.once('end', () => resolve('orderly'))
  })
}

/** Long enough for what is not held back to come through, here and on a busy machine. */
async function moment(open: Awaited<ReturnType<typeof setUp>>['open']): Promise<void> {
  for (let times = 0; times < 3; times += 1) {
    const { socket, ended } = await open()
    socket.destroy()
    void ended
  }
  await new Promise((resolve) => setTimeout(resolve, 50))
}

t.test('without a fault all bytes go through in order, and so does the end', async (t) => {
  const { proxy, open, heard } = await setUp(t)
  const { socket, back, ended } = await open()
  const text = Array.from({ length: 50_000 }, (_, n) => `${n} `).join('')
  socket.end(text)
  t.equal(await ended, 'orderly')
  t.equal(heard(), text)
  t.equal(back(), `${text}the end`)
  t.equal(proxy.taken(), 1)
  await until('none stands', () => proxy.connections() === 0)
})

t.test('delay: each byte comes that much later, in order, and only that way', async (t) => {
  const { proxy, open, heard } = await setUp(t)
  const { socket, back } = await open()
  proxy.delay(200, 'down')
  const beganMs = performance.now()
  for (const text of ['a', 'b', 'c']) socket.write(text)
  await until('it is heard', () => heard() === 'abc')
  t.equal(back(), '')
  await until('it comes back', () => back() === 'abc')
  t.ok(performance.now() - beganMs >= 195, 'not before')
  proxy.heal()
  socket.write('d')
  await until('healed, it is as quick as before', () => back() === 'abcd')
})

t.test('stall: nothing arrives and nothing is lost; healed, it comes in order', async (t) => {
  const { proxy, open, heard } = await setUp(t)
  const { socket, back, ended } = await open()
  proxy.stall('up')
  socket.write('a')
  await moment(open)
  t.equal(heard(), '')
  const later = await open()
  later.socket.write('new ones too')
  socket.end('b')
  await moment(open)
  t.equal(heard(), '')
  proxy.heal()
  t.equal(await ended, 'orderly')
  t.equal(back(), 'abthe end')
  await until('the other one too', () => later.back() === 'new ones too')
})

t.test('a black hole takes what is said, tells nobody, and is a reset once it is healed', async (t) => {
  const { proxy, open, heard } = await setUp(t)
  const { socket, back, ended } = await open()
  proxy.blackHole()
  socket.write('lost')
  const later = await open()
  later.socket.write('lost too')
  await moment(open)
  t.equal(heard(), '')
  t.notOk(socket.destroyed || later.socket.destroyed, 'they stand')
  proxy.heal()
  t.equal(await ended, 'reset')
  t.equal(await later.ended, 'reset')
  t.equal(heard() + back(), '', 'and it never arrives')
  const fresh = await open()
  fresh.socket.write('a')
  await until('a new one works', () => fresh.back() === 'a')
})

t.test('cut after n bytes: so many arrive, then a reset; for each connection', async (t) => {
  const { proxy, open } = await setUp(t)
  const first = await open()
  first.socket.write('12')
  await until('it comes back', () => first.back() === '12')
  proxy.cutAfter(3, 'down')
  first.socket.write('345')
  t.equal(await first.ended, 'reset')
  const second = await open()
  second.socket.write('12')
  await until('fewer go through', () => second.back() === '12')
  second.socket.write('3456')
  t.equal(await second.ended, 'reset')
  // A reset may overtake the bytes before it, as on any network.
  t.ok('12345'.startsWith(first.back()), 'counted from when it was said')
  t.ok('123'.startsWith(second.back()), 'and from the begin of a new one')
  proxy.heal()
  const third = await open()
  third.socket.write('123456')
  await until('all', () => third.back() === '123456')
})

t.test('cut at a text: before it arrives, or when it has and is answered; once', async (t) => {
  for (const [moment, arrives] of [
    ['before', ''],
    ['answer', 'commit'],
  ] as const) {
    const { proxy, open, heard } = await setUp(t)
    const [first, other] = [await open(), await open()]
    proxy.cutAt(['write', 'commit'], moment)
    first.socket.write('commit nothing. ')
    await until('a text alone does nothing', () => first.back() === 'commit nothing. ')
    first.socket.write('write. ')
    other.socket.write('commit. ')
    await until('nor does one on another connection', () => other.back() === 'commit. ')
    await until('it is written', () => first.back() === 'commit nothing. write. ')
    const before = heard()
    first.socket.write('commit')
    t.equal(await first.ended, 'reset', moment)
    t.equal(first.back(), 'commit nothing. write. ', 'its answer is lost')
    t.equal(heard(), before + arrives)
    other.socket.write('write. commit')
    await until('the next one goes through', () => other.back() === 'commit. write. commit')
    proxy.cutAt(['go'], moment, { andCut: true })
    other.socket.write('go')
    t.equal(await other.ended, 'reset')
    const late = connect({ host: proxy.host, port: proxy.port })
    t.teardown(() => void late.destroy())
    t.equal(await endOf(late), 'reset', 'where that is asked for, nobody comes through from then on')
  }
})

t.test('reset takes those that stand, cut the new ones too', async (t) => {
  const { proxy, open } = await setUp(t)
  const first = await open()
  await until('it stands', () => proxy.connections() === 1)
  proxy.reset()
  t.equal(await first.ended, 'reset')
  const second = await open()
  second.socket.write('a')
  await until('a new one is taken', () => second.back() === 'a')
  proxy.cut()
  t.equal(await second.ended, 'reset')
  const third = connect({ host: proxy.host, port: proxy.port })
  t.teardown(() => void third.destroy())
  t.equal(await endOf(third), 'reset')
  proxy.heal()
  const fourth = await open()
  fourth.socket.write('a')
  await until('healed, they are taken again', () => fourth.back() === 'a')
})
