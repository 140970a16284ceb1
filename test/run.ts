// All of `npm test`: the servers that tests start, types, lint and format, the tests, and that nothing they
// started is left. The last line is `N passed, N failed`. Arguments go to tap: npm test -- test/routing/job.ts
// `--faults` runs the faults that take minutes instead (test/faults), `--all` these too.

import { runChecks } from './run/checks.ts'
import { runFaults } from './run/faults.ts'
import { endLeftovers, newMark } from './run/leftovers.ts'
import { installWhatIsMissing } from './run/needs.ts'
import { refuseOldNode } from './run/node-version.ts'
import { runTap, type TapResult } from './run/tap.ts'

// Ctrl-C reaches tap too; we outlive it, to clean up and to tell the result.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => {})

refuseOldNode()
installWhatIsMissing()
const mark = newMark()
const failedChecks = await runChecks()
const flags = new Set(['--faults', '--all'])
const args = process.argv.slice(2)
const toTap = args.filter((arg) => !flags.has(arg))
const results: TapResult[] = []
if (!args.includes('--faults')) results.push(await runTap(toTap, mark))
if (args.some((arg) => flags.has(arg))) results.push(await runFaults(toTap, mark))
const leftovers = await endLeftovers(mark)

console.log() // tap may end on a line that it has not ended
for (const name of failedChecks) console.log(`FAILED: ${name}`)
for (const name of leftovers) console.log(`LEFT BEHIND by the tests, now killed: ${name}`)
// Also where tap failed without a failed assertion, such as a file that timed out.
const failures =
  sum(results, ({ failed, exitCode }) => Math.max(failed, exitCode === 0 ? 0 : 1)) +
  failedChecks.length +
  leftovers.length
console.log(`${sum(results, ({ passed }) => passed)} passed, ${failures} failed`)
process.exitCode = failures === 0 ? 0 : 1

function sum(results: readonly TapResult[], count: (result: TapResult) => number): number {
  return results.reduce((total, result) => total + count(result), 0)
}
