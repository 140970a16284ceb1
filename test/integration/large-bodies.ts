// A gibibyte each way, through a tunnel and through plain HTTP: every byte arrives, and memory stays flat.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import t, { type Test } from 'tap'
import { startBehindTinyproxy } from '../fixtures/behind-tinyproxy.ts'
import type { Lanekeeper } from '../fixtures/processes.ts'
import { pseudoRandomBlocks, pseudoRandomSha256 } from '../fixtures/pseudo-random.ts'
import { basic, connectThrough } from '../fixtures/raw-client.ts'
import { startTarget, type HttpTarget } from '../fixtures/target.ts'

const size = 1024 ** 3
/** A process that held the body would grow by a gibibyte; buffers, JIT and garbage between collections are far below. */
const growthAllowed = 200 * 1024 ** 2

t.setTimeout(180_000)

const expected = pseudoRandomSha256(size)

async function startAll(t: Test): Promise<{ gateway: Lanekeeper; target: HttpTarget }> {
  const target = await startTarget()
  t.teardown(target.close)
  const { gateway } = await startBehindTinyproxy(t)
  return { gateway, target }
}

function peakMemory({ pid }: Lanekeeper): number {
  const kilobytes = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kilobytes) * 1024
}

function hashing(): { sink: Writable; digest: () => string } {
  const hash = createHash('sha256')
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      hash.update(chunk)
      done()
    },
  })
  return { sink, digest: () => hash.digest('hex') }
}

type Exchange = { readonly path: string; readonly method: string; readonly body: Readable | null }

/** One request, over a tunnel or as plain HTTP; answers the answer. */
type Road = (exchange: Exchange) => Promise<IncomingMessage>

function send(options: object, body: Readable | null): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(options, resolve)
    // The fixture hands its sockets over paused.
    outgoing.once('socket', (socket) => socket.resume())
    outgoing.on('error', reject)
    if (body) pipeline(body, outgoing).catch(reject)
    else outgoing.end()
  })
}

function tunnelRoad(gateway: Lanekeeper, target: HttpTarget): Road {
  return async ({ path, method, body }) => {
    const userinfo = 'job=big:x'
    const authority = `127.0.0.1:${target.port}`
    const { socket } = await connectThrough({
      gatewayPort: gateway.gatewayPort!,
      target: authority,
      userinfo,
    })
    const headers = body ? { 'content-length': size } : {}
    return send({ createConnection: (): Socket => socket, path, method, headers, host: '127.0.0.1' }, body)
  }
}

function plainRoad(gateway: Lanekeeper, target: HttpTarget): Road {
  return ({ path, method, body }) => {
    const headers = {
      host: `127.0.0.1:${target.port}`,
      'proxy-authorization': basic('job=big:x'),
      ...(body ? { 'content-length': size } : {}),
    }
    return send(
      {
        host: '127.0.0.1',
        port: gateway.gatewayPort,
        path: `${target.origin}${path}`,
        method,
        headers,
        agent: false,
      },
      body,
    )
  }
}

for (const [name, makeRoad] of Object.entries({ 'a tunnel': tunnelRoad, 'plain HTTP': plainRoad })) {
  t.test(`1 GiB goes through ${name} both ways, byte-exact, with memory flat`, async (t) => {
    const { gateway, target } = await startAll(t)
    const road = makeRoad(gateway, target)
    const before = peakMemory(gateway)

    const down = await road({ path: `/bytes?n=${size}`, method: 'GET', body: null })
    const received = hashing()
    await pipeline(down, received.sink)
    t.equal(received.digest(), expected, 'what the target sent arrived whole')

    const up = await road({ path: '/upload', method: 'POST', body: Readable.from(pseudoRandomBlocks(size)) })
    const seen = JSON.parse(Buffer.concat(await up.toArray()).toString()) as { bytes: number; sha256: string }
    t.equal(seen.bytes, size)
    t.equal(seen.sha256, expected, 'what the client sent arrived whole')

    t.ok(
      peakMemory(gateway) - before < growthAllowed,
      `the gateway grew by ${Math.round((peakMemory(gateway) - before) / 1e6)} MB`,
    )
  })
}
