import t from 'tap'
import { commands } from '../../src/cli/command-table.ts'
import { findCommand, usageProblem } from '../../src/cli/find-command.ts'
import { UsageError } from '../../src/cli/flags.ts'

const find = (line: string) => findCommand(line === '' ? [] : line.split(' '), commands)

t.test('a command is found by its name, and gets the words behind it', (t) => {
  const cases: [line: string, name: string, words: string[]][] = [
    ['start', 'start', []],
    ['upstreams list', 'upstreams list', []],
    ['upstreams list --state running', 'upstreams list', ['--state', 'running']],
    ['jobs release help', 'jobs release', ['help']],
    ['jobs show -- --help', 'jobs show', ['--', '--help']],
    ['explain --type payment', 'explain', ['--type', 'payment']],
    ['sync', 'sync', []],
    ['sync --confirm --wait', 'sync', ['--confirm', '--wait']],
    ['sync report', 'sync report', []],
    ['sync report --json', 'sync report', ['--json']],
    ['fleet size 5', 'fleet size', ['5']],
    ['upstreams drain up-1 up-2', 'upstreams drain', ['up-1', 'up-2']],
  ]
  for (const [line, name, words] of cases) {
    const asked = find(line)
    t.match(asked, { kind: 'run', command: { name } }, line)
    t.strictSame(asked.kind === 'run' && asked.words, words, line)
  }
  t.end()
})

t.test('help is to be had everywhere', (t) => {
  const cases: [line: string, wanted: RegExp][] = [
    ['help', /^Lanekeeper keeps every job on one outgoing IP/],
    ['--help', /^Lanekeeper keeps every job/],
    ['-h', /^Lanekeeper keeps every job/],
    ['help help', /^There is no command "help"/],
    ['upstreams --help', /^Usage: lanekeeper upstreams <list\|show\|quarantine\|release\|create\|drain\|/],
    ['sync --help', /^lanekeeper sync: .*lanekeeper sync report/s],
    ['sync report --help', /^lanekeeper sync report: /],
    ['help sync report', /^lanekeeper sync report: /],
    ['fleet --help', /^Usage: lanekeeper fleet <show\|size>/],
    ['help upstreams', /^Usage: lanekeeper upstreams </],
    ['upstreams list --help', /^lanekeeper upstreams list: /],
    ['upstreams list --state -h', /^lanekeeper upstreams list: /],
    ['help upstreams list', /^lanekeeper upstreams list: /],
    ['upstreams show up-1 --help', /^lanekeeper upstreams show: /],
    ['start --help', /^lanekeeper start: /],
    ['--help restrictions add', /^lanekeeper restrictions add: /],
  ]
  for (const [line, wanted] of cases) {
    const asked = find(line)
    t.equal(asked.kind, String(wanted).includes('There is no') ? 'wrong' : 'help', line)
    t.match(asked.kind === 'run' ? '' : asked.text, wanted, line)
  }
  t.end()
})

t.test('what is not there is said, with the nearest that is', (t) => {
  const cases: [line: string, wanted: RegExp][] = [
    ['', /^Lanekeeper keeps every job/],
    ['upstreams', /^Usage: lanekeeper upstreams </],
    ['upstream list', /no command "upstream"\. Did you mean "upstreams"\?\nHelp: lanekeeper --help$/],
    [
      'upstreams lst',
      /no command "upstreams lst"\. Did you mean "upstreams list"\?\nHelp: lanekeeper upstreams --help$/,
    ],
    ['upstreams explode', /no command "upstreams explode"\.\nHelp/],
    ['strat', /no command "strat"\. Did you mean "start"\?/],
    ['--json upstreams list', /command comes first, its flags behind it; found "--json"/],
    ['sync reprot', /no command "sync reprot"\. Did you mean "sync report"\?\nHelp: lanekeeper sync --help$/],
    ['snyc', /no command "snyc"\. Did you mean "sync"\?/],
    ['fleet siez 5', /no command "fleet siez"\. Did you mean "fleet size"\?/],
    ['flete show', /Did you mean "fleet"\?/],
    ['upstreams drian up-1', /Did you mean "upstreams drain"\?/],
    ['upstreams recyle up-1', /Did you mean "upstreams recycle"\?/],
    ['upstreams cancle up-1', /Did you mean "upstreams cancel"\?/],
    ['constructor', /no command "constructor"\.\n/],
  ]
  for (const [line, wanted] of cases) t.match(find(line), { kind: 'wrong', text: wanted }, line)
  t.end()
})

t.test('a wrong flag is told with the way to get help', (t) => {
  const show = commands.find(({ name }) => name === 'upstreams show')!
  t.equal(
    usageProblem(new UsageError('Missing: <id>.'), show),
    'Missing: <id>.\nUsage: lanekeeper upstreams show <id> [flags]\nHelp: lanekeeper upstreams show --help',
  )
  t.end()
})
