import t from 'tap'
import { command, type Surroundings } from '../../src/cli/command.ts'
import * as flags from '../../src/cli/flags.ts'

const seen: unknown[] = []
const sample = command({
  name: 'things make',
  does: 'make a thing',
  args: { id: flags.argument('its id', flags.id) },
  flags: {
    size: flags.required('n', 'how big', flags.wholeNumber(1, 9)),
    note: flags.option('text', 'a note', flags.text),
    label: flags.repeatable('k=v', 'a label', flags.labels),
    force: flags.toggle('do it'),
    gently: flags.toggle('with care'),
  },
  examples: [],
  contradiction: ({ force, gently }) => (force && gently ? 'Either --force or --gently.' : null),
  run: async ({ args, flags: given }) => {
    seen.push({ ...args, ...given })
    return 7
  },
})

t.test('what is right is read, and runs', async (t) => {
  const plain = { id: 'a', size: 3, note: null, label: null, force: false, gently: false }
  const cases: [words: string[], wanted: object][] = [
    [['a', '--size', '3'], plain],
    [['--size=3', 'a'], plain],
    [['--size', '3', '--', 'a'], plain],
    [['a', '--size', '3', '--force'], { ...plain, force: true }],
    [['a', '--size', '3', '--note=-x'], { ...plain, note: '-x' }],
    [['a', '--size', '3', '--note', 'x - y'], { ...plain, note: 'x - y' }],
    [['a', '--size', '3', '--label', 'k=v', '--label=l=w'], { ...plain, label: { k: 'v', l: 'w' } }],
  ]
  for (const [words, wanted] of cases) {
    t.equal(await sample.prepare(words)({} as Surroundings), 7)
    t.strictSame(seen.pop(), wanted, words.join(' '))
  }
})

const several = command({
  name: 'things drop',
  does: 'drop things',
  args: { where: flags.argument('where', flags.id), id: flags.someOf('their ids', flags.id) },
  flags: { force: flags.toggle('do it') },
  examples: [],
  run: async ({ args }) => {
    seen.push(args)
    return 0
  },
})

t.test('the last argument may take several words', async (t) => {
  const cases: [words: string, id: string[]][] = [
    ['here a', ['a']],
    ['here a b c', ['a', 'b', 'c']],
    ['here a --force b', ['a', 'b']],
    ['here -- a b', ['a', 'b']],
  ]
  for (const [words, id] of cases) {
    await several.prepare(words.split(' '))({} as Surroundings)
    t.strictSame(seen.pop(), { where: 'here', id }, words)
  }
  const wrong: [words: string, problem: string][] = [
    ['here', 'Missing: <id>.'],
    ['here a b a', '<id> gives "a" twice.'],
    ['here a ..', '<id> must be an id, which begins with a letter or a digit, found "..".'],
  ]
  for (const [words, message] of wrong)
    t.throws(() => several.prepare(words.split(' ')), { constructor: flags.UsageError, message }, words)
})

t.test('nothing that was written is passed over', (t) => {
  const cases: [words: string, problem: string][] = [
    ['--size 3', 'Missing: <id>.'],
    ['a', 'Missing: --size.'],
    ['a b --size 3', 'It takes <id>, found "b" besides.'],
    ['a --size', '--size needs a value: --size <n>.'],
    ['a --size --force', '--size needs a value, found "--force". If that is the value: --size=--force'],
    ['a --size 3 --size 4', '--size is given twice.'],
    ['a --size 3 --force --force', '--force is given twice.'],
    ['a --size 10', '--size must be a whole number from 1 to 9, found "10".'],
    ['.. --size 3', '<id> must be an id, which begins with a letter or a digit, found "..".'],
    ['a --size 3 --force=no', '--force takes no value, found "no".'],
    ['a --size 3 --no-force', 'There is no flag "--no-force" here.'],
    ['a --size 3 --froce', 'There is no flag "--froce" here. Did you mean --force?'],
    ['a --sise 3', 'There is no flag "--sise" here. Did you mean --size?'],
    ['a --size 3 -f', 'There is no flag "-f" here.'],
    ['a --size 3 --__proto__ x', 'There is no flag "--__proto__" here.'],
    ['a --size 3 --constructor', 'There is no flag "--constructor" here.'],
    ['a --size 3 --force --gently', 'Either --force or --gently.'],
  ]
  for (const [words, problem] of cases) {
    const read = () => sample.prepare(words.split(' '))
    t.throws(read, { constructor: flags.UsageError, message: problem }, words)
  }
  t.same(seen, [], 'and nothing ran')
  t.end()
})
