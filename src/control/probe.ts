// Can this upstream carry a CONNECT? Asked from outside, as a job would, and thrown away at once.
//
//   with a URL   us --CONNECT--> upstream --> the URL's server; 2xx is good, and the page may tell the egress IP
//   without      us --CONNECT 127.0.0.1:1--> upstream: that it cannot is good to hear, since nobody can open that
//
// undici speaks to the URL over a tunnel of ours: its ProxyAgent tells answers to CONNECT apart by message only, and
// keeps sockets of its own.

import { once } from 'node:events'
import { isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { Client } from 'undici'
import { startDeadline } from '../deadline.ts'
import { egressIpIn } from './egress-ip.ts'
import { askToConnect, ProbeProblem, problemWith, type Probed } from './probe-tunnel.ts'

export type { Probed } from './probe-tunnel.ts'

export type ProbeResult =
  | {
      readonly ok: true
      readonly ms: number
      /** Under which the world sees it, in its one spelling; null where the probe cannot tell. */
      readonly egressIp: string | null
    }
  | {
      readonly ok: false
      readonly ms: number
      /** For people. */
      readonly problem: string
      /** This process was at fault: it says nothing of the upstream, neither good nor bad. */
      readonly isOurs?: boolean
    }

/** Never throws but the signal's reason, once aborted. */
export type Probe = (upstream: Probed, signal: AbortSignal) => Promise<ProbeResult>

type Parts = {
  /** Trusted. Null: no target is bothered. */
  readonly url: string | null
  /** For all of it. */
  readonly timeoutMs: number
  /** `user:password`; null where the upstream asks for none. */
  readonly credentialsOf: (upstream: Probed) => string | null
  /** Monotonic. */
  readonly now: () => number
  /** Authorities for an https URL, PEM; the runtime's own unless told. */
  readonly ca?: string
}

/** A port that no upstream can reach, and none should. */
const nowhere = '127.0.0.1:1'
/** Of a page; what is longer tells no address. */
const bodyBytes = 65_536
const lookEveryMs = 250
/** A process that stood still for longer saw nothing meanwhile, and its own time limits are no evidence. */
const stallMs = 1000
const lateMs = 2000

/** @param parts  its URL and time limit are read at each probe: a reload may change them */
export function makeProbe(parts: Parts): Probe {
  const { credentialsOf, now, ca } = parts

  async function egressIpThrough(upstream: Probed, signal: AbortSignal): Promise<string | null> {
    const { host, port } = upstream
    const page = parts.url === null ? null : new URL(parts.url)
    const authority = page ? authorityOf(page) : nowhere
    const asked = { host, port, authority, credentials: credentialsOf(upstream) }
    const { status, socket } = await askToConnect(asked, signal)
    try {
      // Tinyproxy 1.11 answers 401 to wrong ones, and 407 where there are none.
      if (status === 401 || status === 407)
        throw new ProbeProblem(`it does not take our credentials (it answered ${status})`)
      if (!page) {
        if (isProxyAnswer(status)) return null
        throw new ProbeProblem(`it is no proxy, it seems (it answered ${status} to CONNECT)`)
      }
      if (status > 299) throw new ProbeProblem(`it does not reach the probe's URL (it answered ${status})`)
      return egressIpIn(await fetchOver(socket, page, { ca, signal }))
    } finally {
      socket.destroy()
    }
  }

  return async function probe(upstream, signal) {
    signal.throwIfAborted()
    const { timeoutMs } = parts
    const begunMs = now()
    const stalls = watchStalls(now)
    const over = new AbortController()
    const giveUp = () => over.abort()
    const cancel = startDeadline(timeoutMs, giveUp)
    signal.addEventListener('abort', giveUp)
    const seen = await egressIpThrough(upstream, over.signal).catch(problemOf)
    cancel()
    signal.removeEventListener('abort', giveUp)
    const stoodStill = stalls.end()
    signal.throwIfAborted()
    const ms = now() - begunMs
    if (stoodStill || ms > timeoutMs + lateMs)
      return { ok: false, ms, problem: 'this process stood still', isOurs: true }
    if (!(seen instanceof ProbeProblem)) return { ok: true, ms, egressIp: seen }
    return { ok: false, ms, problem: seen.message, ...(seen.isOurs && { isOurs: true }) }
  }
}

/** To a target that it may not or cannot reach. A web server says 404, 405 or 400 to a CONNECT. */
function isProxyAnswer(status: number): boolean {
  return status < 300 || status === 403 || status === 429 || status >= 500
}

/**
 * @param times  good ones in a row, one at once after the other; the first that is not ends it
 * @returns the last one
 */
export async function probeUntilGood(
  probe: Probe,
  upstream: Probed,
  times: number,
  signal: AbortSignal,
): Promise<ProbeResult> {
  const result = await probe(upstream, signal)
  return result.ok && times > 1 ? probeUntilGood(probe, upstream, times - 1, signal) : result
}

function problemOf(error: unknown): ProbeProblem {
  return error instanceof ProbeProblem ? error : problemWith(error, "no answer of the probe's URL through it")
}

type Fetching = { readonly ca: string | undefined; readonly signal: AbortSignal }

/** Redirects are not followed. @returns the page; what is longer than its limit is cut. @throws ProbeProblem */
async function fetchOver(socket: Socket, page: URL, { ca, signal }: Fetching): Promise<string> {
  try {
    const secured = page.protocol === 'https:' ? await secure(socket, page, ca) : socket
    return await get(secured, page, signal)
  } catch (error) {
    if (!signal.aborted) throw error
    throw new ProbeProblem("no answer of the probe's URL through it in time", { cause: error })
  }
}

async function secure(socket: Socket, { hostname }: URL, ca: string | undefined): Promise<Socket> {
  const host = hostname.replace(/^\[|\]$/g, '')
  const secured = connectTls({
    socket,
    host,
    // RFC 6066 section 3: an address is no server name.
    ...(isIP(host) === 0 && { servername: host }),
    ...(ca !== undefined && { ca }),
    ALPNProtocols: ['http/1.1'],
  })
  secured.on('error', ignore)
  try {
    await once(secured, 'secureConnect')
    return secured
  } catch (error) {
    throw problemWith(error, "no TLS with the probe's URL through it")
  }
}

async function get(socket: Socket, page: URL, signal: AbortSignal): Promise<string> {
  const client = new Client(page.origin, {
    connect(_, give) {
      // undici does not hear of it within the call; given a dead socket, it would ask for another without end.
      queueMicrotask(() =>
        socket.destroyed
          ? give(new ProbeProblem('connection lost before an answer'), null)
          : give(null, socket),
      )
    },
    headersTimeout: 0,
    bodyTimeout: 0,
  })
  try {
    const { statusCode, body } = await client.request({
      method: 'GET',
      path: page.pathname + page.search,
      headers: { 'user-agent': 'lanekeeper', accept: 'text/plain, application/json' },
      reset: true,
      signal,
    })
    body.on('error', ignore)
    if (statusCode < 200 || statusCode > 299)
      throw new ProbeProblem(`the probe's URL answered ${statusCode} through it`)
    return await readPage(body)
  } finally {
    await client.destroy()
  }
}

async function readPage(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of body) {
    chunks.push(chunk)
    length += chunk.length
    if (length >= bodyBytes) break
  }
  return Buffer.concat(chunks).toString('utf8', 0, bodyBytes)
}

function authorityOf({ hostname, port, protocol }: URL): string {
  return `${hostname}:${port || (protocol === 'https:' ? 443 : 80)}`
}

/** `end` answers whether the process stood still since. */
function watchStalls(now: () => number): { end(): boolean } {
  let lookedMs = now()
  let longestMs = 0
  const look = () => {
    const lookMs = now()
    longestMs = Math.max(longestMs, lookMs - lookedMs - lookEveryMs)
    lookedMs = lookMs
  }
  const timer = setInterval(look, lookEveryMs)
  return {
    end() {
      clearInterval(timer)
      // After a stall the time limit may be told before the next look.
      look()
      return longestMs > stallMs
    },
  }
}

function ignore(): void {}
