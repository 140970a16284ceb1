// Heads of CONNECTs through the whole gateway, over TCP, cut anywhere: a tunnel stands only where a strict second reading
// finds a CONNECT, it leads where that says, and what follows the head goes through it whole. Everything else is answered
// once and closed, and not one byte of it reaches an upstream.

import { once } from 'node:events'
import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { startGateway, type GatewayFixture } from '../fixtures/gateway.ts'
import { openSocket } from '../fixtures/raw-client.ts'
import { established, startScriptedUpstream, type ScriptedUpstream } from '../fixtures/scripted-upstream.ts'
import { until } from '../fixtures/until.ts'
import { inFewWords, type FuzzCase } from './fuzz-case.ts'
import { several, type Random } from './random.ts'
import { strictHead, strictTarget, type StrictHead } from './strict.ts'

const words = [
  'CONNECT ', 'GET ', 'connect ', ' HTTP/1.1', ' HTTP/1.0', ' HTTP/2.0', ' HTTP/1.2', '\r\n', '\n', '\r', '\r\n\r\n', ':', ': ',
  'Host: bank.example:443', 'X-Job-Id: 42', 'x-job-id: 43', 'Content-Length: 5', 'Transfer-Encoding: chunked', 'Expect: 100-continue',
  'Upgrade: websocket', 'Connection: close', 'Connection: X-Job-Id', '__proto__: 1', '\0', '\x7f', '\xe9', '\t', ' ', '@', '/', '[::1]:443',
  'http://bank.example/', 'PRI * HTTP/2.0', '\x16\x03\x01', 'Proxy-Authorization: Basic NDI6eA==', ' X: folded',
] // prettier-ignore

function head(random: Random): string {
  const method = random.chance(0.9)
    ? 'CONNECT'
    : random.pick(['GET', 'connect', 'POST', 'TRACE', 'OPTIONS', ''])
  const target = random.pick([
    'bank.example:443', 'bank.example:443', 'BANK.example.:443', '192.0.2.1:443', '[2001:db8::1]:443', 'bank.example', ':443',
    'u:p@bank.example:443', 'bank.example:0443', 'bank.example:65979', 'http://bank.example/', '/v1/job', '*',
  ]) // prettier-ignore
  const version = random.chance(0.9)
    ? ' HTTP/1.1'
    : random.pick([' HTTP/1.0', ' HTTP/2.0', ' HTTP/1.2', '', '  HTTP/1.1'])
  const line = () =>
    random.pick([
      'Host: bank.example:443', 'User-Agent: curl', 'Proxy-Connection: Keep-Alive', 'X: \xe9', 'X-Job-Type: payment',
      'Content-Length: 0', 'Expect: 100-continue', 'Expect: tea', 'Upgrade: websocket', 'Z : z', ' folded', 'nocolon',
    ]) // prettier-ignore
  const end = random.chance(0.97) ? '\r\n' : random.pick(['\n', '\r', ''])
  const identity = random.chance(0.9) ? 'X-Job-Id: 42\r\n' : ''
  const empty = random.chance(0.05) ? '\r\n'.repeat(random.int(20)) : ''
  return `${empty}${method} ${target}${version}${end}${identity}${several(random, 3, () => `${line()}\r\n`)}\r\n`
}

/** Nobody here is slow, so this long without an answer is none. */
const silentMs = 10_000

let gateway: GatewayFixture
let upstream: ScriptedUpstream

