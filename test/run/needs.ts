// The servers that tests start themselves, on free ports. Missing ones are installed where that is allowed:
// as root or with a sudo that asks no password, by apt-get, so that no service starts. Else: how to get them.

import { spawnSync } from 'node:child_process'
import { accessSync, constants, globSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

type Need = {
  readonly what: string
  readonly program: string
  /** Of Debian and its kin. */
  readonly package: string
  /** Where it may be beside PATH; a glob. */
  readonly folders?: string
}

const needs: readonly Need[] = [
  { what: 'Redis', program: 'redis-server', package: 'redis-server' },
  // Debian keeps its servers of several versions apart, and off PATH.
  { what: 'PostgreSQL', program: 'initdb', package: 'postgresql', folders: '/usr/lib/postgresql/*/bin' },
  { what: 'Tinyproxy', program: 'tinyproxy', package: 'tinyproxy-bin' },
  { what: 'PgBouncer', program: 'pgbouncer', package: 'pgbouncer', folders: '/usr/sbin' },
  { what: 'HAProxy', program: 'haproxy', package: 'haproxy', folders: '/usr/sbin' },
]

/** Ends the program with the command to run where something stays missing. */
export function installWhatIsMissing(): void {
  const missing = needs.filter(isMissing)
  if (missing.length === 0) return
  console.log(`Missing: ${missing.map(({ what }) => what).join(', ')}.`)
  const packages = missing.map((need) => need.package)
  const asRoot = wayToRoot()
  if (asRoot === null || !onPath('apt-get')) return giveUp(packages)
  console.log(`Installing ${packages.join(', ')} with apt-get; no service is started.`)
  const [command = '', ...args] = [
    ...asRoot,
    'sh',
    fileURLToPath(new URL('apt-install.sh', import.meta.url)),
    ...packages,
  ]
  const { status, stdout, stderr } = spawnSync(command, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  if (status === 0 && !needs.some(isMissing)) return
  console.error(`${stdout}${stderr}`)
  giveUp(packages)
}

function giveUp(packages: readonly string[]): void {
  console.error(
    `The tests need them (they start their own servers and use none that runs). Please run, as root:\n\n` +
      `  apt-get update && apt-get install -y ${packages.join(' ')}\n\n` +
      `or install the same programs in another way, so that they are on PATH.`,
  )
  process.exit(1)
}

/** What to put before a command to run it as root; null where there is no way without a password. */
function wayToRoot(): string[] | null {
  if (process.getuid?.() === 0) return []
  if (!onPath('sudo')) return null
  return spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status === 0 ? ['sudo', '-n'] : null
}

function isMissing({ program, folders }: Need): boolean {
  if (onPath(program)) return false
  return folders === undefined || !globSync(folders).some((folder) => isExecutable(join(folder, program)))
}

function onPath(program: string): boolean {
  const folders = (process.env.PATH ?? '').split(delimiter)
  return folders.some((folder) => isExecutable(join(folder, program)))
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
