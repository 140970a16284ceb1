// What a job's container does: CONNECT through the proxy with the job in the proxy's credentials, TLS to the
// target inside the tunnel, one request, close.

import { request } from 'node:http'
import { get } from 'node:https'
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { cert } from './certificate.ts'

export type Seen = {
  /** The upstream that the gateway names in its 200. */
  readonly upstream: string
  /** The address that the target was called from. */
  readonly address: string
}

export type JobRequest = {
  readonly gatewayPort: number
  /** `job=demo-1,type=payment,institution=bank-a` */
  readonly user: string
  /** `host:port` */
  readonly target: string
}

/** @throws where the gateway does not open the tunnel: its status and its words */
export async function fetchAddress(job: JobRequest): Promise<Seen> {
  const { socket, answer } = await openTunnel(job)
  try {
    const { address } = JSON.parse(await getOver(socket, job.target)) as { address: string }
    return { upstream: String(answer.headers['x-upstream-id']), address }
  } finally {
    socket.destroy()
  }
}

function openTunnel({
  gatewayPort,
  user,
  target,
}: JobRequest): Promise<{ socket: Socket; answer: IncomingMessage }> {
  return new Promise((resolve, reject) => {
    const connect = request({
      host: '127.0.0.1',
      port: gatewayPort,
      method: 'CONNECT',
      path: target,
      headers: { 'Proxy-Authorization': `Basic ${Buffer.from(`${user}:x`).toString('base64')}` },
    })
    connect.once('error', reject)
    connect.once('connect', (answer: IncomingMessage, socket: Socket, head: Buffer) => {
      if (answer.statusCode === 200) return resolve({ socket, answer })
      socket.destroy()
      reject(
        new Error(
          `the gateway answered ${answer.statusCode} ${answer.headers['proxy-status'] ?? ''} ${head}`,
        ),
      )
    })
    connect.end()
  })
}

function getOver(socket: Socket, target: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const outgoing = get(
      { socket, agent: false, host: target, servername: 'localhost', ca: cert, path: '/' } as never,
      (answer) => {
        let text = ''
        answer.setEncoding('utf8')
        answer.on('data', (chunk: string) => (text += chunk))
        answer.once('end', () => resolve(text))
        answer.once('error', reject)
      },
    )
    outgoing.once('error', reject)
  })
}
