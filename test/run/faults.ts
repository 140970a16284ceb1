// The faults that take minutes: one file at a time, since each loads the machine for itself.

import { globSync } from 'node:fs'
import { root } from './programs.ts'
import { runTap, type TapResult } from './tap.ts'

const timeoutS = 900

export async function runFaults(args: readonly string[], mark: string): Promise<TapResult> {
  const files = args.length > 0 ? [] : globSync('test/faults/*.ts', { cwd: root }).sort()
  if (files.length + args.length === 0) return { passed: 0, failed: 0, exitCode: 0 }
  return runTap([...files, ...args, '--jobs=1', `--timeout=${timeoutS}`], mark)
}
