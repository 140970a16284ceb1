import t from 'tap'
import { parseOptions } from '../../bench/fixtures/options.ts'

const names = ['plain-http', 'tunnels', 'pins']
const usual = { cases: names, save: false, compare: null, quick: false, list: false, help: false }

t.test('a command line is understood', async (t) => {
  const cases = [
    { args: [], options: usual },
    { args: ['--case', 'pins'], options: { ...usual, cases: ['pins'] } },
    {
      args: ['--case', 'pins', '--case', 'plain-http'],
      options: { ...usual, cases: ['plain-http', 'pins'] },
    },
    { args: ['--case=pins', '--case=pins'], options: { ...usual, cases: ['pins'] } },
    { args: ['--save', '--quick'], options: { ...usual, save: true, quick: true } },
    { args: ['--compare', 'old.json'], options: { ...usual, compare: 'old.json' } },
    { args: ['--list'], options: { ...usual, list: true } },
    { args: ['--help'], options: { ...usual, help: true } },
    { args: ['-h'], options: { ...usual, help: true } },
  ]
  for (const { args, options } of cases)
    t.same(parseOptions(args, names), options, args.join(' ') || 'nothing')
})

t.test('what is wrong is named, with what there is', async (t) => {
  const cases = [
    { args: ['--cases', 'pins'], says: [/'--cases'/, /--case <name>/] },
    { args: ['pins'], says: [/'pins'/, /--case <name>/] },
    { args: ['--case', 'pin'], says: [/no case "pin"/, /plain-http, tunnels, pins/] },
    { args: ['--case', 'pins', '--case', 'x'], says: [/no case "x"/] },
    { args: ['--case'], says: [/--case/] },
    { args: ['--compare'], says: [/--compare/] },
    { args: ['--save=yes'], says: [/--save/] },
  ]
  for (const { args, says } of cases) {
    const parsed = parseOptions(args, names)
    for (const words of says) t.match('problem' in parsed ? parsed.problem : '', words, args.join(' '))
  }
})
