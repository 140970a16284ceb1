// The gateway and a real Tinyproxy behind it must read every target alike: either the gateway refuses, and Tinyproxy is
// not even connected to; or what Tinyproxy dials is what the gateway meant. And what the gateway meant is what a strict
// reader takes the spelling for. The last test shows what Tinyproxy makes of the same bytes by itself.

import { createServer, isIP } from 'node:net'
import t, { type Test } from 'tap'
import type { Target } from '../../src/types.ts'
import { startGateway } from '../fixtures/gateway.ts'
import { listen } from '../fixtures/listen.ts'
import { readAnswer } from '../fixtures/raw-answer.ts'
import { openSocket } from '../fixtures/raw-client.ts'
import { startScriptedUpstream } from '../fixtures/scripted-upstream.ts'
import { targetSpellings, type TargetSpelling } from '../fixtures/target-spellings.ts'
import { startTinyproxy } from '../fixtures/tinyproxy.ts'
import { until } from '../fixtures/until.ts'

const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'

/** `address:port` of every connection that got through, as the listeners saw it. */
const reached: string[] = []
const port = await listenAtHome()
const spellings = targetSpellings(port)

/** Names of `.example` go to a second proxy, so that nobody asks a name server for them. */
const parent = await startScriptedUpstream(({ socket }) => {
  socket.write('HTTP/1.0 200 OK\r\n\r\n')
  socket.once('data', () => socket.end(answer)).resume()
  socket.once('end', () => socket.end())
})
t.teardown(parent.stop)
const tinyproxy = await startTinyproxy({
  logs: true,
  directives: [`Upstream http 127.0.0.1:${parent.port} ".example"`],
})
t.teardown(tinyproxy.stop)

/** One port on three addresses: a free one of the first may be taken on the others. */
async function listenAtHome(): Promise<number> {
  const hosts = ['127.0.0.1', '127.0.0.2', '::1']
  for (;;) {
    const servers = hosts.map(() =>
      createServer((socket) => {
        reached.push(`${socket.localAddress}:${socket.localPort}`)
        socket.once('data', () => socket.end(answer))
      }),
    )
    const { port, close } = await listen(servers[0]!)
    const others = await Promise.allSettled(
      [1, 2].map((index) => listen(servers[index]!, { host: hosts[index]!, port })),
    )
    const stops = [
      close,
      ...others.flatMap((other) => (other.status === 'fulfilled' ? [other.value.close] : [])),
    ]
    if (stops.length === hosts.length) {
      for (const stop of stops) t.teardown(stop)
      return port
    }
    for (const stop of stops) await stop()
  }
}

/** What Tinyproxy heard and dialled since it was asked before. */
function makeWatch() {
  let read = tinyproxy.log().length
  let asked = parent.heads.length
  return () => {
    const log = tinyproxy.log().slice(read)
    read += log.length
    const viaParent = parent.heads.slice(asked).map((head) => head.split(' ')[1]!)
    asked += viaParent.length
    const opened = [...log.matchAll(/opening connection to (\S+)$/gm)].map(([, to]) => to!)
    const direct = opened.filter((to) => to !== `127.0.0.1:${parent.port}`)
    return { connects: log.split('Connect (file descriptor').length - 1, dialled: [...direct, ...viaParent] }
  }
}

/** As Tinyproxy logs it: no brackets. */
const dialText = ({ host, port }: Target) => `${host}:${port}`
/** Who connects to a mapped address arrives at its IPv4 (RFC 4291 section 2.5.5.2). */
const mapped = /^::ffff:7f00:/
const isName = ({ host }: Target) => isIP(host) === 0

type Road = 'connect' | 'http'

function headOf(road: Road, { text }: TargetSpelling, job: string): Buffer {
  const line = road === 'connect' ? `CONNECT ${text} HTTP/1.1` : `GET http://${text}/x HTTP/1.1`
  return Buffer.from(`${line}\r\nHost: differential.example\r\nX-Job-Id: ${job}\r\n\r\n`)
}

