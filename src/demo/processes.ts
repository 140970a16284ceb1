// Lanekeeper itself as a process, as a user starts it, on free ports.

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export type Lanekeeper = {
  readonly pid: number
  /** null for a role that has no gateway. */
  readonly gatewayPort: number | null
  readonly adminPort: number | null
  readonly dataDir: string
  /** All it has printed so far, both streams as they came. */
  readonly output: () => string
  readonly child: ChildProcess
  /**
   * @returns its exit code, or the signal's name where that ended it
   * @throws where it outlives `withinMs` (it is killed then)
   */
  readonly stop: (signal?: NodeJS.Signals, withinMs?: number) => Promise<number | NodeJS.Signals>
}

/** The embedded database takes seconds, and far longer where the machine has other work. */
const readyWithinMs = 60_000

const main = fileURLToPath(new URL('../cli/main.ts', import.meta.url))

/**
 * Starts it and waits until it prints that it is ready. Ports are free ones and the data folder is a new one
 * unless `env` says otherwise; nothing else of the caller's configuration is passed on.
 * @param signal  ends a start that is still waited for
 */
export async function startLanekeeper(
  env: { readonly [name: string]: string } = {},
  signal?: AbortSignal,
): Promise<Lanekeeper> {
  const ownFolder = env.DATA_DIR === undefined ? await mkdtemp(join(tmpdir(), 'lanekeeper-data-')) : null
  const dataDir = env.DATA_DIR ?? ownFolder ?? ''
  const child = spawn(process.execPath, [main, 'start'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...outerEnvironment(), GATEWAY_PORT: '0', ADMIN_PORT: '0', DATA_DIR: dataDir, ...env },
  })
  let output = ''
  child.stdout.on('data', (chunk) => (output += String(chunk)))
  child.stderr.on('data', (chunk) => (output += String(chunk)))
  const stop = async (signal: NodeJS.Signals = 'SIGTERM', withinMs = 40_000) => {
    const ended = await end(child, signal, withinMs, () => output)
    if (ownFolder !== null) await rm(ownFolder, { recursive: true, force: true })
    return ended
  }
  try {
    await untilReady(child, () => output, signal)
  } catch (error) {
    await stop('SIGKILL')
    throw new Error(`lanekeeper did not start; it printed:\n${output}`, { cause: error })
  }
  return {
    pid: child.pid ?? 0,
    gatewayPort: portOf('gateway', output),
    adminPort: portOf('admin', output),
    dataDir,
    output: () => output,
    child,
    stop,
  }
}

/** It prints `ready` on a line of its own once a job would be served. */
function untilReady(child: ChildProcess, output: () => string, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.addEventListener('abort', () => reject(new Error('nobody waits for it any more')))
    const timer = setTimeout(() => reject(new Error(`not ready within ${readyWithinMs} ms`)), readyWithinMs)
    const look = () => {
      if (!/^ready$/m.test(output())) return
      clearTimeout(timer)
      resolve()
    }
    child.stdout?.on('data', look)
    child.once('exit', (code, signal) => {
      clearTimeout(timer)
      reject(new Error(`it ended with ${code ?? signal}`))
    })
  })
}

function portOf(part: 'gateway' | 'admin', output: string): number | null {
  const match = new RegExp(`^${part} listening on https?://.*:(\\d+)`, 'm').exec(output)
  return match ? Number(match[1]) : null
}

/** What a process needs to run at all, and the mark by which the tests find what was left behind. */
function outerEnvironment(): NodeJS.ProcessEnv {
  const { PATH, HOME, TMPDIR, LANEKEEPER_TEST_RUN, NODE_V8_COVERAGE, NODE_OPTIONS } = process.env
  const kept = { PATH, HOME, TMPDIR, LANEKEEPER_TEST_RUN, NODE_V8_COVERAGE, NODE_OPTIONS }
  return Object.fromEntries(Object.entries(kept).filter(([, value]) => value !== undefined))
}

async function end(
  child: ChildProcess,
  signal: NodeJS.Signals,
  withinMs: number,
  output: () => string,
): Promise<number | NodeJS.Signals> {
  if (child.exitCode === null && child.signalCode === null) {
    const exited = once(child, 'exit')
    child.kill(signal)
    const deadline = setTimeout(() => child.kill('SIGKILL'), withinMs)
    const started = performance.now()
    await exited
    clearTimeout(deadline)
    if (performance.now() - started >= withinMs) {
      throw new Error(`lanekeeper did not end within ${withinMs} ms of ${signal}; it printed:\n${output()}`)
    }
  }
  return child.exitCode ?? child.signalCode ?? 'SIGKILL'
}
