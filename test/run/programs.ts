// Runs the programs of node_modules with the Node that runs us, whatever the machine's own is.

import { spawn, type StdioOptions } from 'node:child_process'
import { once } from 'node:events'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url))
const bin = join(root, 'node_modules', '.bin')

type Options = { readonly env?: { readonly [name: string]: string }; readonly stdio?: StdioOptions }

/** @returns its exit code, 1 where a signal ended it, and what it printed where that was not passed on */
export async function run(
  program: string,
  args: readonly string[],
  { env = {}, stdio = 'pipe' }: Options = {},
) {
  const child = spawn(join(bin, program), args, {
    cwd: root,
    stdio,
    env: { ...process.env, PATH: `${dirname(process.execPath)}:${bin}:${process.env.PATH ?? ''}`, ...env },
  })
  let output = ''
  child.stdout?.on('data', (chunk) => (output += String(chunk)))
  child.stderr?.on('data', (chunk) => (output += String(chunk)))
  const [code] = await once(child, 'close')
  return { exitCode: typeof code === 'number' ? code : 1, output }
}
