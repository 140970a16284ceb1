// Each script with the names of its keys and arguments, and the shared pieces that it begins with. The names
// become Lua locals in that order, so neither a count nor a KEYS[n] is typed by hand. A hot script is 60
// lines that read like a story; KEYS[3] and ARGV[9] in them would not.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { RedisClient } from './client.ts'
import { codeOf } from './failure.ts'

const guard = { pieces: ['same-store', 'clock', 'pin-record'], keys: ['born'], args: ['mark'] } as const
const life = ['idleMs', 'maxLifeMs'] as const
const turn = ['version', 'lane', 'eligible', 'refused', 'maxLanes', 'laneUnusedMs'] as const
const newPin = ['job', 'jobType', 'institution', 'gateway', 'sweptPerPin', 'maxPins', 'feed'] as const
const movedPin = ['job', 'jobType', 'institution', 'gateway', 'from', 'when', 'feed'] as const
const pinKeys = ['pins', 'expiry', 'counts', 'fleet', 'ring', 'rings', 'lanes'] as const

const table = {
  'pin-job': {
    pieces: [...guard.pieces, 'feed', 'ring'],
    keys: [...guard.keys, ...pinKeys],
    args: [...guard.args, ...newPin, ...life, ...turn],
  },
  'move-pin': {
    pieces: [...guard.pieces, 'feed', 'ring'],
    keys: [...guard.keys, ...pinKeys],
    args: [...guard.args, ...movedPin, ...life, ...turn],
  },
  'use-pin': {
    pieces: [...guard.pieces, 'feed'],
    keys: [...guard.keys, 'pins', 'expiry'],
    args: [...guard.args, 'job', 'upstream', 'feed', ...life],
  },
  'touch-pins': {
    pieces: [...guard.pieces, 'feed'],
    keys: [...guard.keys, 'pins', 'expiry'],
    args: [...guard.args, 'touches', 'feed', ...life],
  },
  'restore-pins': {
    pieces: [...guard.pieces, 'feed'],
    keys: [...guard.keys, 'pins', 'expiry', 'counts'],
    args: [...guard.args, 'remembered', 'feed', ...life],
  },
  'release-pin': {
    pieces: [...guard.pieces, 'feed'],
    keys: [...guard.keys, 'pins', 'expiry', 'counts'],
    args: [...guard.args, 'job', 'onlyOn', 'feed'],
  },
  'read-pin': {
    pieces: guard.pieces,
    keys: [...guard.keys, 'pins', 'expiry'],
    args: [...guard.args, 'job'],
  },
  'sweep-pins': { pieces: ['clock', 'pin-record'], keys: ['pins', 'expiry', 'counts'], args: ['limit'] },
  publish: { pieces: [], keys: ['fleet'], args: ['version', 'snapshot', 'upstreams'] },
  beat: {
    pieces: ['clock', 'feed'],
    keys: ['gateways', 'fleet'],
    args: ['id', 'report', 'reportKeptMs', 'beats', 'feed'],
  },
  'add-report': { pieces: ['clock'], keys: ['reports'], args: ['id', 'report', 'waitingReports'] },
  identity: { pieces: [], keys: ['born', 'pins', 'expiry', 'counts'], args: ['mark'] },
} as const satisfies {
  [script: string]: { pieces: readonly string[]; keys: readonly string[]; args: readonly string[] }
}

/**
 * Who is told of their outcome may count on it: as many replicas as configured have it then. `use-pin` is how a gateway that
 * only heard of a fresh pin asks whether it stands; its maker may still wait for a replica.
 */
const replicated: ReadonlySet<string> = new Set([
  'pin-job',
  'move-pin',
  'use-pin',
] satisfies (keyof typeof table)[])

type Table = typeof table
export type ScriptName = keyof Table
export type KeyValues<Name extends ScriptName> = { readonly [key in Table[Name]['keys'][number]]: string }
export type ArgValues<Name extends ScriptName> = {
  readonly [arg in Table[Name]['args'][number]]: string | number
}

export type Scripts = ReturnType<typeof makeScripts>

/** @param readLua  the text of lua/<name>.lua; a test may hand in a changed one */
export function makeScripts(client: RedisClient, readLua: (name: string) => string = readBeside) {
  const sources = new Map<ScriptName, { lua: string; sha: string }>()
  for (const name of Object.keys(table) as ScriptName[]) {
    const lua = [locals(name), ...table[name].pieces.map(readLua), readLua(name)].join('\n')
    sources.set(name, { lua, sha: createHash('sha1').update(lua).digest('hex') })
  }

  return {
    /**
     * Runs a script by its hash; where Redis does not know it (new, flushed, restarted) by its text, which loads it.
     * Nothing else is repeated: whether a script that was not answered has run cannot be known.
     * @throws GatewayError store_unavailable
     */
    async run<Name extends ScriptName>(
      name: Name,
      keys: KeyValues<Name>,
      args: ArgValues<Name>,
    ): Promise<unknown> {
      const { lua, sha } = sources.get(name)!
      const values = valuesOf(name, keys, args)
      const count = table[name].keys.length
      const ask = replicated.has(name) ? client.askReplicated : client.ask
      return ask(async (redis) => {
        try {
          return await redis.evalsha(sha, count, ...values)
        } catch (error) {
          if (codeOf(error) !== 'NOSCRIPT') throw error
          return redis.eval(lua, count, ...values)
        }
      })
    },
  }
}

function locals(name: ScriptName): string {
  const { keys, args } = table[name]
  return [
    ...keys.map((key, n) => `local ${key} = KEYS[${n + 1}]`),
    ...args.map((arg, n) => `local ${arg} = ARGV[${n + 1}]`),
  ].join(' ')
}

function valuesOf<Name extends ScriptName>(
  name: Name,
  keys: KeyValues<Name>,
  args: ArgValues<Name>,
): (string | number)[] {
  const script = table[name] as Table[Name]
  return [
    ...script.keys.map((key) => keys[key as keyof KeyValues<Name>]),
    ...script.args.map((arg) => args[arg as keyof ArgValues<Name>]),
  ]
}

function readBeside(name: string): string {
  return readFileSync(new URL(`./lua/${name}.lua`, import.meta.url), 'utf8')
}
