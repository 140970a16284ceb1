// npm run bench: runs the chosen cases, prints their figures, keeps them, compares them with kept ones.
// 0 done, 1 a case failed, 2 the command line is wrong, 130 interrupted.

import { cases } from './cases/all.ts'
import { fullPace, quickPace } from './fixtures/case.ts'
import { compareFigures } from './fixtures/compare.ts'
import { movedFloor } from './fixtures/floor.ts'
import { describeMachine, findCommit, findVersions } from './fixtures/machine.ts'
import { parseOptions, type Options } from './fixtures/options.ts'
import { comparisonTable, differences, figureTable } from './fixtures/report.ts'
import { readResult, resultName, saveResult, type CaseResult, type Result } from './fixtures/result.ts'
import { runCase } from './fixtures/run-case.ts'

const help = `npm run bench [-- options]

  --case <name>     only this case; may be repeated
  --save            keep the result as bench/results/<cases>-<commit>.json
  --compare <file>  compare with a kept result: new/old for each figure, and whether the spreads overlap
  --quick           short rounds, to see that it works; not to compare by
  --list            the cases and their questions
  --help

Everything is started on free ports of this machine and ended again; all of it takes less than ten minutes.
It needs Linux, redis-server and tinyproxy. Examples:

  npm run bench -- --quick
  npm run bench -- --case tunnels --case pins --save
  npm run bench -- --case tunnels --compare bench/results/all-4b7460a.json
`

const interrupted = 130

async function main(args: readonly string[]): Promise<number> {
  const options = parseOptions(
    args,
    cases.map(({ name }) => name),
  )
  if ('problem' in options) return refuse(options.problem)
  if (options.help) return say(help)
  if (options.list) return say(cases.map(({ name, question }) => `${name.padEnd(12)}${question}\n`).join(''))
  let old: Result | null
  try {
    old = options.compare === null ? null : await readResult(options.compare)
  } catch (error) {
    return refuse(inWords(error))
  }
  return bench(options, old)
}

async function bench(options: Options, old: Result | null): Promise<number> {
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => stop.abort(new Error(`interrupted by ${signal}`)))
  const about = { ...findCommit(), machine: describeMachine(), versions: findVersions() }
  const { machine, versions } = about
  say(
    `${machine.cores} cores of ${machine.cpu}, ${machine.memoryGb} GB, ${machine.os}, Node ${versions.node}\n`,
  )
  const { results, failed } = await runAll(options, old, stop.signal)
  if (stop.signal.aborted) return interrupted
  const result: Result = { format: 1, at: new Date().toISOString(), ...about, cases: results }
  if (old)
    say(
      differences(old, result)
        .map((line) => `NOTE: ${line}\n`)
        .join(''),
    )
  if (options.save && !failed) {
    const all = options.cases.length === cases.length
    say(`kept as ${await saveResult(result, resultName(result, { all, quick: options.quick }))}\n`)
  }
  return failed ? 1 : 0
}

async function runAll(options: Options, old: Result | null, signal: AbortSignal) {
  const results: CaseResult[] = []
  let failed = false
  for (const one of cases.filter(({ name }) => options.cases.includes(name))) {
    if (signal.aborted) break
    say(`\n${one.name}: ${one.question}\n`)
    try {
      const result = await runCase(one, options.quick ? quickPace : fullPace, signal)
      results.push(result)
      say(`${describe(result, old)}\n`)
    } catch (error) {
      failed = true
      process.stderr.write(`${one.name} failed: ${inWords(error)}\n`)
    }
  }
  return { results, failed }
}

function describe({ name, figures }: CaseResult, old: Result | null): string {
  const before = old?.cases.find((one) => one.name === name)
  const table = figureTable(figures)
  if (!before) return table
  const comparisons = compareFigures(before.figures, figures)
  const moved = movedFloor(comparisons)
  const warning = `  NOTE: ${moved.length} figures without the gateway moved too, so the machine did: only ratios to them tell of the code.`
  return [table, '', comparisonTable(comparisons), ...(moved.length > 0 ? [warning] : [])].join('\n')
}

function refuse(problem: string): number {
  process.stderr.write(`${problem}\n`)
  return 2
}

function say(text: string): number {
  process.stdout.write(text)
  return 0
}

function inWords(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

process.exitCode = await main(process.argv.slice(2))
