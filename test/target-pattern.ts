import t from 'tap'
import { targetPatternOf } from '../src/target-pattern.ts'

t.test('a pattern has one spelling', async (t) => {
  const rows: [name: string, text: string, pattern: string][] = [
    ['a name', 'bank.example', 'bank.example'],
    ['upper case', 'Bank.EXAMPLE', 'bank.example'],
    ['a dot at the end', 'bank.example.', 'bank.example'],
    ['names below one', '*.Bank.example.', '*.bank.example'],
    ['an underscore', '_api.bank_a.example', '_api.bank_a.example'],
    ['the xn-- form', 'xn--bnk-qla.example', 'xn--bnk-qla.example'],
    ['an IPv4 address', '203.0.113.7', '203.0.113.7'],
    ['an IPv4 range', '203.0.113.0/24', '203.0.113.0/24'],
    ['an IPv6 address', '2001:DB8::A', '2001:db8::a'],
    ['an IPv6 range', '2001:db8::/32', '2001:db8::/32'],
    ['a mapped IPv4 address', '::ffff:203.0.113.7', '::ffff:203.0.113.7'],
    ['the longest label', `${'a'.repeat(63)}.example`, `${'a'.repeat(63)}.example`],
  ]
  for (const [name, text, pattern] of rows) t.equal(targetPatternOf(text), pattern, name)
})

t.test('what no target could match is no pattern', async (t) => {
  const texts = [
    '',
    '.',
    '*',
    '*.',
    '*bank.example',
    'a.*.example',
    '*.*.example',
    '*.203.0.113.7',
    'bank..example',
    '.bank.example',
    'bank.example..',
    '-bank.example',
    'bank-.example',
    `${'a'.repeat(64)}.example`,
    `${'a.'.repeat(126)}ab`,
    'bänk.example',
    'bank.example:443',
    'https://bank.example',
    'user@bank.example',
    'bank.example/path',
    ' bank.example',
    '127.1',
    '0x7f.1',
    '203.0.113.256',
    '203.0.113.0/33',
    '203.0.113.0/',
    '203.0.113.0/24/1',
    '2001:db8::/129',
    '[2001:db8::1]',
    'fe80::1%eth0',
  ]
  for (const text of texts) t.equal(targetPatternOf(text), null, JSON.stringify(text))
})
