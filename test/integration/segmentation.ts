// Property p4 (hostile inputs, section 4): however a client's bytes are cut, the same comes of them. Through our listener and
// the parser of node:http, on streams in memory: on sockets it would take minutes.
//
// What is compared: each request that was handed on, with what was read of it, and all that was answered. A CONNECT is
// the last of its connection here; that a challenged one may be followed by another depends on time, by design (D1).

import { setImmediate as nextTurn } from 'node:timers/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import t from 'tap'
import { makeEvents } from '../../src/events.ts'
import { isGatewayError } from '../../src/errors.ts'
import { checkHead } from '../../src/gateway/head.ts'
import { makeGatewayServer } from '../../src/gateway/server.ts'
import { readIdentity } from '../../src/routing/job.ts'
import { formatTarget, parseAuthority, parseHttpUrl } from '../../src/routing/target.ts'
import { connectReplies } from '../fuzz/connect-replies.ts'
import { heads } from '../fuzz/heads.ts'
import { mutate } from '../fuzz/mutate.ts'
import { makeRandom, type Random } from '../fuzz/random.ts'

const inputs = 100_000
const atOnce = 500
const headBytes = 16_384
/** Most inputs end in an error, whose stack would be a quarter of the time. */
Error.stackTraceLimit = 1

/** A connection in memory, and the tale of what came of it. */
class Connection extends Duplex {
  readonly remoteAddress = '127.0.0.1'
  readonly tale: string[] = []
  #answered = ''

  constructor() {
    super({ allowHalfOpen: true })
    connections.set(this, this)
  }

  override _read(): void {}

  override _write(chunk: Buffer, _: string, done: () => void): void {
    this.#answered += chunk.toString('latin1')
    done()
  }

  resetAndDestroy(): void {
    this.tale.push('reset')
    this.destroy()
  }

  told(): string {
    const answered = this.#answered.replace(/^Date: .*\r\n/gm, '').replaceAll(/"requestId":"\d+"/g, '')
    return `${this.tale.join('\n')}\n${answered}`
  }
}

const connections = new WeakMap<object, Connection>()

function taleOf(socket: Socket): string[] {
  return connections.get(socket)!.tale
}

/** What is known of a request once its head was read. */
function read(req: IncomingMessage): string {
  try {
    checkHead(req, { maxLines: 100 })
    const { job } = readIdentity(req.rawHeaders, { tokens: [], tokenRequired: false })
    const target =
      req.method === 'CONNECT' ? parseAuthority(req.url ?? '') : parseHttpUrl(req.url ?? '').target
    return `${req.method} ${formatTarget(target)} ${JSON.stringify(job)}`
  } catch (error) {
    if (!isGatewayError(error)) throw error
    return `${req.method} ${error.status} ${error.fields.detail}`
  }
}

async function onSocket(req: IncomingMessage, socket: Socket, head: Buffer): Promise<void> {
  const tale = taleOf(socket)
  tale.push(read(req), head.toString('latin1'))
  socket.write('taken over')
  socket.on('data', (chunk: Buffer) => tale.push(`${tale.pop()}${chunk.toString('latin1')}`))
}

/** Answered once its body is there: an answer before would race with what is wrong with the body. */
async function onResponse(req: IncomingMessage, res: ServerResponse): Promise<void> {
  const tale = taleOf(req.socket)
  tale.push(read(req))
  let body = ''
  req.on('data', (chunk: Buffer) => (body += chunk.toString('latin1')))
  req.on('error', () => {})
  req.on('end', () => {
    tale.push(body)
    res.end('done')
  })
}

/** All of one length, which answers tell. */
let requests = 1e9
const server = makeGatewayServer({
  limits: {
    headTimeoutMs: 60_000,
    headBytes,
    keepAliveMs: 60_000,
    maxConnections: 10_000,
    connectionsPerSource: 10_000,
    headsPerSource: 10_000,
  },
  sources: { allows: () => true, summary: '' },
  memory: { isShort: false },
  tls: null,
  connect: onSocket,
  upgrade: onSocket,
  forward: onResponse,
  jobApi: onResponse,
  story: { newId: () => String(++requests), refusedUnread: () => String(++requests) },
  events: makeEvents(),
})

