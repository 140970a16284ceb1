// What real Tinyproxies do to a tunnel (hostile inputs 2.6): refused by their configuration, full, stopped, killed. The
// same as hostile-upstreams.ts asserts of scripts, so that the scripts stay true to the proxy that we stand before.

import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startFullListener } from '../fixtures/full-listener.ts'
import { startGateway, type GatewayOptions } from '../fixtures/gateway.ts'
import { closedPort } from '../fixtures/listen.ts'
import { ask, expectFailure, roads, type Failure } from '../fixtures/misbehaving.ts'
import { readAnswer, readBytes, readToEnd } from '../fixtures/raw-answer.ts'
import { startTarget } from '../fixtures/target.ts'
import { startEchoTarget } from '../fixtures/tcp-target.ts'
import { startTinyproxy, type Tinyproxy, type TinyproxyOptions } from '../fixtures/tinyproxy.ts'
import { until } from '../fixtures/until.ts'

const target = await startTarget()
t.teardown(target.close)
const echo = await startEchoTarget()
t.teardown(echo.stop)
const good = await startTinyproxy()
t.teardown(good.stop)
const folder = await mkdtemp(join(tmpdir(), 'lanekeeper-filter-'))
t.teardown(() => rm(folder, { recursive: true }))

const reachable = `127.0.0.1:${target.port}`
/** Short only where nobody will answer: on a busy machine it would be too early for an honest upstream. */
const hasty = { settings: { replyTimeoutMs: 1000 } }
let jobs = 0
const newJob = () => `job-${(jobs += 1)}`

async function tinyproxyFor(t: Test, options: TinyproxyOptions = {}): Promise<Tinyproxy> {
  const tinyproxy = await startTinyproxy({ logs: true, ...options })
  t.teardown(tinyproxy.stop)
  return tinyproxy
}

async function gatewayFor(t: Test, options: GatewayOptions) {
  const gateway = await startGateway({ ...options, settings: { failedConnects: 100, ...options.settings } })
  t.teardown(() => gateway.stop())
  return gateway
}

type Row = {
  readonly name: string
  readonly options?: TinyproxyOptions
  /** What happens to it before it is asked. */
  readonly spoil?: (t: Test, tinyproxy: Tinyproxy) => unknown
  readonly failure: Failure
  readonly blamed?: boolean
  readonly gateway?: GatewayOptions
  readonly asked?: string
}

const ourConfiguration = (received: number): Failure => ({
  status: 502,
  code: 'upstream_failed',
  token: 'proxy_configuration_error',
  received,
})
const silent: Failure = { status: 504, code: 'upstream_timeout', token: 'connection_read_timeout' }
const basicAuth = { user: 'us', password: 's3cret' }

async function filterFile(lines: string): Promise<string> {
  const file = join(folder, `filter-${lines.length}`)
  await writeFile(file, lines)
  return `Filter "${file}"`
}

/** Its only place is taken by somebody whose tunnel stands. */
async function occupy(t: Test, { port }: Tinyproxy): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port })
  t.teardown(() => socket.destroy())
  socket.write(`CONNECT 127.0.0.1:${echo.port} HTTP/1.1\r\n\r\n`)
  await readAnswer(socket, 'CONNECT')
}

/** The signal is heard a little later. */
async function stopped({ pid }: Tinyproxy): Promise<void> {
  process.kill(pid, 'SIGSTOP')
  await until('it stands still', () => /^\d+ \(\w+\) T /.test(readFileSync(`/proc/${pid}/stat`, 'utf8')))
}

const rows: readonly Row[] = [
  { name: 'G3 it asks for credentials that we lack', options: { basicAuth }, failure: ourConfiguration(407) },
  {
    name: 'G3 it does not take ours',
    options: { basicAuth },
    gateway: { credentials: { pool: 'us:wrong' } },
    failure: { ...ourConfiguration(401), words: ['wrong', Buffer.from('us:wrong').toString('base64')] },
  },
  { name: 'G3 its ConnectPort', options: { connectPorts: [443] }, failure: ourConfiguration(403) },
  { name: 'G3 its Allow', options: { directives: ['Allow 127.0.0.9'] }, failure: ourConfiguration(403) },
  {
    name: 'G3 its Filter',
    options: { directives: [await filterFile('127\\.0\\.0\\.1\n')] },
    failure: ourConfiguration(403),
  },
  {
    name: 'G3 its FilterDefaultDeny',
    options: { directives: [await filterFile('bank\\.example\n'), 'FilterDefaultDeny Yes'] },
    failure: ourConfiguration(403),
  },
  {
    name: 'G4 its target refuses TCP',
    asked: `127.0.0.1:${await closedPort()}`,
    failure: { status: 502, code: 'target_failed', token: 'destination_unavailable', received: 500 },
  },
  { name: 'G2 it is full', options: { maxClients: 1 }, spoil: occupy, gateway: hasty, failure: silent },
  {
    name: 'G2 it is stopped',
    spoil: (_, tinyproxy) => stopped(tinyproxy),
    gateway: hasty,
    failure: silent,
  },
  {
    name: 'G1 it was killed',
    spoil: (_, { stop }) => stop(),
    failure: { status: 502, code: 'upstream_failed', token: 'connection_refused' },
    blamed: true,
  },
]

