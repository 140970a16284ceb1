// What a job's container does: CONNECT through the proxy with the job in the proxy's credentials, TLS to the target
// inside the tunnel, one request, close; and at the end it releases its pin.

import { request, type IncomingMessage } from 'node:http'
import { get } from 'node:https'
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
  /** `/` unless told. */
  readonly path?: string
  /** Hears of the upstream as soon as the tunnel stands. */
  readonly opened?: (upstream: string) => void
  readonly signal?: AbortSignal
}

/** The gateway has refused a tunnel. */
export class Refusal extends Error {
  /** Stable: `pin_lost`. Where an answer names none, its status. */
  readonly code: string

  constructor({ statusCode = 0, headers }: IncomingMessage, said: string) {
    const proxyStatus = String(headers['proxy-status'] ?? '')
    super(`the gateway answered ${statusCode} ${proxyStatus} ${said}`)
    this.code = /\bdetails="([a-z_]+)"/.exec(proxyStatus)?.[1] ?? String(statusCode)
  }
}

/** A tunnel that says nothing for so long is given up. */
const silentMs = 10_000

/** @throws Refusal where the gateway opens no tunnel; Error where a connection breaks; the signal's reason */
export async function fetchAddress(job: JobRequest): Promise<Seen> {
  const { target, path = '/', signal } = job
  const { socket, upstream } = await openTunnel(job)
  const abort = () => socket.destroy()
  signal?.addEventListener('abort', abort)
  try {
    signal?.throwIfAborted()
    job.opened?.(upstream)
    const [first = ''] = (await getOver(socket, target, path)).split('\n')
    const { address } = JSON.parse(first) as { address: string }
    return { upstream, address }
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  } finally {
    signal?.removeEventListener('abort', abort)
    socket.destroy()
  }
}

/** Says to the gateway that the job is over. @throws Error where it does not take that */
export async function releaseJob({
  gatewayPort,
  user,
}: Pick<JobRequest, 'gatewayPort' | 'user'>): Promise<void> {
  const answer = await fetch(`http://127.0.0.1:${gatewayPort}/v1/job`, {
    method: 'DELETE',
    headers: { Authorization: basic(user) },
    signal: AbortSignal.timeout(silentMs),
  })
  await answer.arrayBuffer()
  if (!answer.ok) throw new Error(`the gateway answered ${answer.status} to the release of a job`)
}

function openTunnel({ gatewayPort, user, target, signal }: JobRequest) {
  return new Promise<{ socket: Socket; upstream: string }>((resolve, reject) => {
    const connect = request({
      host: '127.0.0.1',
      port: gatewayPort,
      method: 'CONNECT',
      path: target,
      headers: { 'Proxy-Authorization': basic(user) },
      timeout: silentMs,
      ...(signal && { signal }),
    })
    connect.on('error', reject)
    connect.once('timeout', () => connect.destroy(silent()))
    connect.once('connect', (answer: IncomingMessage, socket: Socket, head: Buffer) => {
      socket.on('error', ignore)
      if (answer.statusCode === 200)
        return resolve({ socket, upstream: String(answer.headers['x-upstream-id']) })
      socket.destroy()
      reject(new Refusal(answer, String(head)))
    })
    connect.end()
  })
}

function getOver(socket: Socket, target: string, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const outgoing = get(
      { socket, agent: false, host: target, servername: 'localhost', ca: cert, path } as never,
      (answer) => {
        let text = ''
        answer.setEncoding('utf8')
        answer.on('data', (chunk: string) => (text += chunk))
        answer.once('end', () => resolve(text))
        answer.on('error', reject)
      },
    )
    outgoing.on('error', reject)
    outgoing.setTimeout(silentMs, () => outgoing.destroy(silent()))
  })
}

function basic(user: string): string {
  return `Basic ${Buffer.from(`${user}:x`).toString('base64')}`
}

function silent(): Error {
  return new Error(`nothing came for ${silentMs / 1000} s`)
}

function ignore(): void {}
