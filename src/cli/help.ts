// All help, made from the table of commands. Pure.

import type { Command } from './command.ts'
import type { Flag } from './flags.ts'

const exitCodes: { readonly [code: string]: string } = {
  0: 'done',
  1: 'failed: refused, or no answer',
  2: 'the command line or the configuration is wrong',
}

/** Everything there is, one line each. */
export function overview(commands: readonly Command[]): string {
  const isRemote = ({ flags }: Command) => 'url' in flags
  // What 1 means for one of them stands in its own help.
  const own = Object.assign({}, ...commands.map(({ exits }) => exits), exitCodes)
  return [
    'Lanekeeper keeps every job on one outgoing IP, from its first request to its last.',
    'Usage: lanekeeper <command> [arguments] [flags]',
    section('On this machine:', rows(commands.filter((command) => !isRemote(command)).map(commandRow))),
    section(
      'Of a running Lanekeeper, over its admin API (ADMIN_URL or --url says where, ADMIN_TOKEN is its token):',
      rows(commands.filter(isRemote).map(commandRow)),
    ),
    'Help on one of them: lanekeeper <command> --help',
    'Settings come from the environment, from the file that LANEKEEPER_CONFIG names, and from\n' +
      'config/default.yaml, which lists and explains all of them.',
    section('Examples:', [
      'lanekeeper start',
      'PROVIDER=static STATIC_UPSTREAMS=10.0.0.5:8888,10.0.0.6:8888 lanekeeper start',
      'LANEKEEPER_CONFIG=lanekeeper.yaml lanekeeper check-config',
      'ADMIN_URL=http://control:3129 lanekeeper upstreams list',
    ]),
    section('Exit codes:', rows(Object.entries(own))),
  ].join('\n\n')
}

/** `upstreams`: its verbs. */
export function nounHelp(noun: string, commands: readonly Command[]): string {
  return [
    `Usage: lanekeeper ${noun} <${commands.map(({ name }) => name.slice(noun.length + 1)).join('|')}>`,
    section('Commands:', rows(commands.map(commandRow))),
    `Help on one of them: lanekeeper ${noun} <command> --help`,
  ].join('\n\n')
}

export function commandHelp({ name, does, about, args, flags, examples, exits }: Command): string {
  const allFlags = Object.entries(flags)
  return [
    `lanekeeper ${name}: ${does}`,
    ...(about.length > 0 ? [about.join('\n')] : []),
    usage({ name, args, flags }),
    ...(Object.keys(args).length > 0
      ? [section('Arguments:', rows(Object.entries(args).map((arg) => [argumentWord(arg), arg[1].does])))]
      : []),
    ...(allFlags.length > 0 ? [section('Flags:', rows(allFlags.map(flagRow)))] : []),
    section('Examples:', examples),
    section('Exit codes:', rows(Object.entries({ ...exitCodes, ...exits }))),
  ].join('\n\n')
}

export function usage({ name, args, flags }: Pick<Command, 'name' | 'args' | 'flags'>): string {
  const must = Object.entries(flags).filter(([, { isRequired }]) => isRequired)
  const hasOthers = Object.keys(flags).length > must.length
  const words = [
    ...Object.entries(args).map(argumentWord),
    ...must.map(([flag, { value }]) => `--${flag} <${value}>`),
    ...(hasOthers ? ['[flags]'] : []),
  ]
  return ['Usage: lanekeeper', name, ...words].join(' ')
}

function commandRow({ name, args, does }: Command): [string, string] {
  return [[name, ...Object.entries(args).map(argumentWord)].join(' '), does]
}

function argumentWord([name, { isRepeatable }]: readonly [string, Command['args'][string]]): string {
  return `<${name}>${isRepeatable ? '...' : ''}`
}

function flagRow([name, { value, does, isRequired, isRepeatable }]: [string, Flag<unknown>]): [
  string,
  string,
] {
  const notes = [...(isRequired ? ['required'] : []), ...(isRepeatable ? ['may be repeated'] : [])]
  return [
    `--${name}${value === null ? '' : ` <${value}>`}`,
    `${does}${notes.length > 0 ? ` (${notes.join(', ')})` : ''}`,
  ]
}

function section(title: string, lines: readonly string[]): string {
  return [title, ...lines.map((line) => `  ${line}`)].join('\n')
}

function rows(pairs: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(0, ...pairs.map(([left]) => left.length))
  return pairs.map(([left, right]) => `${left.padEnd(width)}  ${right}`)
}
