// What can be told without running the program: types, lint, format.

import { run } from './programs.ts'

const checks = [
  { name: 'types (tsc)', program: 'tsc', args: ['--noEmit'] },
  { name: 'lint (oxlint)', program: 'oxlint', args: ['--deny-warnings', '.'] },
  {
    name: 'format (prettier; npm run format)',
    program: 'prettier',
    args: ['--check', '--log-level', 'warn', '.'],
  },
]

/** @returns names of those that failed; their words are printed */
export async function runChecks(): Promise<string[]> {
  const results = await Promise.all(
    checks.map(async ({ name, program, args }) => ({ name, ...(await run(program, args)) })),
  )
  const failed = results.filter(({ exitCode }) => exitCode !== 0)
  for (const { name, output } of failed) console.log(`${name}:\n${output}`)
  return failed.map(({ name }) => name)
}
