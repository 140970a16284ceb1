// lanekeeper start: runs until SIGTERM or SIGINT. A second signal resets what is still open, and ends at once. SIGHUP
// reads the configuration again.

import { closeSync, openSync } from 'node:fs'
import { loadConfig, type Config } from '../../config.ts'
import { startLanekeeper, type Lanekeeper } from '../../main.ts'

/** Time for the last clean-up once nothing is waited for any more. */
const lastResortMs = 3000

/** @throws ConfigError, or the error of a port or provider */
export async function start(): Promise<number> {
  const signals = listen()
  const config = loadConfig()
  const lanekeeper = await startLanekeeper(config).catch(explainPort)
  announce(lanekeeper)
  signals.onHangUp(() => lanekeeper.reload(loadConfig))
  const ready = lanekeeper.ready.then(() => announceReady(lanekeeper, config))
  try {
    await Promise.race([signals.first, ready.then(() => signals.first)])
  } catch (error) {
    await lanekeeper.stop(AbortSignal.abort())
    throw error
  }
  signals.second.addEventListener('abort', () => setTimeout(() => process.exit(1), lastResortMs).unref())
  await lanekeeper.stop(signals.second)
  process.exit(0)
}

type Signals = {
  readonly first: Promise<void>
  readonly second: AbortSignal
  /** For each SIGHUP until the first of the others; at once where one has come already. */
  onHangUp(act: () => void): void
}

function listen(): Signals {
  const first = Promise.withResolvers<void>()
  const second = new AbortController()
  let ends = 0
  let hungUp = false
  let hangUp: () => void = () => (hungUp = true)

  function onEnd(): void {
    ends += 1
    if (ends === 1) first.resolve()
    else second.abort()
  }
  process.on('SIGTERM', onEnd)
  process.on('SIGINT', onEnd)
  process.on('SIGHUP', () => {
    if (terminalIsGone()) onEnd()
    else if (ends === 0) hangUp()
  })
  return {
    first: first.promise,
    second: second.signal,
    onHangUp(act) {
      hangUp = act
      if (hungUp && ends === 0) act()
    },
  }
}

/** Started in a terminal, SIGHUP may also say that this was closed: then there is nobody who would stop us. */
function terminalIsGone(): boolean {
  if (!process.stdout.isTTY && !process.stderr.isTTY) return false
  try {
    closeSync(openSync('/dev/tty', 'r'))
    return false
  } catch {
    return true
  }
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
