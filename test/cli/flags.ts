import t from 'tap'
import * as flags from '../../src/cli/flags.ts'

const { UsageError } = flags

t.test('words are read, or refused with what is wanted and what was found', (t) => {
  const cases: [reader: (word: string) => unknown, word: string, wanted: unknown][] = [
    [flags.text, 'a b', 'a b'],
    [flags.text, ' ', /must be a text, found " "/],
    [flags.oneOf('ok', 'blocked'), 'ok', 'ok'],
    [flags.oneOf('ok', 'blocked'), 'bad', /must be ok, blocked, found "bad"/],
    [flags.wholeNumber(1, 100), '100', 100],
    [flags.wholeNumber(1, 100), '0', /from 1 to 100, found "0"/],
    [flags.wholeNumber(1, 100), '101', /found "101"/],
    [flags.wholeNumber(1, 100), '1.5', /found "1.5"/],
    [flags.wholeNumber(1, 100), '0x10', /found "0x10"/],
    [flags.wholeNumber(1, 100), '', /found ""/],
    [flags.duration('1s', '1h'), '10', 10_000],
    [flags.duration('1s', '1h'), '2.5', 2500],
    [flags.duration('1s', '1h'), '90s', 90_000],
    [flags.duration('1s', '1h'), '1500ms', 1500],
    [flags.duration('1s', '1h'), '60m', 3_600_000],
    [flags.duration('1s', '1h'), '1h', 3_600_000],
    [flags.duration('0', '7d'), '0', 0],
    [flags.duration('0', '7d'), '7d', 604_800_000],
    [flags.duration('0', '7d'), '0.0005', /must be a time from 0 to 7d/],
    [flags.duration('1s', '1h'), '0.5', /must be a time from 1s to 1h, such as 90s, 15m or 2h, found "0.5"/],
    [flags.duration('1s', '1h'), '61m', /found "61m"/],
    [flags.duration('1s', '1h'), '1h30m', /found "1h30m"/],
    [flags.duration('1s', '1h'), '-5s', /found "-5s"/],
    [flags.duration('1s', '1h'), '', /found ""/],
    [flags.list, 'a', ['a']],
    [flags.list, 'a, b', ['a', 'b']],
    [flags.list, 'a,,b', /a list such as a,b/],
    [flags.list, '', /a list such as a,b/],
    [flags.id, 'up-1', 'up-1'],
    [flags.id, 'job:1~@+', 'job:1~@+'],
    [flags.id, '..', /begins with a letter or a digit/],
    [flags.id, '.', /begins with/],
    [flags.id, '', /begins with/],
    [flags.id, 'a b', /begins with/],
    [flags.httpUrl, 'http://control:3129', 'http://control:3129'],
    [flags.httpUrl, 'https://ops.example/lanekeeper/', 'https://ops.example/lanekeeper'],
    [flags.httpUrl, 'control:3129', /a URL like http/],
    [flags.httpUrl, 'http://control:3129?x=1', /a URL like http/],
  ]
  for (const [read, word, wanted] of cases) {
    if (wanted instanceof RegExp)
      t.throws(() => read(word), { constructor: UsageError, message: wanted }, word)
    else t.strictSame(read(word), wanted, word)
  }
  t.end()
})

t.test('a URL with a password is refused without repeating it', (t) => {
  for (const url of [
    'http://admin:s3cret@control:3129',
    'http://:s3cret@control:3129',
    'http://s3cret@control',
  ])
    t.throws(() => flags.httpUrl(url), { message: /^must be a URL like \S+, without credentials$/ }, url)
  t.end()
})

t.test('an argument that takes several takes each once', (t) => {
  const { read, isRepeatable } = flags.someOf('the ids', flags.id)
  t.ok(isRepeatable)
  t.strictSame(read(['a']), ['a'])
  t.strictSame(read(['b', 'a']), ['b', 'a'])
  t.throws(() => read(['a', 'b', 'a']), { constructor: UsageError, message: 'gives "a" twice' })
  t.throws(() => read(['a', '..']), { message: /must be an id.*found "\.\."/ })
  t.end()
})

t.test('a list may come in parts', (t) => {
  t.strictSame(flags.lists([]), null)
  t.strictSame(flags.lists(['a', 'b, c', 'd']), ['a', 'b', 'c', 'd'])
  t.throws(() => flags.lists(['a', 'b,']), /a list such as a,b, found "b,"/)
  t.end()
})

t.test('labels come one by one', (t) => {
  t.strictSame(flags.labels([]), null)
  t.strictSame(flags.labels(['pool=cl', 'note=a=b', 'empty=']), { pool: 'cl', note: 'a=b', empty: '' })
  t.strictSame(Object.entries(flags.labels(['__proto__=x'])!), [['__proto__', 'x']])
  t.throws(() => flags.labels(['pool']), /label=value, found "pool"/)
  t.throws(() => flags.labels(['=x']), /label=value/)
  t.throws(() => flags.labels(['a=1', 'a=2']), /"a" twice/)
  t.end()
})