function open(): Connection {
  const connection = new Connection()
  server.keepReading(connection as unknown as Socket)
  return connection
}

function say(connection: Connection, piece: Buffer): void {
  if (!connection.destroyed) connection.push(piece)
}

/** All pieces within a turn of the loop, or one in each turn, so that what came before may be answered already. */
async function sayInPieces(
  conversations: readonly { inPieces: Connection; pieces: readonly Buffer[]; paced: boolean }[],
): Promise<void> {
  for (const { inPieces, pieces, paced } of conversations)
    if (!paced) for (const piece of pieces) say(inPieces, piece)
  let left = conversations.filter(({ paced }) => paced)
  for (let at = 0; left.length > 0; at++) {
    for (const { inPieces, pieces } of left) say(inPieces, pieces[at]!)
    await nextTurn()
    left = left.filter(({ pieces }) => pieces.length > at + 1)
  }
}

function cut(input: Buffer, random: Random): Buffer[] {
  if (random.chance(0.02)) return Array.from(input, (byte) => Buffer.of(byte))
  const cuts = Array.from({ length: 1 + random.int(4) }, () => random.int(input.length + 1)).sort(
    (a, b) => a - b,
  )
  return [0, ...cuts]
    .map((from, index) => input.subarray(from, cuts[index]))
    .filter(({ length }) => length > 0)
}

function make(random: Random): Buffer {
  const input = Buffer.concat(Array.from({ length: 1 + random.int(2) }, () => heads.make(random)))
  return random.chance(0.6) ? mutate(input, random, heads.words) : input
}

t.test(`${inputs} inputs, cut anywhere, tell what they tell whole`, async (t) => {
  const seed = Math.floor(Math.random() * 2 ** 32)
  const random = makeRandom(seed)
  const kinds = new Map<string, number>()
  let failed = 0
  for (let done = 0; done < inputs && failed === 0; done += atOnce) {
    const batch = Array.from({ length: atOnce }, () => {
      const input = make(random)
      const pieces = cut(input, random)
      const whole = open()
      say(whole, input)
      return { input, pieces, whole, inPieces: open(), paced: random.chance(0.5) }
    })
    await sayInPieces(batch)
    for (let turn = 0; turn < 6; turn++) await nextTurn()
    for (const { input, pieces, whole, inPieces } of batch) {
      const [one, other] = [whole.told(), inPieces.told()]
      kinds.set(kindOf(one), (kinds.get(kindOf(one)) ?? 0) + 1)
      if (one !== other && failed++ === 0)
        t.equal(other, one, `seed ${seed}: ${JSON.stringify(pieces.map(String))} of ${input.length} bytes`)
      whole.destroy()
      inPieces.destroy()
    }
  }
  t.equal(failed, 0)
  t.ok(kinds.size > 10)
  await nextTurn()
  t.equal(server.connections, 0, 'nothing is left')
})

t.test(`${inputs} replies of upstreams, cut anywhere, say what they say whole`, async (t) => {
  const seed = Math.floor(Math.random() * 2 ** 32)
  const random = makeRandom(seed)
  const kinds = new Set<string>()
  for (let done = 0; done < inputs; done++) {
    const input = connectReplies.make(random)
    const changed = random.chance(0.6) ? mutate(input, random, connectReplies.words) : input
    try {
      kinds.add(await connectReplies.run(changed, random))
    } catch (error) {
      return void t.fail(`seed ${seed}: ${JSON.stringify(changed.toString('latin1'))}`, { error })
    }
  }
  t.ok(kinds.size > 5)
})

function kindOf(tale: string): string {
  return (
    tale
      .match(/^(CONNECT|GET|POST|OPTIONS|TRACE) \S+|HTTP\/1.1 \d+/gm)
      ?.slice(0, 3)
      .join(', ') ?? 'nothing'
  )
}
