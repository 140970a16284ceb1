import fc from 'fast-check'
import t from 'tap'
import { quoted } from '../../src/routing/quoted.ts'

t.test('text from a client, as it stands in an error', async (t) => {
  const rows: [name: string, text: string, shown: string][] = [
    ['plain text', 'bank.example', '"bank.example"'],
    ['nothing', '', '""'],
    ['a quote and a backslash', 'a"b\\c', '"a\\"b\\\\c"'],
    ['line ends', 'a\r\nX: y', '"a\\u000d\\u000aX: y"'],
    ['Latin-1 and beyond', '\u00fc\u212a\u{1f4a9}', '"\\u00fc\\u212a\\ud83d\\udca9"'],
    ['80 characters', 'a'.repeat(80), `"${'a'.repeat(80)}"`],
    ['81 characters', 'a'.repeat(81), `"${'a'.repeat(80)}..."`],
  ]
  for (const [name, text, shown] of rows) t.equal(quoted(text), shown, name)
})

t.test('any text gives one short printable line', async () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => /^"[\x20-\x7e]{0,483}"$/.test(quoted(text))))
})
