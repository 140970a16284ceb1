// Goes through all commands: what help shows is what works.

import type { ServerResponse } from 'node:http'
import t, { type Test } from 'tap'
import { commands } from '../../src/cli/command-table.ts'
import type { Command } from '../../src/cli/command.ts'
import { findCommand } from '../../src/cli/find-command.ts'
import { overview } from '../../src/cli/help.ts'
import { runHere, wordsOf } from '../fixtures/command-line.ts'
import { startScriptedApi, type Asked } from '../fixtures/scripted-api.ts'

const remote = commands.filter(({ flags }) => 'url' in flags)

t.test('names are there once, a command with verbs takes no argument, and each has an example', (t) => {
  const names = commands.map(({ name }) => name)
  t.equal(new Set(names).size, names.length)
  for (const { name, args } of commands) {
    t.match(name, /^[a-z-]+( [a-z]+)?$/)
    const hasVerbs = names.some((other) => other.startsWith(`${name} `))
    if (hasVerbs) t.strictSame(args, {}, `${name}: else a verb might be an argument`)
  }
  for (const { name, examples, does } of commands) {
    t.ok(examples.length > 0, name)
    t.match(does, /^[a-z].*[^.]$/, name)
  }
  t.end()
})

t.test('every example is a line that works, of the command that it stands under', (t) => {
  for (const command of commands)
    for (const example of command.examples) {
      const asked = findCommand(wordsOf(example), commands)
      t.equal(asked.kind === 'run' && asked.command, command, example)
      t.doesNotThrow(() => asked.kind === 'run' && asked.command.prepare(asked.words), example)
    }
  const inOverview = overview(commands).match(/^ .*\blanekeeper .*$/gm) ?? []
  t.ok(inOverview.length > 2)
  for (const example of inOverview) t.equal(findCommand(wordsOf(example), commands).kind, 'run', example)
  t.end()
})

t.test('every flag of its own is shown in an example of a command, the common ones in one of any', (t) => {
  const common = ['url', 'timeout', 'json', 'limit', 'all', 'reason', 'actor', 'idempotency-key', 'force']
  const uses = (name: string) => (example: string) =>
    wordsOf(example).some((word) => word === `--${name}` || word.startsWith(`--${name}=`))
  for (const { name, flags, examples } of commands)
    for (const flag of Object.keys(flags).filter((flag) => !common.includes(flag)))
      t.ok(examples.some(uses(flag)), `${name} --${flag}`)
  t.end()
})

/** A line for each flag of each command, beside the same line without it: they must not do the same. */
const lines: { readonly [name: string]: string } = {
  'upstreams list': '--state running --limit 2|--all',
  'upstreams show': 'x',
  'upstreams quarantine': 'x',
  'upstreams release': 'x',
  'upstreams create':
    '--address 10.0.0.5:8888 --name n --egress-ip 203.0.113.5 --label k=v --credentials c|--zone z --count 2 --wait',
  'upstreams drain': 'x y --deadline 15m --wait',
  'upstreams cancel': 'x y',
  'upstreams recycle': 'x --wait',
  'upstreams delete': 'x --force --wait|x y --deadline 15m',
  'fleet show': '',
  'fleet size': '5 --wait',
  sync: '--confirm --wait',
  'sync report': '',
  'restrictions list': '--limit 2|--all',
  'restrictions show': 'x',
  'restrictions add':
    '--kind deny --type a --institution b --ids c --overflow --id d --force --evict --wait|--kind deny --label k=v|--kind targets --target a.b --report',
  'restrictions replace':
    'x --kind deny --type a --institution b --ids c --overflow --force --evict --wait|x --kind deny --label k=v|x --kind targets --target a.b --report',
  'restrictions remove': 'x --force --evict --wait',
  explain: '--type a --institution b',
  'jobs show': 'x',
  'jobs release': 'x',
  'jobs report': 'x --outcome blocked',
  'jobs reports': 'x --limit 2',
  token: '--job 42 --type a --institution b --ttl 2h',
  'ledger list': '--about x --limit 2|--all',
  'ledger show': '7',
  'ledger verify': '',
}

t.test('no flag is without effect', async (t) => {
  t.same(
    Object.keys(lines),
    remote.map(({ name }) => name),
    'each command has its line',
  )
  for (const command of remote) {
    const shared = command.flags.reason ? ' --reason r --actor a --idempotency-key k' : ''
    const [first, ...others] = lines[command.name]!.split('|').map((words) => `${words}${shared} --json`)
    const given = [first!, ...others].map((words) => words.split(' ').filter(Boolean))
    const tried = new Set<string>()
    for (const words of given)
      for (const flag of words.filter((word) => word.startsWith('--'))) {
        tried.add(flag.slice(2))
        const [whole, part] = [
          await doneBy(t, command, words),
          await doneBy(t, command, without(words, flag)),
        ]
        t.notSame(part, whole, `lanekeeper ${command.name} ${words.join(' ')}, and without ${flag}`)
      }
    // With another URL it would reach nobody; the time-out has tests of its own.
    t.same(
      [...tried].sort(),
      Object.keys(command.flags)
        .filter((flag) => !['url', 'timeout'].includes(flag))
        .sort(),
    )
  }
})

function without(words: readonly string[], flag: string): string[] {
  const at = words.indexOf(flag)
  const takes = words[at + 1]?.startsWith('--') === false ? 2 : 1
  return words.toSpliced(at, takes)
}

/** What it asked for and what it said; or that its command line was refused. */
async function doneBy(t: Test, command: Command, words: readonly string[]): Promise<unknown> {
  const api = await startScriptedApi(t, anything)
  try {
    const { code, out, err } = await runHere([...command.name.split(' '), ...words], { ADMIN_URL: api.url })
    // A key that was made up is another one each time.
    const asked = api.asked.map(({ headers, ...rest }) => ({
      ...rest,
      key: words.includes('--idempotency-key') ? headers['idempotency-key'] : null,
      actor: headers['x-actor'],
    }))
    return { asked, code, out, err }
  } catch (error) {
    return String(error)
  }
}

/** A row of everything, as far as the commands look; lists have a second page. */
function anything(response: ServerResponse, { path, method }: Asked): void {
  const query = new URL(path, 'http://x').searchParams
  const rule = {
    id: 'x',
    kind: 'deny',
    type: 'a',
    institution: 'b',
    upstreams: { ids: ['c'] },
    overflow: false,
  }
  const upstream = { state: 'running', host: 'h', port: 1, pins: 0, tunnels: 0 }
  const steps = [{ kind: 'jobs_evicted', asked: 7, jobs: 3 }]
  const answers = { evicting: query.has('evict'), ok: true, entries: 7, eligible: [], refused: [] }
  const fleet = { wanted: 5, states: { provisioning: 0, running: 5, draining: 0, deleting: 0, failed: 0 } }
  const report = { pass: 'p', outcome: 'done', problems: [], corrected: [], left: [] }
  const row = { ...rule, ...upstream, ...answers, ...fleet, ...report, token: 't', version: 7, steps }
  const limit = Number(query.get('limit') ?? 0)
  const items = Array(Math.min(limit, 3)).fill({ ...row, version: 8 })
  const page = { items, next: query.has('after') ? null : 'more' }
  response.writeHead(200, { 'content-type': 'application/json' })
  response.end(JSON.stringify(limit > 0 && method === 'GET' ? page : row))
}
