// Upstreams that misbehave once there is a tunnel (hostile inputs 2.6, G14 to G21), as scripts of bytes, through the
// listener. By then nobody is blamed and nothing is tried again: the client has had its 200, or the target its request.

import { once } from 'node:events'
import t, { type Test } from 'tap'
import type { Facts } from '../../src/events.ts'
import { startGateway } from '../fixtures/gateway.ts'
import { ask, expectFailure, nowhere } from '../fixtures/misbehaving.ts'
import { pseudoRandomBytes } from '../fixtures/pseudo-random.ts'
import { readAnswer, readBytes, readToEnd } from '../fixtures/raw-answer.ts'
import { openSocket } from '../fixtures/raw-client.ts'
import {
  closing,
  established,
  establishing,
  resetting,
  saying,
  startScriptedUpstream,
  type Script,
} from '../fixtures/scripted-upstream.ts'
import { until } from '../fixtures/until.ts'

const idleMs = 60_000
/** What the kernel takes on loopback without anybody reading is well below this. */
const more = 32 * 1024 * 1024

let play: Script = establishing()
let timeMs = 0
let jobs = 0
const upstreams = [await startPlaying(), await startPlaying()]
const { gateway, gatewayPort, facts, stop } = await startGateway({
  upstreams,
  settings: { tunnelIdleMs: idleMs },
  now: () => timeMs,
})
t.teardown(() => stop())

/** The script does the reading. */
async function startPlaying() {
  const upstream = await startScriptedUpstream((connection) => play(connection))
  t.teardown(upstream.stop)
  return upstream
}

const dials = () => upstreams.reduce((sum, upstream) => sum + upstream.heads.length, 0)
const newJob = () => `job-${(jobs += 1)}`

type Closed = Facts['tunnel_closed'][0]

/**
 * A row: played to one request, which is dialled once and blames nobody; and the next client is served.
 * @returns how the tunnel is on record
 */
async function row(t: Test, script: Script, story: () => Promise<void>): Promise<Closed> {
  const before = { dials: dials(), facts: facts.names().length }
  play = script
  await story()
  await until('the tunnel is closed', () => gateway.tunnels.count === 0)
  const closed = facts.of('tunnel_closed').at(-1)!
  t.equal(dials() - before.dials, 1, 'G21: no second try')
  const names = facts.names().slice(before.facts)
  for (const fact of ['upstream_blamed', 'upstream_set_aside', 'probe_wanted', 'pin_moved'] as const)
    t.notOk(names.includes(fact), fact)
  t.same(
    names.filter((name) => name === 'tunnel_closed' || name === 'request_refused'),
    ['tunnel_closed'],
    'one record',
  )
  play = establishing()
  const next = await ask('connect', gatewayPort, newJob())
  next.socket.write('hello')
  t.equal((await readBytes(next.socket, 5)).toString(), 'hello', 'the next client is served')
  next.socket.destroy()
  await until('it is gone', () => gateway.tunnels.count === 0)
  return closed
}

/** Every buffer on the way is full: no byte moves any more. */
async function untilStill(): Promise<void> {
  let before = -1
  const stoodStill = () => {
    const moved = gateway.tunnels.list()[0]?.relay.bytes() ?? 0
    const still = moved > 0 && moved === before
    before = moved
    return still
  }
  await until('nothing moves any more', stoodStill, { everyMs: 50 })
}

/** After the idle time, as seen by one look before and one look after. */
function passIdleTime(): void {
  gateway.tunnels.sweep()
  timeMs += idleMs
  gateway.tunnels.sweep()
}

t.test('G14 a banner in the segment of the 200 comes behind our 200, byte for byte', async (t) => {
  const banner = Buffer.concat([
    Buffer.from('220 hello\r\n\r\n\x00\xff', 'latin1'),
    pseudoRandomBytes(100_000),
  ])
  const closed = await row(
    t,
    saying(Buffer.concat([Buffer.from(established), banner]), closing),
    async () => {
      const { status, head, socket } = await ask('connect', gatewayPort, newJob())
      t.equal(status, 200)
      t.notMatch(head, '220')
      t.ok((await readToEnd(socket)).equals(banner))
      socket.end()
    },
  )
  t.match(closed, { bytesDown: banner.length, endedBy: 'upstream' })
})

t.test('G15 a reset right after the 200 is a reset (connect)', async (t) => {
  // Several times, since it may be noticed before our own 200 is out, or after.
  for (let i = 0; i < 10; i++) {
    const closed = await row(t, saying(established, resetting), async () => {
      const { status, socket } = await ask('connect', gatewayPort, newJob())
      t.equal(status, 200)
      await t.rejects(readToEnd(socket), /ECONNRESET/)
    })
    t.match(closed, { endedBy: 'upstream_reset', bytesDown: 0 })
  }
})

