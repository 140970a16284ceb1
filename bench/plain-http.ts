// Which way should a plain request be carried inside its tunnel? The gateway's own code (src/gateway/forward.ts, on
// http-proxy-3) against node:http by hand, each on a fresh socket per request, as `dial` hands it over.
// Asked of each: CPU per request, sockets left after clients have gone, memory while a large body streams.
//
// npm run bench      Rounds are interleaved, since machines are shared; the median counts, the spread is shown.

import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { Agent, createServer, get, request } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { pipeline } from 'node:stream/promises'
import { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { Reading } from './plain-http/carrier.ts'

const contenders = ['http-proxy-3 (ours)', 'node:http by hand'] as const
const rounds = 5
const requestsPerRound = 4000
const connections = 32
const abortedClients = 50
const streamedBytes = 512 * 1024 ** 2

type Carrier = { readonly name: string; readonly child: ChildProcess; readonly port: number }
type Row = { readonly cpuUs: number[]; leaked: number; grownMb: number }

const block = Buffer.alloc(65_536, 'x')

function startOrigin(): Promise<{ port: number; open: () => number; close: () => void }> {
  const server = createServer((req, res) => {
    const bytes = Number(new URL(req.url!, 'http://origin').searchParams.get('bytes') ?? 200)
    req.resume()
    req.once('end', () => void pipeline(Readable.from(blocks(bytes)), res).catch(() => res.destroy()))
  })
  let open = 0
  server.on('connection', (socket) => {
    open += 1
    socket.once('close', () => (open -= 1))
  })
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      resolve({ port, open: () => open, close: () => void server.close().closeAllConnections() })
    })
  })
}

function* blocks(bytes: number): Generator<Buffer> {
  for (let left = bytes; left > 0; left -= block.length)
    yield left < block.length ? block.subarray(0, left) : block
}

async function startCarrier(name: string): Promise<Carrier> {
  const child = fork(fileURLToPath(new URL('./plain-http/carrier.ts', import.meta.url)), [name])
  const [{ port }] = (await once(child, 'message')) as [{ port: number }]
  return { name, child, port }
}

async function read({ child }: Carrier): Promise<Reading> {
  child.send('read')
  return ((await once(child, 'message')) as [Reading])[0]
}

function options({ port }: Carrier, url: string, agent: Agent | false) {
  return { host: '127.0.0.1', port, path: url, headers: { host: new URL(url).host }, agent }
}

function fetchOnce(carrier: Carrier, url: string, agent: Agent): Promise<void> {
  return new Promise((resolve, reject) => {
    get(options(carrier, url, agent), (answer) => answer.resume().once('end', resolve)).once('error', reject)
  })
}

async function load(carrier: Carrier, url: string): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  const before = await read(carrier)
  await Promise.all(
    Array.from({ length: connections }, async () => {
      for (let done = 0; done < requestsPerRound / connections; done++) await fetchOnce(carrier, url, agent)
    }),
  )
  const after = await read(carrier)
  agent.destroy()
  return (after.cpuUs - before.cpuUs) / requestsPerRound
}

/** Clients that leave after the first bytes of a long answer. */
async function abort(carrier: Carrier, url: string): Promise<void> {
  for (let index = 0; index < abortedClients; index++) {
    const socket = connect(carrier.port, '127.0.0.1')
    socket.write(`GET ${url}?bytes=50000000 HTTP/1.1\r\nHost: ${new URL(url).host}\r\n\r\n`)
    await once(socket, 'data')
    socket.destroy()
  }
}

async function stream(carrier: Carrier, url: string): Promise<number> {
  const before = (await read(carrier)).peakMb
  const slow = () =>
    new Writable({ highWaterMark: 65_536, write: (_chunk, _encoding, done) => void setImmediate(done) })
  const down = get(options(carrier, `${url}?bytes=${streamedBytes}`, false))
  const [answer] = (await once(down, 'response')) as [Readable]
  await pipeline(answer, slow())
  const up = request({ ...options(carrier, url, false), method: 'POST' })
  const answered = once(up, 'response')
  await pipeline(Readable.from(blocks(streamedBytes)), up)
  ;((await answered)[0] as Readable).resume()
  return (await read(carrier)).peakMb - before
}

const origin = await startOrigin()
const url = `http://127.0.0.1:${origin.port}/`
const carriers = await Promise.all(contenders.map(startCarrier))
const rows = new Map<string, Row>(contenders.map((name) => [name, { cpuUs: [], leaked: 0, grownMb: 0 }]))

for (const carrier of carriers) await load(carrier, url)
for (let round = 0; round < rounds; round++) {
  for (const carrier of carriers) rows.get(carrier.name)!.cpuUs.push(await load(carrier, url))
}
for (const carrier of carriers) {
  await abort(carrier, url)
  await new Promise((resolve) => setTimeout(resolve, 500))
  rows.get(carrier.name)!.leaked = origin.open()
  rows.get(carrier.name)!.grownMb = await stream(carrier, url)
}
for (const { child } of carriers) child.kill()
origin.close()

console.log(
  `Node ${process.version}, ${requestsPerRound} GETs of 200 B a round, ${connections} connections, a fresh socket for each request`,
)
for (const [name, { cpuUs, leaked, grownMb }] of rows) {
  const sorted = cpuUs.toSorted((a, b) => a - b).map(Math.round)
  console.log(
    `${name.padEnd(20)} CPU per request ${sorted[Math.floor(rounds / 2)]} us (${sorted[0]} to ${sorted.at(-1)}), ` +
      `${leaked} of ${abortedClients} sockets left after aborts, peak memory +${grownMb} MB over 2 x 512 MiB`,
  )
}