for (const resolve of ['gateway', 'upstream'] as const) {
  for (const road of ['connect', 'http'] as const) {
    t.test(`names resolved by the ${resolve}, ${road}`, (t) => compare(t, resolve, road))
  }
}

async function compare(t: Test, resolve: 'gateway' | 'upstream', road: Road): Promise<void> {
  const named = spellings.flatMap(({ means, inUrl }) => [means, inUrl]).filter((target) => target !== null)
  const { gatewayPort, facts, stop } = await startGateway({
    upstreams: [{ port: tinyproxy.port }],
    resolve,
    names: Object.fromEntries(named.filter(isName).map(({ host }) => [host, ['127.0.0.2']])),
  })
  t.teardown(() => stop())
  const watch = makeWatch()
  let served = 0
  for (const [index, row] of spellings.entries()) {
    const means = road === 'connect' ? row.means : row.inUrl
    const job = `job-${index}`
    const before = { reached: reached.length, opened: facts.of('tunnel_opened').length }
    const status = await ask(gatewayPort, headOf(road, row, job))
    const { connects, dialled } = watch()
    const [opened] = facts.of('tunnel_opened').slice(before.opened)
    const meant =
      opened?.target ?? facts.of('request_refused').find((refused) => refused.job?.id === job)?.target
    if (connects === 0) {
      t.ok(status >= 400 && status < 500, `${row.name}: refused (${status})`)
      t.equal(reached.length, before.reached)
      continue
    }
    t.strictSame(meant, means, `${row.name}: meant as a strict reader does`)
    if (!means) continue
    const to = resolve === 'gateway' && isName(means) ? { host: '127.0.0.2', port: means.port } : means
    t.same(dialled, [dialText(to)], `${row.name}: dialled as meant`)
    if (status !== 200) continue
    served += 1
    if (!isName(to)) {
      await until('it is reached', () => reached.length > before.reached, { everyMs: 1 })
      t.same(reached.slice(before.reached), [dialText(to).replace(mapped, '127.0.0.')])
    }
  }
  t.ok(served >= 25, `${served} spellings were served`)
}

/** The status of the answer; the connection ends with it. */
async function ask(gatewayPort: number, bytes: Buffer): Promise<number> {
  const socket = await openSocket({ gatewayPort })
  socket.write(bytes)
  const { status } = await readAnswer(socket, 'CONNECT')
  socket.destroy()
  return status
}

t.test('there are enough of them, each once', async (t) => {
  t.ok(spellings.length >= 150, `${spellings.length}`)
  t.equal(new Set(spellings.map(({ text }) => text)).size, spellings.length)
  t.equal(new Set(spellings.map(({ name }) => name)).size, spellings.length)
})

t.test('control: Tinyproxy by itself dials what no strict reader would, and arrives', async (t) => {
  const watch = makeWatch()
  const arrived = new Set<string>()
  let differ = 0
  for (const row of spellings.filter(({ straight }) => straight !== null)) {
    const before = reached.length
    const status = await ask(tinyproxy.port, headOf('connect', row, 'job'))
    t.same(watch().dialled, [row.straight], row.name)
    if (row.means === null || dialText(row.means) !== row.straight) differ += 1
    if (status !== 200) continue
    await until('it is reached', () => reached.length > before, { everyMs: 1 })
    if (reached.at(-1) === `127.0.0.1:${port}`) arrived.add(row.text)
  }
  t.ok(differ >= 40, `${differ} spellings`)
  t.ok(arrived.size >= 30, `${arrived.size} of them arrive`)
  const known = ['127.1', '2130706433', '0x7f000001', '0177.0.0.1', 'example.invalid:443@127.0.0.1']
  for (const host of known) t.ok(arrived.has(`${host}:${port}`), host)
  for (const text of [`${port + 65_536}`, `${port}abc`]) t.ok(arrived.has(`127.0.0.1:${text}`), text)
})