export const heads: FuzzCase = {
  name: 'heads',
  words,
  make: (random) =>
    Buffer.from(
      head(random) + (random.chance(0.5) ? 'bytes of the tunnel\r\n\r\nGET / HTTP/1.1\r\n\r\n' : ''),
      'latin1',
    ),

  async start() {
    upstream = await startScriptedUpstream(({ socket }) => {
      socket.write(established)
      socket.pipe(socket)
    })
    gateway = await startGateway({
      upstreams: [upstream],
      resolve: 'upstream',
      settings: { headTimeoutMs: 60_000 },
    })
    return async () => {
      await gateway.stop()
      await upstream.stop()
    }
  },

  async run(input, random) {
    const headsBefore = upstream.heads.length
    const bytesBefore = upstream.bytesRead()
    const answer = await send(input, random)
    await until('the connection has gone', () => gateway.gateway.connections === 0, { everyMs: 1 })
    const asked = upstream.heads.slice(headsBefore)
    const strict = strictHead(input.toString('latin1'))
    if (!answer.startsWith('HTTP/1.1 200 Connection established\r\n')) {
      if (strict?.method === 'CONNECT' || asked.length === 0)
        return assertRefused(answer, upstream.bytesRead() - bytesBefore)
      // A plain request, which the echo cannot answer: it has its own tests.
      return 'a plain request'
    }
    assertTunnel(strict, input, asked)
    const echoed = answer.slice(answer.indexOf('\r\n\r\n') + 4)
    const early = input.toString('latin1', strict!.length)
    if (echoed !== early)
      throw new Error(`of ${early.length} bytes behind the head ${echoed.length} came back`)
    return `a tunnel, ${early.length > 0 ? 'with' : 'without'} early bytes`
  },
}

/** In up to three pieces, then the end. @returns all that comes back, as latin1 */
async function send(input: Buffer, random: Random): Promise<string> {
  const socket = await openSocket(gateway)
  socket.on('error', () => {})
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  const closed = new Promise((resolve) => socket.once('close', resolve))
  const cuts = [random.int(input.length + 1), random.int(input.length + 1)].sort((a, b) => a - b)
  for (const piece of [
    input.subarray(0, cuts[0]),
    input.subarray(cuts[0], cuts[1]),
    input.subarray(cuts[1]),
  ]) {
    if (piece.length === 0) continue
    socket.write(piece)
    await new Promise((resolve) => setImmediate(resolve))
  }
  await endBehind(socket, input)
  await closed
  return Buffer.concat(chunks).toString('latin1')
}

/** An end right behind a whole CONNECT would say that nobody waits for its answer. Others may wait for a body. */
async function endBehind(socket: Socket, input: Buffer): Promise<void> {
  const method = strictHead(input.toString('latin1'))?.method
  if (method !== undefined && socket.bytesRead === 0 && !socket.closed) {
    const patience = delay(method === 'CONNECT' ? silentMs : 20, 'silence', { ref: false })
    const first = await Promise.race([once(socket, 'data'), once(socket, 'close'), patience])
    if (first === 'silence' && method === 'CONNECT') throw new Error('a whole CONNECT got no answer')
  }
  socket.end()
}

function assertTunnel(strict: StrictHead | null, input: Buffer, asked: readonly string[]): void {
  const target = strict?.method === 'CONNECT' ? strictTarget(strict.target) : null
  if (strict === null || target === null)
    throw new Error(`a tunnel for what is strictly none: ${JSON.stringify(input.toString('latin1', 0, 200))}`)
  const [, authority = ''] = /^CONNECT (\S+) HTTP\/1\.1\r\nHost: \S+\r\n\r\n$/.exec(asked[0] ?? '') ?? []
  const dialled = strictTarget(authority)
  if (asked.length !== 1 || dialled?.host !== target.host || dialled.port !== target.port)
    throw new Error(`strictly to ${target.host} port ${target.port}, asked for ${JSON.stringify(asked)}`)
  const ids = strict.headers.filter(([name]) => name.toLowerCase() === 'x-job-id')
  if (ids.length > 1) throw new Error('a tunnel of two jobs')
}

function assertRefused(answer: string, bytes: number): string {
  if (bytes > 0)
    throw new Error(`${bytes} bytes to the upstream, and the answer ${JSON.stringify(answer.slice(0, 80))}`)
  if (answer === '') return 'closed'
  const answers = answer.match(/^HTTP\/1\.1 \d{3} .*\r$/gm) ?? []
  const isOurs = /^HTTP\/1\.1 (\d{3}) [^\r\n]*\r\n(?:[A-Za-z-]+: [\x20-\x7e]*\r\n)*\r\n/.test(answer)
  if (!isOurs || answers.length > 8)
    throw new Error(`an answer of no form: ${JSON.stringify(answer.slice(0, 200))}`)
  const detail = /"detail":"((?:[^"\\]|\\.)*)"/.exec(answer)?.[1] ?? ''
  return inFewWords(`${answer.slice(9, 12)} ${detail.replaceAll('\\"', '"')}`)
}
