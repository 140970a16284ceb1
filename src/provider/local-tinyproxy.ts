// A real Tinyproxy process for one local upstream, with a configuration of its own.

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { ProviderError } from './provider.ts'

export type TinyproxySettings = {
  readonly host: string
  readonly port: number
  readonly maxClients: number
  /** Source address of its connections to targets; null leaves it to the system. */
  readonly bind: string | null
  readonly configPath: string
  readonly logPath: string
}

const pollMs = 10

/** Is there such a program, and does it run? Looked for on PATH, as `startTinyproxy` will. */
export async function hasTinyproxy(command: string): Promise<boolean> {
  const child = spawn(command, ['-v'], { stdio: 'ignore' })
  try {
    const [code] = await once(child, 'exit')
    return code === 0
  } catch {
    return false
  }
}

/**
 * Starts it, in the foreground and in a session of its own: Ctrl-C goes to the whole group of a terminal, and
 * upstreams must outlast the tunnels. What it prints goes to a file, since a pipe would break when we die.
 * @throws ProviderError unavailable where the program cannot be started
 */
export function startTinyproxy(
  command: string,
  settings: TinyproxySettings,
): ChildProcess & { readonly pid: number } {
  writeFileSync(settings.configPath, tinyproxyConfig(settings))
  const log = openSync(settings.logPath, 'w')
  const child = spawn(command, ['-d', '-c', settings.configPath], {
    stdio: ['ignore', log, log],
    detached: true,
  })
  closeSync(log)
  child.on('error', () => {})
  const { pid } = child
  if (pid === undefined) throw new ProviderError('unavailable', `The program ${command} cannot be started.`)
  return Object.assign(child, { pid })
}

/**
 * Resolves once it takes connections.
 * @throws ProviderError unavailable with its last words where it ends before; the signal's reason
 */
export async function untilServing(
  child: ChildProcess,
  { host, port, logPath }: TinyproxySettings,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    const serving = await takesConnection(host, port)
    if (child.exitCode !== null || child.signalCode !== null) {
      const ending = child.signalCode ?? `exit code ${child.exitCode}`
      throw new ProviderError('unavailable', `tinyproxy ended at once (${ending}): ${lastLine(logPath)}`)
    }
    if (serving) return
    await delay(pollMs, undefined, { signal })
  }
}

/**
 * Any port may be reached (without ConnectPort lines), since the gateway decides about targets. As root it
 * becomes nobody (65534 on every Linux) once it listens.
 * @see tinyproxy.conf(5)
 */
function tinyproxyConfig({ host, port, maxClients, bind }: TinyproxySettings): string {
  const dropsPrivileges = process.platform === 'linux' && process.getuid?.() === 0
  const lines = [
    `Listen ${host}`,
    `Port ${port}`,
    `MaxClients ${maxClients}`,
    'Timeout 600',
    'DisableViaHeader Yes',
    'LogLevel Critical',
    ...(bind === null ? [] : [`Bind ${bind}`]),
    ...(dropsPrivileges ? ['User 65534', 'Group 65534'] : []),
  ]
  return `${lines.join('\n')}\n`
}

function takesConnection(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port })
    const settle = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    socket.once('connect', () => settle(true)).once('error', () => settle(false))
  })
}

function lastLine(path: string): string {
  return readFileSync(path, 'utf8').trim().split('\n').at(-1) || 'it said nothing'
}
