// The command line: finds the command, runs it, and turns failures into words and exit codes (help.ts lists them).

import { setTimeout as delay } from 'node:timers/promises'
import { ConfigError, loadConfig } from '../config.ts'
import { commands } from './command-table.ts'
import type { Command, Screen, Surroundings } from './command.ts'
import { findCommand, usageProblem } from './find-command.ts'
import { UsageError } from './flags.ts'

const surroundings: Surroundings = {
  out: (lines) => process.stdout.write(`${lines}\n`),
  err: (lines) => process.stderr.write(`${lines}\n`),
  config: loadConfig,
  screen: screenOf(process.stderr),
  clock: { now: () => performance.now(), date: () => Date.now(), delay },
}

/** A dumb terminal has one colour, and cannot move its cursor either. */
function screenOf(stream: NodeJS.WriteStream): Screen | null {
  if (!stream.isTTY || stream.getColorDepth() === 1) return null
  return { write: (text) => stream.write(text), columns: () => stream.columns, rows: () => stream.rows }
}

async function main(words: readonly string[]): Promise<number> {
  const asked = findCommand(words, commands)
  if (asked.kind === 'run') return runCommand(asked.command, asked.words)
  if (asked.kind === 'help') surroundings.out(asked.text)
  else surroundings.err(asked.text)
  return asked.kind === 'help' ? 0 : 2
}

async function runCommand(command: Command, words: readonly string[]): Promise<number> {
  try {
    return await command.prepare(words)(surroundings)
  } catch (error) {
    return explain(error, command)
  }
}

function explain(error: unknown, command: Command): number {
  if (error instanceof UsageError) {
    surroundings.err(usageProblem(error, command))
    return 2
  }
  if (error instanceof ConfigError) {
    const lines = error.problems.map((problem) => `  - ${problem}`)
    surroundings.err([`Lanekeeper cannot go on: ${error.message}.`, ...lines].join('\n'))
    return 2
  }
  surroundings.err(`Lanekeeper failed: ${error instanceof Error ? error.message : String(error)}`)
  return 1
}

// Whoever reads us may have seen enough, as `head` has.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(process.exitCode)
})
process.exitCode = await main(process.argv.slice(2))