const terminated = { status: 502, code: 'upstream_failed', token: 'connection_terminated' } as const

t.test('G15 a reset right after the 200, G20 an end: 502 to a plain request', async (t) => {
  for (const script of [resetting, closing]) {
    const closed = await row(t, saying(established, script), async () =>
      expectFailure(t, 'http', await ask('http', gatewayPort, newJob()), terminated),
    )
    t.match(closed, { endedBy: 'upstream', bytesDown: 0 })
  }
})

t.test('G16 a reset in the middle is a reset, behind what came before it or not', async (t) => {
  const script: Script = ({ socket }) => {
    socket.write(`${established}half an answ`)
    socket.once('data', () => socket.resetAndDestroy()).resume()
  }
  const closed = await row(t, script, async () => {
    const { socket } = await ask('connect', gatewayPort, newJob())
    t.equal((await readBytes(socket, 12)).toString(), 'half an answ')
    socket.write('go on')
    await t.rejects(readToEnd(socket), /ECONNRESET/)
  })
  t.match(closed, { endedBy: 'upstream_reset', bytesDown: 12, bytesUp: 5 })
})

t.test('G16 an end with bytes pending: all of them first, then the end', async (t) => {
  const closed = await row(
    t,
    saying(Buffer.concat([Buffer.from(established), pseudoRandomBytes(more)]), closing),
    async () => {
      const { socket } = await ask('connect', gatewayPort, newJob())
      // A client that is slow to begin: the upstream has to wait.
      await untilStill()
      t.ok((await readToEnd(socket)).equals(pseudoRandomBytes(more)))
      socket.end()
    },
  )
  t.match(closed, { endedBy: 'upstream', bytesDown: more })
})

t.test('G17 an upstream that stops reading stops the client, and is left at the idle limit', async (t) => {
  const closed = await row(t, saying(established), async () => {
    const { socket } = await ask('connect', gatewayPort, newJob())
    socket.write(pseudoRandomBytes(more))
    await untilStill()
    t.ok(socket.writableNeedDrain, 'the client has to wait')
    passIdleTime()
    await t.rejects(readToEnd(socket), /ECONNRESET/, 'undelivered bytes make it a reset')
  })
  const { bytesUp, endedBy } = closed
  t.equal(endedBy, 'idle')
  t.ok(bytesUp < more, `${bytesUp} bytes were taken`)
})

t.test('G17 the same with the body of a plain request: 504', async (t) => {
  const closed = await row(t, saying(established), async () => {
    const socket = await openSocket({ gatewayPort })
    socket.on('error', () => {})
    socket.write(
      `POST http://${nowhere}/ HTTP/1.1\r\nHost: ${nowhere}\r\nX-Job-Id: ${newJob()}\r\nContent-Length: ${more}\r\n\r\n`,
    )
    socket.write(pseudoRandomBytes(more))
    await untilStill()
    t.ok(socket.writableNeedDrain, 'the client has to wait')
    passIdleTime()
    const answer = await readAnswer(socket, 'POST')
    t.match(answer, { status: 504, headers: { connection: 'close' } })
    t.match(answer.headers['proxy-status'], 'error=connection_read_timeout; details="upstream_timeout"')
    socket.destroy()
  })
  t.match(closed, { endedBy: 'idle' })
})

t.test(
  'G18 a byte now and then keeps a tunnel open; without it the idle limit ends it, counted',
  async (t) => {
    const opened: Parameters<Script>[0][] = []
    const script = saying(established, (connection) => {
      connection.socket.resume()
      connection.socket.once('end', () => connection.socket.end())
      opened.push(connection)
    })
    const closed = await row(t, script, async () => {
      const { socket } = await ask('connect', gatewayPort, newJob())
      for (let i = 0; i < 5; i++) {
        timeMs += idleMs - 1
        opened[0]!.socket.write('.')
        t.equal((await readBytes(socket, 1)).toString(), '.')
        gateway.tunnels.sweep()
        t.equal(gateway.tunnels.count, 1, 'it stays open')
      }
      passIdleTime()
      t.equal((await readToEnd(socket)).length, 0, 'in good order: nothing was on its way')
    })
    t.match(closed, { endedBy: 'idle', bytesDown: 5 })
  },
)

t.test('G20 an end right after the 200 is an early end, and no retry', async (t) => {
  const closed = await row(t, saying(established, closing), async () => {
    const { status, socket } = await ask('connect', gatewayPort, newJob())
    t.equal(status, 200)
    t.equal((await readToEnd(socket)).length, 0)
    socket.end()
    await once(socket, 'close')
  })
  t.match(closed, { endedBy: 'upstream', bytesDown: 0 })
})
