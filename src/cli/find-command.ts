// What the words of a command line ask for: a command, help, or something that is not there. Pure.

import type { Command } from './command.ts'
import { commandHelp, nounHelp, overview, usage } from './help.ts'
import { UsageError } from './flags.ts'
import { nearest } from './nearest.ts'

export type Asked =
  | { readonly kind: 'help'; readonly text: string }
  | { readonly kind: 'run'; readonly command: Command; readonly words: readonly string[] }
  | { readonly kind: 'wrong'; readonly text: string }

export function findCommand(words: readonly string[], commands: readonly Command[]): Asked {
  const [first, ...rest] = words
  if (first === undefined) return { kind: 'wrong', text: overview(commands) }
  if (first === 'help') return help(rest, commands)
  const command = named(words, commands)
  const asksForHelp = beforeTerminator(words).some((word) => word === '--help' || word === '-h')
  if (asksForHelp) return help(command ? command.name.split(' ') : words, commands)
  if (!command) return wrong(words, commands)
  const behind = words.slice(command.name.split(' ').length)
  return isMistakenVerb(command, behind[0], commands)
    ? wrong(words, commands)
    : { kind: 'run', command, words: behind }
}

/** What is wrong with it, and how to get help. */
export function usageProblem(error: UsageError, command: Command): string {
  return `${error.message}\n${usage(command)}\nHelp: lanekeeper ${command.name} --help`
}

function help(words: readonly string[], commands: readonly Command[]): Asked {
  const asked = words.filter((word) => !word.startsWith('-'))
  if (asked.length === 0) return { kind: 'help', text: overview(commands) }
  const command = named(asked, commands)
  if (command) return { kind: 'help', text: commandHelp(command) }
  const verbs = verbsOf(asked[0]!, commands)
  if (verbs.length > 0 && asked.length === 1) return { kind: 'help', text: nounHelp(asked[0]!, verbs) }
  return wrong(asked, commands)
}

function wrong([noun = '', verb]: readonly string[], commands: readonly Command[]): Asked {
  const verbs = verbsOf(noun, commands)
  if (verbs.length > 0 && verb === undefined) return { kind: 'wrong', text: nounHelp(noun, verbs) }
  if (noun.startsWith('-')) {
    const text = `The command comes first, its flags behind it; found "${noun}".\nHelp: lanekeeper --help`
    return { kind: 'wrong', text }
  }
  const asked = verbs.length > 0 ? `${noun} ${verb}` : noun
  const near =
    verbs.length > 0
      ? nearest(
          verb!,
          verbs.map(({ name }) => name.slice(noun.length + 1)),
        )
      : nearest(noun, new Set(['help', ...commands.map(({ name }) => name.split(' ')[0]!)]))
  const meant = near === null ? '' : ` Did you mean "${verbs.length > 0 ? `${noun} ` : ''}${near}"?`
  const where = verbs.length > 0 ? `lanekeeper ${noun} --help` : 'lanekeeper --help'
  return { kind: 'wrong', text: `There is no command "${asked}".${meant}\nHelp: ${where}` }
}

/** `sync report` rather than `sync`. */
function named(words: readonly string[], commands: readonly Command[]): Command | undefined {
  return commands
    .filter(({ name }) => name.split(' ').every((part, index) => words[index] === part))
    .sort((a, b) => b.name.length - a.name.length)[0]
}

/** `sync reprot`: behind a command that has verbs too, a word that is none of them is not its argument. */
function isMistakenVerb({ name }: Command, word: string | undefined, commands: readonly Command[]): boolean {
  return word !== undefined && !word.startsWith('-') && verbsOf(name, commands).length > 0
}

function verbsOf(noun: string, commands: readonly Command[]): Command[] {
  return commands.filter(({ name }) => name.startsWith(`${noun} `))
}

/** What stands behind `--` is no flag. */
function beforeTerminator(words: readonly string[]): readonly string[] {
  const end = words.indexOf('--')
  return end === -1 ? words : words.slice(0, end)
}