for (const row of rows) t.test(row.name, (t) => runRow(t, row))

async function runRow(t: Test, row: Row): Promise<void> {
  const { options = {}, spoil, failure, blamed = false, gateway: given = {}, asked = reachable } = row
  const bad = await tinyproxyFor(t, options)
  await spoil?.(t, bad)
  const spoiled = { id: 'bad', port: bad.port, credentials: 'pool' }
  const { facts, gatewayPort, publish } = await gatewayFor(t, { ...given, upstreams: [spoiled] })
  for (const road of roads) {
    const before = facts.names().length
    await expectFailure(t, road, await ask(road, gatewayPort, newJob(), asked), failure)
    const names = facts.names().slice(before)
    t.equal(names.includes('upstream_blamed'), blamed, 'blame')
    t.equal(names.includes('probe_wanted'), failure.status === 504, 'a probe is asked for')
    t.notOk(names.includes('tunnel_opened'))
  }
  // Two jobs take a turn each: one of them met the bad one. G21: it moves by blame only.
  await publish({ upstreams: [spoiled, { id: 'good', port: good.port }] })
  const upstreams: (string | undefined)[] = []
  for (const job of [newJob(), newJob()]) {
    const { socket, headers } = await ask('connect', gatewayPort, job, asked)
    socket.destroy()
    upstreams.push(headers['x-upstream-id'])
  }
  const isTheTargets = failure.code === 'target_failed'
  const served = upstreams.filter((id) => id === 'good').length
  t.equal(served, isTheTargets ? 0 : blamed ? 2 : 1, 'who was served')
  t.equal(facts.of('pin_moved').length > 0, blamed, 'moves')
}

t.test('G3 credentials that we have open the tunnel, and go no further', async (t) => {
  const { port } = await tinyproxyFor(t, { basicAuth })
  const { gatewayPort } = await gatewayFor(t, {
    upstreams: [{ port, credentials: 'pool' }],
    credentials: { pool: 'us:s3cret' },
  })
  const tunnel = await ask('connect', gatewayPort, newJob(), reachable)
  tunnel.socket.destroy()
  const plain = await ask('http', gatewayPort, newJob(), reachable)
  plain.socket.destroy()
  t.same([tunnel.status, plain.status], [200, 200])
  t.match(tunnel.head, /^HTTP\/1\.1 200 Connection established\r\nX-Upstream-Id: up-1\r\n\r\n$/)
  t.same(Object.keys(target.requests.at(-1)!.headers), ['host', 'connection'], 'nothing of it at the target')
})

t.test('G2 a place that gets free serves the job that waited for it', async (t) => {
  const { port } = await tinyproxyFor(t, { maxClients: 1 })
  const { gatewayPort, gateway } = await gatewayFor(t, { upstreams: [{ port }] })
  const first = await ask('connect', gatewayPort, newJob(), reachable)
  const second = ask('connect', gatewayPort, newJob(), reachable)
  await until('it is dialled', () => gateway.load.own.get('up-1') === 2)
  first.socket.destroy()
  const { status, socket } = await second
  socket.destroy()
  t.equal(status, 200)
})

t.test('G2 one that was stopped goes on where it was', async (t) => {
  const tinyproxy = await tinyproxyFor(t)
  const { gatewayPort } = await gatewayFor(t, { upstreams: [{ port: tinyproxy.port }] })
  const { socket } = await ask('connect', gatewayPort, newJob(), `127.0.0.1:${echo.port}`)
  await stopped(tinyproxy)
  socket.write('hello')
  const other = ask('connect', gatewayPort, newJob(), reachable)
  process.kill(tinyproxy.pid, 'SIGCONT')
  t.equal((await readBytes(socket, 5)).toString(), 'hello')
  t.equal((await other).status, 200)
  socket.destroy()
  ;(await other).socket.destroy()
})

