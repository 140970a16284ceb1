// A small CONNECT proxy for machines without Tinyproxy, like it in what matters to a gateway: HTTP/1.0 200,
// 500 for every target that it cannot reach, and at `maxClients` it answers nobody new.
//
//   client ==CONNECT==> [ this ] --TCP, from localAddress--> target

import { connect, createServer, type Server, type Socket } from 'node:net'

export type ConnectProxy = {
  readonly port: number
  /** Being served now. */
  readonly clients: () => number
  readonly waiting: () => number
  /** Resets every connection and frees the port. */
  readonly close: () => Promise<void>
}

type Settings = {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  readonly maxClients: number
  readonly localAddress: string | null
}

const headLimit = 16_384
/** Tinyproxy's own default. */
const idleMs = 600_000
/** How long a refused client may take to read its answer and go. */
const lingerMs = 2000
/** What a kernel would hold for a program that does not accept (Tinyproxy's MAXLISTEN). */
const waitingLimit = 1024

/** @throws the error of listen(2), such as EADDRINUSE */
export async function startConnectProxy({
  host,
  port,
  maxClients,
  localAddress,
}: Settings): Promise<ConnectProxy> {
  const waiting: Socket[] = []
  const open = new Set<Socket>()
  let clients = 0

  function serveNext(): void {
    while (clients < maxClients) {
      const client = waiting.shift()
      if (!client) return
      if (client.destroyed) continue
      clients += 1
      client.once('close', () => {
        clients -= 1
        serveNext()
      })
      serve(client, localAddress, open)
    }
  }

  const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (client) => {
    track(client, open)
    if (waiting.length >= waitingLimit) return void client.resetAndDestroy()
    waiting.push(client)
    serveNext()
  })
  return {
    port: await listen(server, host, port),
    clients: () => clients,
    waiting: () => waiting.length,
    close: () => close(server, open),
  }
}

function serve(client: Socket, localAddress: string | null, open: Set<Socket>): void {
  readHead(client, (head) => {
    const request = parseRequest(head)
    if ('refused' in request) return refuse(client, request.refused)
    const from = localAddress === null ? {} : { localAddress }
    const target = connect({ ...request, ...from, allowHalfOpen: true, noDelay: true })
    track(target, open)
    const onFailure = () => refuse(client, '500 Unable to connect')
    const onClientGone = () => target.destroy()
    target.once('error', onFailure)
    client.once('close', onClientGone)
    target.once('connect', () => {
      target.off('error', onFailure)
      client.off('close', onClientGone)
      client.write('HTTP/1.0 200 Connection established\r\n\r\n')
      join(client, target)
    })
  })
}

function parseRequest(head: string): { host: string; port: number } | { refused: string } {
  if (!head.startsWith('CONNECT ')) return { refused: '501 Not Implemented' }
  const match = /^CONNECT (?:\[([0-9A-Fa-f:.]+)\]|([^\s:[\]/@]+)):(\d{1,5}) HTTP\/1\.[01]\r\n/.exec(head)
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  if (host === undefined || port < 1 || port > 65535) return { refused: '400 Bad Request' }
  return { host, port }
}

/** Bytes behind the head stay on the socket, which is paused then. */
function readHead(client: Socket, onHead: (head: string) => void): void {
  let bytes = Buffer.alloc(0)
  const onData = (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk])
    const end = bytes.indexOf('\r\n\r\n')
    if (end === -1 && bytes.length <= headLimit) return
    client.off('data', onData).off('end', onEnd).pause()
    if (end === -1) return refuse(client, '400 Bad Request')
    if (bytes.length > end + 4) client.unshift(bytes.subarray(end + 4))
    onHead(bytes.toString('latin1', 0, end + 4))
  }
  const onEnd = () => client.destroy()
  client.on('data', onData).on('end', onEnd).resume()
}

/** Each half ends when the other side's half does; a reset is passed on as a reset. */
function join(a: Socket, b: Socket): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.pipe(to)
    from.once('close', () => {
      if (!from.readableEnded || !from.writableFinished) to.resetAndDestroy()
    })
  }
}

function refuse(client: Socket, status: string): void {
  const body = `<html><body><h1>${status}</h1></body></html>\n`
  client.end(
    `HTTP/1.1 ${status}\r\nContent-Type: text/html\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
  )
  client.setTimeout(lingerMs)
  client.resume()
}

function track(socket: Socket, open: Set<Socket>): void {
  open.add(socket)
  socket.setTimeout(idleMs, () => socket.destroy())
  socket.on('error', () => socket.destroy())
  socket.once('close', () => open.delete(socket))
}

function listen(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port, backlog: waitingLimit }, () => {
      server.off('error', reject).on('error', () => {})
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? address.port : port)
    })
  })
}

function close(server: Server, open: ReadonlySet<Socket>): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    for (const socket of open) socket.resetAndDestroy()
  })
}
