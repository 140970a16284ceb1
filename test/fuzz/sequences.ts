// Requests one behind the other on one connection, through the whole gateway: plain ones, CONNECTs, OPTIONS, the job's own;
// with bodies, without identity, cut anywhere. An origin that reads strictly stands behind the tunnels: it gets whole
// requests without a word of ours, and when the client has left nothing is left of it.

import { startGateway, type GatewayFixture } from '../fixtures/gateway.ts'
import { openSocket } from '../fixtures/raw-client.ts'
import { established, startScriptedUpstream, type ScriptedUpstream } from '../fixtures/scripted-upstream.ts'
import { makeStrictOrigin, type OriginRequest } from '../fixtures/strict-origin.ts'
import { until } from '../fixtures/until.ts'
import type { FuzzCase } from './fuzz-case.ts'
import { several, type Random } from './random.ts'

const secret = 'fuzz-secret'
const basic = (userinfo: string) =>
  `Proxy-Authorization: Basic ${Buffer.from(userinfo).toString('base64')}\r\n`
const identities = [
  basic(`a:${secret}`), basic(`a:${secret}`), basic(`job=b,type=payment:${secret}`), '', basic('a:wrong'),
  `${basic(`a:${secret}`)}X-Job-Id: b\r\n`, `X-Job-Id: a\r\n${basic(`:${secret}`)}`, `${basic(`a:${secret}`)}${basic(`b:${secret}`)}`,
] // prettier-ignore
const further = [
  '', '', '', 'Expect: 100-continue\r\n', 'Connection: close\r\n', 'Connection: keep-alive, X-Job-Id, Host\r\n', 'Via: 1.1 gw\r\n',
  'Upgrade: websocket\r\nConnection: Upgrade\r\n', 'TE: trailers\r\n', 'X-Job-Foo: ours\r\nProxy-Foo: ours\r\nX_Job_Id: ours\r\n',
] // prettier-ignore
const bodies = [
  '\r\n', '\r\n', '\r\n', 'Content-Length: 5\r\n\r\nhello', 'Content-Length: 5\r\n\r\nhe', 'Content-Length: 0\r\n\r\n',
  'Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n', 'Transfer-Encoding: chunked\r\n\r\n3;a=ours\r\nabc\r\n0\r\nX-Job-Id: ours\r\n\r\n',
  'Transfer-Encoding: chunked\r\n\r\n3\r\nab', 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
] // prettier-ignore

function oneRequest(random: Random): string {
  const line = random.pick([
    'GET http://bank.example/p', 'POST http://bank.example/p', 'PUT http://bank.example', 'HEAD http://bank.example/p',
    'OPTIONS *', 'OPTIONS http://bank.example', 'GET /v1/job', 'DELETE /v1/job', 'POST /v1/job/report', 'GET http://u@bank.example/',
    'CONNECT bank.example:443', 'CONNECT bad',
  ]) // prettier-ignore
  const version = random.chance(0.95) ? 'HTTP/1.1' : 'HTTP/1.0'
  const head = `${line} ${version}\r\nHost: bank.example\r\n${random.pick(identities)}${random.pick(further)}`
  return head + (line.startsWith('CONNECT') ? '\r\n' : random.pick(bodies))
}

const answers = [
  'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok', 'HTTP/1.1 204 No Content\r\n\r\n', 'HTTP/1.0 200 OK\r\n\r\nto the end',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n', 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort',
] // prettier-ignore

let gateway: GatewayFixture
let upstream: ScriptedUpstream
let answered = 0
/** A CONNECT to port 80 brings any bytes there. */
let isRaw = false
const origin = makeStrictOrigin(() => answers[answered++ % answers.length]!)

export const sequences: FuzzCase = {
  name: 'sequences',
  words: [...identities, ...further, ...bodies, 'GET ', 'http://bank.example/', ' HTTP/1.1\r\n', '\r\n\r\n'],
  make: (random) => Buffer.from(several(random, 6, () => oneRequest(random)) + oneRequest(random)),

  async start() {
    upstream = await startScriptedUpstream((connection) => {
      if (connection.authority.endsWith(':80')) return origin.script(connection)
      connection.socket.write(established)
      connection.socket.pipe(connection.socket)
    })
    gateway = await startGateway({
      upstreams: [upstream],
      resolve: 'upstream',
      guard: { ports: [80, 443] },
      settings: {
        tokens: [{ name: 'fuzz', token: secret }],
        headTimeoutMs: 500,
        via: 'gw',
        tunnelIdleMs: 2000,
      },
    })
    gateway.facts.events.on('tunnel_opened', ({ road, target }) => {
      isRaw ||= road === 'connect' && target.port === 80
    })
    return async () => {
      await gateway.stop()
      await upstream.stop()
    }
  },

  async run(input, random) {
    isRaw = false
    const served = origin.requests.length
    const faults = origin.faults.length
    const answer = await send(input, random)
    const { tunnels, limits } = gateway.gateway
    await until(
      'nothing is left',
      () => gateway.gateway.connections + tunnels.count + limits.taken + origin.open() === 0,
      { everyMs: 1 },
    )
    const statuses = [...answer.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => status)
    if (isRaw) return 'raw'
    if (origin.faults.length > faults) throw new Error(`the origin read ${origin.faults.at(-1)}`)
    for (const request of origin.requests.slice(served)) assertClean(request)
    return statuses.join()
  },
}

/** In up to three pieces, then the end or a reset. @returns all that comes back, as latin1 */
async function send(input: Buffer, random: Random): Promise<string> {
  const socket = await openSocket(gateway)
  socket.on('error', () => {})
  let answer = ''
  socket.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')))
  const closed = new Promise((resolve) => socket.once('close', resolve))
  const cuts = [random.int(input.length + 1), random.int(input.length + 1)].sort((a, b) => a - b)
  for (const [from, to] of [
    [0, cuts[0]],
    [cuts[0], cuts[1]],
    [cuts[1], input.length],
  ]) {
    if (!socket.writable) break
    socket.write(input.subarray(from, to))
    for (let turns = random.int(10); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve))
  }
  if (random.chance(0.1)) socket.resetAndDestroy()
  else socket.end()
  await closed
  return answer
}

function assertClean({ headers, path, method }: OriginRequest): void {
  const ours = headers.find(([name]) => /^(?:x[-_]job|proxy)[-_]/i.test(name))
  if (ours) throw new Error(`${method} ${path} reached the origin with ${ours.join(': ')}`)
}