t.test('G4 the next address of a name is tried through the same upstream', async (t) => {
  const tinyproxies = [await tinyproxyFor(t), await tinyproxyFor(t)]
  const { gatewayPort, facts } = await gatewayFor(t, {
    upstreams: tinyproxies.map(({ port }) => ({ port })),
    names: { 'two.test': ['127.0.0.77', '127.0.0.1'], 'none.test': ['127.0.0.77', '127.0.0.78'] },
  })
  const answer = await ask('connect', gatewayPort, newJob(), `two.test:${target.port}`)
  answer.socket.destroy()
  t.equal(answer.status, 200)
  const opened = tinyproxies.map(({ log }) =>
    [...log().matchAll(/opening connection to (\S+)/g)].map(([, to]) => to),
  )
  t.same(
    opened.sort((a, b) => a.length - b.length),
    [[], [`127.0.0.77:${target.port}`, `127.0.0.1:${target.port}`]],
  )
  t.strictSame(facts.of('tunnel_opened')[0]?.target, { host: 'two.test', port: target.port })
  await expectFailure(t, 'connect', await ask('connect', gatewayPort, newJob(), `none.test:${target.port}`), {
    status: 502,
    code: 'target_failed',
    token: 'destination_unavailable',
    received: 500,
  })
  t.same([...facts.of('upstream_blamed'), ...facts.of('pin_moved')], [])
})

t.test('G12 killed while it dials a silent target: blamed, and a fresh pin moves', async (t) => {
  const blackhole = await startFullListener()
  t.teardown(blackhole.close)
  const asked = `127.0.0.1:${blackhole.port}`
  for (const road of roads) {
    t.test(road, async (t) => {
      const tinyproxy = await tinyproxyFor(t)
      const { gatewayPort, facts, publish } = await gatewayFor(t, { upstreams: [{ port: tinyproxy.port }] })
      const answer = ask(road, gatewayPort, newJob(), asked)
      await until('it dials', () => tinyproxy.log().includes(`opening connection to ${asked}`))
      await tinyproxy.stop()
      await expectFailure(t, road, await answer, {
        status: 502,
        code: 'upstream_failed',
        token: 'connection_terminated',
      })
      t.equal(facts.of('upstream_blamed').length, 1)
      await publish({ upstreams: [{ port: tinyproxy.port }, { id: 'good', port: good.port }] })
      const next = await ask('connect', gatewayPort, newJob(), reachable)
      next.socket.destroy()
      t.equal(next.headers['x-upstream-id'], 'good', 'the next client is served')
    })
  }
})

t.test('killed in a tunnel', async (t) => {
  async function openTunnel(t: Test) {
    const tinyproxy = await tinyproxyFor(t)
    const gateway = await gatewayFor(t, { upstreams: [{ port: tinyproxy.port }] })
    const { socket } = await ask('connect', gateway.gatewayPort, newJob(), `127.0.0.1:${echo.port}`)
    socket.write('hello')
    await readBytes(socket, 5)
    const bytes = () => gateway.gateway.tunnels.list()[0]!.relay.bytes()
    const closed = async () => {
      await until('its tunnel is closed', () => gateway.gateway.tunnels.count === 0)
      t.same(gateway.facts.of('upstream_blamed'), [], 'nobody is blamed for a tunnel that stood')
      return gateway.facts.of('tunnel_closed')[0]
    }
    return { tinyproxy, socket, bytes, closed }
  }

  t.test('with bytes of the client unread: a reset', async (t) => {
    const { tinyproxy, socket, bytes, closed } = await openTunnel(t)
    const before = bytes()
    await stopped(tinyproxy)
    socket.write('unread')
    // Read from the client, and written to the one that is stopped.
    await until('they are on their way', () => bytes() === before + 2 * 'unread'.length)
    await tinyproxy.stop()
    await t.rejects(readToEnd(socket), /ECONNRESET/)
    t.match(await closed(), { endedBy: 'upstream_reset' })
  })

  // The kernel ends a dead process's connection in good order where it had read all, so nobody can tell it from an end.
  // TLS can: its close_notify is missing.
  t.test('with nothing on its way: an end, as the kernel says it', async (t) => {
    const { tinyproxy, socket, closed } = await openTunnel(t)
    await tinyproxy.stop()
    t.equal((await readToEnd(socket)).length, 0)
    socket.end()
    await once(socket, 'close')
    t.match(await closed(), { endedBy: 'upstream', bytesDown: 5 })
  })
})

t.test('its own page is no target, in any spelling, whoever resolves names', async (t) => {
  for (const resolve of ['gateway', 'upstream'] as const) {
    const tinyproxy = await tinyproxyFor(t)
    const { gatewayPort } = await gatewayFor(t, { upstreams: [{ port: tinyproxy.port }], resolve })
    for (const name of ['tinyproxy.stats', 'TinyProxy.Stats', 'tinyproxy.stats.']) {
      for (const road of roads) {
        const answer = await ask(road, gatewayPort, newJob(), `${name}:80`)
        answer.socket.destroy()
        t.match(answer, { status: 403 }, `${name}, ${resolve}, ${road}`)
      }
    }
    t.notMatch(tinyproxy.log(), 'Request', 'it was not asked')
  }
})
