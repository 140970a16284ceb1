import t from 'tap'
import { commands } from '../../src/cli/command-table.ts'
import { commandHelp, nounHelp, overview, usage } from '../../src/cli/help.ts'

t.test('the overview names each command with what it does', (t) => {
  const text = overview(commands)
  for (const { name, does } of commands)
    t.ok(
      text.split('\n').some((line) => line.startsWith(`  ${name}`) && line.endsWith(does)),
      name,
    )
  for (const code of ['0  done', '1  failed', '2  the command line', '3  ledger verify', '4  refused'])
    t.match(text, new RegExp(`^  ${code}`, 'm'), code)
  t.end()
})

t.test("a command's help names all of its flags, arguments, examples and exit codes", (t) => {
  for (const command of commands) {
    const lines = commandHelp(command).split('\n')
    const has = (start: string, end = '') =>
      lines.some((line) => line.startsWith(start) && line.includes(end))
    for (const [name, { value, does }] of Object.entries(command.flags))
      t.ok(has(`  --${name}${value === null ? ' ' : ` <${value}>`}`, does), `${command.name}: --${name}`)
    for (const [name, { does, isRepeatable }] of Object.entries(command.args))
      t.ok(has(`  <${name}>${isRepeatable ? '...' : ' '}`, does))
    for (const example of command.examples) t.ok(has(`  ${example}`))
    for (const code of ['0', '1', '2', ...Object.keys(command.exits)]) t.ok(has(`  ${code}  `))
    if ('4' in command.exits) t.ok('force' in command.flags, `${command.name}: exit code 4 asks for --force`)
    t.ok(
      lines.every((line) => line === line.trimEnd() && !line.includes('undefined')),
      command.name,
    )
  }
  t.end()
})

t.test('what must be given stands in the usage', (t) => {
  const byName = (name: string) => commands.find((command) => command.name === name)!
  t.equal(usage(byName('start')), 'Usage: lanekeeper start')
  t.equal(
    usage(byName('upstreams drain')),
    'Usage: lanekeeper upstreams drain <id>... [flags]',
    'and what may be more than one',
  )
  t.equal(
    usage(byName('jobs report')),
    'Usage: lanekeeper jobs report <id> --outcome <ok|blocked|captcha|rate_limited> [flags]',
  )
  const verbs = commands.filter(({ name }) => name.startsWith('ledger '))
  t.match(nounHelp('ledger', verbs), /^Usage: lanekeeper ledger <list\|show\|verify>\n/)
  t.end()
})
