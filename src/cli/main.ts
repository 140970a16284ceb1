// The command line: finds the command, prints help, and turns failures into words and exit codes.
// 0 done, 1 failed, 2 the command line or the configuration is wrong.

import { ConfigError } from '../config.ts'
import { checkConfig } from './commands/check-config.ts'
import { start } from './commands/start.ts'

type Command = { readonly run: (args: readonly string[]) => Promise<number>; readonly does: string }

const commands: { readonly [name: string]: Command } = {
  start: { run: start, does: 'run the gateway, the control plane, or both (ROLE)' },
  'check-config': { run: checkConfig, does: 'check all settings, report every problem, and exit' },
}

const help = `Lanekeeper keeps every job on one outgoing IP, from its first request to its last.

Usage: lanekeeper <command>

${Object.entries(commands)
  .map(([name, { does }]) => `  ${name.padEnd(14)} ${does}`)
  .join('\n')}

Settings come from the environment, from the file that LANEKEEPER_CONFIG names, and from config/default.yaml,
which lists and explains all of them. Examples:

  lanekeeper start
  PROVIDER=static STATIC_UPSTREAMS=10.0.0.5:8888,10.0.0.6:8888 lanekeeper start
  LANEKEEPER_CONFIG=lanekeeper.yaml lanekeeper check-config
`

async function main([name, ...args]: readonly string[]): Promise<number> {
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
    process.stdout.write(help)
    return name === undefined ? 2 : 0
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (command && args.length === 0) return command.run(args)
  process.stderr.write(
    command
      ? `lanekeeper ${name} takes no argument, found "${args[0]}".\n`
      : `There is no command "${name}".\n\n${help}`,
  )
  return 2
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  process.exitCode = explain(error)
}

function explain(error: unknown): number {
  if (error instanceof ConfigError) {
    process.stderr.write(
      `Lanekeeper cannot start: ${error.message}.\n${error.problems.map((line) => `  - ${line}\n`).join('')}`,
    )
    return 2
  }
  process.stderr.write(`Lanekeeper failed: ${error instanceof Error ? error.message : String(error)}\n`)
  return 1
}
