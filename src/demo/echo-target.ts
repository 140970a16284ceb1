// The demo's "bank": an HTTPS server on loopback that answers with the address it was called from, once, or again and
// again for as long as it is asked to (/stream/<ms>), so that a tunnel is held. And a page that tells probes the same.

import { createServer as createHttpServer, type ServerResponse } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo, Server } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { cert, key } from './certificate.ts'

export type EchoTarget = { readonly authority: string; close(): void }

const streamEveryMs = 250

export async function startEchoTarget(): Promise<EchoTarget> {
  const server = createHttpsServer({ key, cert }, (req, res) => {
    const said = `${JSON.stringify({ address: req.socket.remoteAddress })}\n`
    const [, forMs] = /^\/stream\/(\d{1,6})$/.exec(req.url ?? '') ?? []
    if (forMs === undefined) res.end(said)
    else void stream(res, said, Number(forMs))
  })
  return { authority: await listen(server), close: () => close(server) }
}

/** For `probes.url`. @param answersAfterMs  as far away as that */
export async function startIpPage(answersAfterMs: number): Promise<{ readonly url: string; close(): void }> {
  const server = createHttpServer((req, res) => {
    setTimeout(() => res.end(req.socket.remoteAddress), answersAfterMs)
  })
  return { url: `http://${await listen(server)}/ip`, close: () => close(server) }
}

async function stream(res: ServerResponse, said: string, forMs: number): Promise<void> {
  const untilMs = performance.now() + forMs
  while (!res.destroyed && performance.now() < untilMs) {
    res.write(said)
    await delay(streamEveryMs)
  }
  res.end()
}

/** On a free port of loopback. @returns `host:port` */
function listen(server: Server): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => resolve(`127.0.0.1:${(server.address() as AddressInfo).port}`))
  })
}

function close(server: Server & { closeAllConnections(): void }): void {
  server.closeAllConnections()
  server.close()
}
