// tap, and its totals as numbers.

import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { markVariable } from './leftovers.ts'
import { root, run } from './programs.ts'

const timeoutS = 120

export type TapResult = { readonly passed: number; readonly failed: number; readonly exitCode: number }

export async function runTap(args: readonly string[], mark: string): Promise<TapResult> {
  await buildPlugins()
  const folder = await mkdtemp(join(tmpdir(), 'lanekeeper-tap-'))
  const file = join(folder, 'output.tap')
  try {
    const { exitCode } = await run('tap', [...defaults(file), ...args], {
      stdio: ['ignore', 'inherit', 'inherit'],
      // Without a terminal tap draws over lines that are there for good, unless it knows that it is in CI.
      env: { [markVariable]: mark, ...(process.stdout.isTTY ? {} : { CI: 'true' }) },
    })
    return { ...totals(existsSync(file) ? await readFile(file, 'utf8') : ''), exitCode }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Integration tests start many processes each, so more jobs than cores only make them wait for each other. */
function defaults(file: string): string[] {
  const jobs = Math.min(4, availableParallelism())
  return [`--output-file=${file}`, `--timeout=${timeoutS}`, `--jobs=${jobs}`, '--reporter=base']
}

/** After `npm ci` the first run would build its plugins, yet still run with the old set, and fail (tap 21). */
async function buildPlugins(): Promise<void> {
  if (existsSync(join(root, '.tap', 'plugins'))) return
  const { exitCode, output } = await run('tap', ['build'])
  if (exitCode !== 0) console.log(output)
}

/** tap ends its output with `# { total: 3, pass: 2, fail: 1 }`. */
export function totals(output: string): { passed: number; failed: number } {
  const line = output.match(/^# \{ total: .*\}$/gm)?.at(-1) ?? ''
  const count = (name: string) => Number(new RegExp(`\\b${name}: (\\d+)`).exec(line)?.[1] ?? 0)
  return { passed: count('pass'), failed: count('fail') }
}
