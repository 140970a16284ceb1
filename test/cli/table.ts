import t from 'tap'
import { cell, count, plain, record, table } from '../../src/cli/table.ts'

t.test('a value is told in one cell', (t) => {
  const cases: { [name: string]: [unknown, string] } = {
    none: [null, '-'],
    'a field that an older server does not have': [undefined, '-'],
    'an empty text': ['', '-'],
    'a text': ['up-1', 'up-1'],
    zero: [0, '0'],
    yes: [true, 'yes'],
    no: [false, 'no'],
    'a list': [['a', 'b'], 'a,b'],
    'an empty list': [[], '-'],
    labels: [{ pool: 'cl', zone: 'a' }, 'pool=cl,zone=a'],
    'no labels': [{}, '-'],
    'labels with hostile names': [{ 'a\u001b[2J': 'b\u0007' }, 'a\\u{1b}[2J=b\\u{7}'],
  }
  for (const [name, [value, wanted]] of Object.entries(cases)) t.equal(cell(value), wanted, name)
  t.end()
})

t.test('nothing in a value reaches the terminal as a command, and no line is broken', (t) => {
  const cases: { [name: string]: [string, string] } = {
    'an escape sequence': ['\u001b[31mred', '\\u{1b}[31mred'],
    'its one-character form': ['\u009b31mred', '\\u{9b}31mred'],
    'a line end': ['a\r\nb', 'a\\r\\nb'],
    'a tab': ['a\tb', 'a\\tb'],
    'a backspace and a delete': ['a\u0008\u007f', 'a\\u{8}\\u{7f}'],
    'the direction of writing turned round': ['a\u202eb', 'a\\u{202e}b'],
    'a line separator': ['a\u2028b', 'a\\u{2028}b'],
    'what is not seen at all': ['a\u200bb\u{e0041}', 'a\\u{200b}b\\u{e0041}'],
    'half a character': ['a\ud800b', 'a\\u{d800}b'],
    'letters of any language': ['Ñuñoa 東京 🙂', 'Ñuñoa 東京 🙂'],
  }
  for (const [name, [text, wanted]] of Object.entries(cases)) t.equal(plain(text), wanted, name)
  t.end()
})

t.test('columns are as wide as what is in them, numbers stand at the right', (t) => {
  const columns = [
    { title: 'ID', of: (row: { id: string; pins: number | null }) => row.id },
    { title: 'PINS', of: (row: { pins: number | null }) => row.pins, align: 'right' as const },
    { title: 'NOTE', of: () => 'x' },
  ]
  const rows = [
    { id: 'up-1', pins: 7 },
    { id: 'a-longer-id', pins: 12_345 },
    { id: 'b', pins: null },
  ]
  t.equal(
    table(columns, rows),
    [
      'ID            PINS  NOTE',
      'up-1             7  x',
      'a-longer-id  12345  x',
      'b                -  x',
    ].join('\n'),
  )
  t.equal(table(columns, []), 'ID  PINS  NOTE')
  t.end()
})

t.test('one record is a line for each field; fields of fields have a dotted name', (t) => {
  t.equal(
    record({ id: 'j', upstream: { id: 'up-1', egressIp: null }, labels: { pool: 'cl' }, ids: ['a', 'b'] }),
    [
      'id                 j',
      'upstream.id        up-1',
      'upstream.egressIp  -',
      'labels             pool=cl',
      'ids                a,b',
    ].join('\n'),
  )
  t.equal(record({}), '')
  t.end()
})

t.test('counts are said in words', (t) => {
  t.equal(count(0, 'upstream'), 'no upstreams')
  t.equal(count(1, 'upstream'), '1 upstream')
  t.equal(count(2, 'upstream'), '2 upstreams')
  t.end()
})
