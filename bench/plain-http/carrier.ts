// One contender of bench/plain-http.ts in a process of its own, so that its CPU and memory are its own.

import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { makeForward } from '../../src/gateway/forward.ts'
import { requestHeaders } from '../../src/gateway/forward-headers.ts'
import { TunnelAgent } from '../../src/gateway/tunnel-agent.ts'
import { parseHttpUrl } from '../../src/routing/target.ts'
import type { Target } from '../../src/types.ts'

/** What `read` is answered with. */
export type Reading = { readonly cpuUs: number; readonly peakMb: number }

type Carry = (req: IncomingMessage, res: ServerResponse) => Promise<void> | void

function open({ host, port }: Target): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true })
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.pause()
      resolve(socket)
    })
  })
}

/** The gateway's own road, with everything around it taken away. */
function ours(): Carry {
  const upstream = { id: 'bench', egressIp: null }
  const story = {
    begin: () => ({ requestId: 'bench' }),
    open: async ({ target }: { target: Target }) => ({ socket: await open(target), upstream, pin: {} }),
    carry() {},
    refused: (_request: unknown, error: unknown) => error,
  }
  return makeForward({
    story: story as never,
    readJob: () => ({ id: 'bench', type: null, institution: null }),
  })
}

async function byHand(req: IncomingMessage, res: ServerResponse): Promise<void> {
  const { target, path } = parseHttpUrl(req.url!)
  const headers = requestHeaders(req.rawHeaders, `${target.host}:${target.port}`, { keepFraming: true })
  const agent = new TunnelAgent(await open(target))
  const outgoing = httpRequest({ method: req.method!, path, headers, agent, setHost: false }, (answer) => {
    res.writeHead(answer.statusCode!, answer.headers)
    answer.pipe(res)
  })
  res.once('close', () => outgoing.destroy())
  outgoing.on('error', () => res.destroy())
  req.pipe(outgoing)
}

const carriers: { readonly [name: string]: () => Carry } = {
  'http-proxy-3 (ours)': ours,
  'node:http by hand': () => byHand,
}

const carry = carriers[process.argv[2]!]!()
const server = createServer((req, res) => void carry(req, res))
server.listen(0, '127.0.0.1', () => process.send!({ port: (server.address() as AddressInfo).port }))

process.on('disconnect', () => process.exit())
process.on('message', () => {
  const { user, system } = process.cpuUsage()
  // maxRSS is in kilobytes.
  const reading: Reading = { cpuUs: user + system, peakMb: Math.round(process.resourceUsage().maxRSS / 1024) }
  process.send!(reading)
})
