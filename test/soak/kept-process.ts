// A process of the program that is killed and started again on the same ports, with its log in files: one for each start.

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { closedPort } from '../fixtures/listen.ts'
import { until } from '../fixtures/until.ts'

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

export type KeptProcess = {
  readonly name: string
  readonly gatewayPort: number
  readonly adminPort: number
  readonly pid: () => number
  /** How often it was started: readings of different starts have nothing to do with each other. */
  readonly starts: () => number
  readonly isUp: () => boolean
  /** Ended by nobody but itself, which it should not do. */
  readonly fell: () => readonly string[]
  readonly logs: readonly string[]
  /** Resolves once its ports are open; it need not be ready. */
  start(): Promise<void>
  stop(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>
  /** It stands still for that time, as by a long collection. */
  freeze(ms: number): Promise<void>
}

type Options = {
  readonly name: string
  readonly role: 'gateway' | 'control'
  readonly folder: string
  readonly env: { readonly [name: string]: string }
}

export async function makeKeptProcess({ name, role, folder, env }: Options): Promise<KeptProcess> {
  const [gatewayPort, adminPort] = [await closedPort(), await closedPort()]
  const logs: string[] = []
  const fallen: string[] = []
  let child: ChildProcess | null = null
  process.once('exit', () => child?.kill('SIGKILL'))

  async function start(): Promise<void> {
    const log = join(folder, `${name}-${logs.length + 1}.log`)
    logs.push(log)
    const file = openSync(log, 'a')
    const { PATH, HOME, TMPDIR } = process.env
    const own = spawn(process.execPath, [main, 'start'], {
      stdio: ['ignore', 'pipe', file],
      env: {
        ...Object.fromEntries(
          Object.entries({ PATH, HOME, TMPDIR }).filter(([, value]) => value !== undefined),
        ),
        ...env,
        ROLE: role,
        DATA_DIR: join(folder, name),
        GATEWAY_PORT: String(gatewayPort),
        ADMIN_PORT: String(adminPort),
      },
    })
    closeSync(file)
    child = own
    let said = ''
    own.stdout!.on('data', (chunk) => (said += String(chunk)))
    own.once('exit', (code, signal) => {
      if (child === own) fallen.push(`${name} ended by itself (${signal ?? code}); its log is ${log}`)
    })
    await until(
      `${name} has opened its ports`,
      () => {
        if (own.exitCode !== null || own.signalCode !== null)
          throw new Error(`${name} did not start; see ${log}`)
        return /^admin listening/m.test(said)
      },
      { withinMs: 60_000, everyMs: 50 },
    )
  }

  return {
    name,
    gatewayPort,
    adminPort,
    logs,
    pid: () => child?.pid ?? 0,
    starts: () => logs.length,
    isUp: () => child !== null,
    fell: () => fallen,
    start,
    async stop(signal) {
      const own = child
      if (!own) return
      child = null
      if (own.exitCode !== null || own.signalCode !== null) return
      const exited = once(own, 'exit')
      own.kill(signal)
      const late = setTimeout(() => own.kill('SIGKILL'), 60_000)
      await exited
      clearTimeout(late)
    },
    async freeze(ms) {
      const own = child
      if (!own) return
      own.kill('SIGSTOP')
      await new Promise((resolve) => setTimeout(resolve, ms))
      own.kill('SIGCONT')
    },
  }
}
