// lanekeeper start: runs until SIGTERM or SIGINT. A second signal resets what is still open, and ends at once.

import { loadConfig, type Config } from '../../config.ts'
import { startLanekeeper, type Lanekeeper } from '../../main.ts'

/** Time for the last clean-up once nothing is waited for any more. */
const lastResortMs = 3000

/** @throws ConfigError, or the error of a port or provider */
export async function start(): Promise<number> {
  const config = loadConfig()
  const signals = listen()
  const lanekeeper = await startLanekeeper(config).catch(explainPort)
  announce(lanekeeper)
  const ready = lanekeeper.ready.then(() => announceReady(lanekeeper, config))
  try {
    await Promise.race([signals.first, ready.then(() => signals.first)])
  } catch (error) {
    await lanekeeper.stop(AbortSignal.abort())
    throw error
  }
  const deadline = AbortSignal.any([signals.second, AbortSignal.timeout(config['gateway.stopDeadlineMs'])])
  signals.second.addEventListener('abort', () => setTimeout(() => process.exit(1), lastResortMs).unref())
  await lanekeeper.stop(deadline)
  process.exit(0)
}

function listen(): { first: Promise<void>; second: AbortSignal } {
  const second = new AbortController()
  const first = new Promise<void>((resolve) => {
    let signals = 0
    const onSignal = () => {
      signals += 1
      if (signals === 1) resolve()
      else second.abort()
    }
    process.on('SIGTERM', onSignal)
    process.on('SIGINT', onSignal)
  })
  return { first, second: second.signal }
}

function announce({ gatewayUrl, adminUrl, notice }: Lanekeeper): void {
  if (gatewayUrl) print(`gateway listening on ${gatewayUrl}`)
  if (notice) print(notice)
  print(`admin listening on ${adminUrl}`)
}

/** In one write, so that whoever waits for `ready` has the rest too. */
function announceReady({ gatewayUrl }: Lanekeeper, config: Config): void {
  print(gatewayUrl === null ? 'ready' : `ready\n${lineToPaste(gatewayUrl, config)}`)
}

function lineToPaste(gatewayUrl: string, config: Config): string {
  const password = config['gateway.tokens'].length > 0 ? '<token>' : 'x'
  // Bound to all addresses it is to be had on loopback too.
  const here = gatewayUrl.replace('//0.0.0.0:', '//127.0.0.1:').replace('//[::]:', '//[::1]:')
  const proxy = here.replace('://', `://job=demo-1:${password}@`)
  return `try: HTTPS_PROXY=${proxy} curl -sS https://example.com -o /dev/null -w '%{http_connect} %{http_code}\\n'`
}

function explainPort(error: NodeJS.ErrnoException): never {
  if (error.code === 'EADDRINUSE') {
    throw new Error(
      `${error.message}. Another program listens there: stop it, or set GATEWAY_PORT and ADMIN_PORT.`,
      { cause: error },
    )
  }
  throw error
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
