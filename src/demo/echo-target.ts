// The demo's "bank": an HTTPS server on loopback that answers with the address it was called from.

import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { cert, key } from './certificate.ts'

export type EchoTarget = { readonly authority: string; close(): void }

export function startEchoTarget(): Promise<EchoTarget> {
  const server = createServer({ key, cert }, (req, res) => {
    res.end(JSON.stringify({ address: req.socket.remoteAddress }))
  })
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      resolve({
        authority: `127.0.0.1:${port}`,
        close() {
          server.closeAllConnections()
          server.close()
        },
      })
    })
  })
}
