// What a new local upstream needs for itself: a port, a source address.

import { randomBytes } from 'node:crypto'
import { createServer } from 'node:net'
import { ProviderError } from './provider.ts'

/** Below every system's ephemeral ports (Linux: 32768 and up), so that no outgoing connection takes it first. */
const ports = { first: 20_000, count: 12_000 }
const tries = 100

export type Places = ReturnType<typeof makePlaces>

/** @param random  from 0 up to, not including, 1 */
export function makePlaces({
  host,
  random = cryptoRandom,
}: {
  host: string
  random?: (() => number) | undefined
}) {
  const handedOut = new Set<number | string>()

  function below(limit: number): number {
    return Math.floor(random() * limit)
  }

  return {
    /** Free now, and not handed out before. @throws ProviderError no_capacity */
    async port(): Promise<number> {
      for (let attempt = 0; attempt < tries; attempt += 1) {
        const port = ports.first + below(ports.count)
        if (!handedOut.has(port) && (await isFree(host, port))) {
          handedOut.add(port)
          return port
        }
      }
      const range = `${ports.first} to ${ports.first + ports.count - 1}`
      throw new ProviderError(
        'no_capacity',
        `No free port was found on ${host} (tried ${tries} from ${range}).`,
      )
    },

    /** A certain port, where nobody listens on it. @throws ProviderError no_capacity */
    async exactly(port: number): Promise<number> {
      if (!(await isFree(host, port)))
        throw new ProviderError('no_capacity', `Port ${port} on ${host} is taken by another program.`)
      handedOut.add(port)
      return port
    },

    /** 127.0.x.y, none of `used` and not handed out before. @throws ProviderError no_capacity */
    source(used: ReadonlySet<string>): string {
      for (let attempt = 0; attempt < tries; attempt += 1) {
        // From 2: 127.0.0.1 is everybody's, and Debian gives 127.0.1.1 to the host's own name.
        const address = `127.0.${2 + below(253)}.${2 + below(253)}`
        if (!handedOut.has(address) && !used.has(address)) {
          handedOut.add(address)
          return address
        }
      }
      throw new ProviderError('no_capacity', `No free source address 127.0.x.y was found in ${tries} tries.`)
    },
  }
}

function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ host, port }, () => server.close(() => resolve(true)))
  })
}

function cryptoRandom(): number {
  return randomBytes(6).readUIntBE(0, 6) / 2 ** 48
}
