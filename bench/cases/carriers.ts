// Which way should a plain request be carried inside its tunnel? The gateway's own code (src/gateway/forward.ts, on
// http-proxy-3) against node:http by hand, each on a fresh socket per request, as `dial` hands it over.
// Asked of each: CPU per request, sockets left after clients have gone, memory while a large body streams.

import { once } from 'node:events'
import { Agent, createServer, get, request } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { pipeline } from 'node:stream/promises'
import { Readable, Writable } from 'node:stream'
import type { BenchCase, Figure } from '../fixtures/case.ts'
import { startChild, type Child } from '../fixtures/child.ts'
import { contest, contestFigures } from '../fixtures/contest.ts'
import { repeat, type Load } from '../fixtures/load.ts'
import type { Scope } from '../fixtures/scope.ts'
import { until } from '../../test/fixtures/until.ts'

const settings = { connections: 32, answerBytes: 200, abortedClients: 50, streamedMb: 256 } as const
const names = ['http-proxy-3 (ours)', 'node:http by hand'] as const
/** Sockets still open so long after their clients have gone are leaked. */
const leakedAfterMs = 500

type Carrier = {
  readonly name: string
  readonly port: number
  readonly child: Child<{ port: number }>
}
type Origin = { readonly url: string; readonly open: () => number }

const block = Buffer.alloc(65_536, 'x')
const streamedBytes = settings.streamedMb * 1_000_000

export const carriers: BenchCase = {
  name: 'carriers',
  question: 'Which way should a plain request be carried inside its tunnel?',
  settings,

  async run(options) {
    const { scope } = options
    const origin = await startOrigin(scope)
    const carriers = await Promise.all(names.map((name) => startCarrier(scope, name)))
    const rounds = await contest(
      carriers.map((carrier) => ({
        name: carrier.name,
        processes: { carrier: carrier.child.pid },
        load: (seconds) => load(carrier, origin.url, seconds),
      })),
      options,
    )
    const figures = contestFigures(rounds, {
      operation: 'request',
      operations: 'requests',
      latency: 'answer',
    })
    for (const carrier of carriers) figures.push(...(await finish(carrier, origin)))
    return figures
  },
}

/** What is asked once of each, after the rounds. */
async function finish(carrier: Carrier, origin: Origin): Promise<Figure[]> {
  await abort(carrier, origin.url)
  const left = await leaked(origin)
  const grownMb = await stream(carrier, origin.url)
  return [
    { name: `${carrier.name}: left after aborts`, unit: 'sockets', better: 'less', values: [left] },
    { name: `${carrier.name}: peak while streaming`, unit: 'MB more', better: 'less', values: [grownMb] },
  ]
}

async function startOrigin(scope: Scope): Promise<Origin> {
  const server = createServer((req, res) => {
    const bytes = Number(new URL(req.url!, 'http://origin').searchParams.get('bytes') ?? settings.answerBytes)
    req.resume()
    req.once('end', () => void pipeline(Readable.from(blocks(bytes)), res).catch(() => res.destroy()))
  })
  let open = 0
  server.on('connection', (socket) => {
    open += 1
    socket.once('close', () => (open -= 1))
  })
  server.listen(0, '127.0.0.1')
  scope.defer(() => void server.close().closeAllConnections())
  await once(server, 'listening')
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, open: () => open }
}

function* blocks(bytes: number): Generator<Buffer> {
  for (let left = bytes; left > 0; left -= block.length)
    yield left < block.length ? block.subarray(0, left) : block
}

async function startCarrier(scope: Scope, name: string): Promise<Carrier> {
  const program = new URL('../fixtures/carrier-process.ts', import.meta.url)
  const child = await startChild<{ port: number }>(scope, program, [name])
  return { name, port: child.ready.port, child }
}

/** In MB. */
function peakOf({ child }: Carrier): Promise<number> {
  return child.ask<number>('peakMb')
}

function options({ port }: Carrier, url: string, agent: Agent | false) {
  return { host: '127.0.0.1', port, path: url, headers: { host: new URL(url).host }, agent }
}

function fetchOnce(carrier: Carrier, url: string, agent: Agent): Promise<void> {
  return new Promise((resolve, reject) => {
    get(options(carrier, url, agent), (answer) => {
      if (answer.statusCode !== 200) reject(new Error(`answered ${answer.statusCode}`))
      answer.resume().once('end', resolve).once('error', reject)
    }).once('error', reject)
  })
}

async function load(carrier: Carrier, url: string, seconds: number): Promise<Load> {
  const agent = new Agent({ keepAlive: true, maxSockets: settings.connections })
  const report = await repeat({ seconds, inFlight: settings.connections }, () =>
    fetchOnce(carrier, url, agent),
  )
  agent.destroy()
  return report
}

/** Clients that leave after the first bytes of a long answer. */
async function abort(carrier: Carrier, url: string): Promise<void> {
  for (let index = 0; index < settings.abortedClients; index++) {
    const socket = connect(carrier.port, '127.0.0.1')
    socket.write(`GET ${url}?bytes=50000000 HTTP/1.1\r\nHost: ${new URL(url).host}\r\n\r\n`)
    await once(socket, 'data')
    socket.destroy()
  }
}

async function leaked({ open }: Origin): Promise<number> {
  await until('no socket is left', () => open() === 0, { withinMs: leakedAfterMs }).catch(() => undefined)
  return open()
}

/** @returns how much the peak of its memory rose, in MB */
async function stream(carrier: Carrier, url: string): Promise<number> {
  const before = await peakOf(carrier)
  const slow = () =>
    new Writable({ highWaterMark: 65_536, write: (_chunk, _encoding, done) => void setImmediate(done) })
  const down = get(options(carrier, `${url}?bytes=${streamedBytes}`, false))
  const [answer] = (await once(down, 'response')) as [Readable]
  await pipeline(answer, slow())
  const up = request({ ...options(carrier, url, false), method: 'POST' })
  const answered = once(up, 'response')
  await pipeline(Readable.from(blocks(streamedBytes)), up)
  ;((await answered)[0] as Readable).resume()
  return (await peakOf(carrier)) - before
}
