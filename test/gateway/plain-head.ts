import t from 'tap'
import { expectsContinue, httpAuthority, readPlainHead } from '../../src/gateway/plain-head.ts'

type Given = { method?: string; url?: string; httpVersion?: string; headers?: readonly string[] }

function read({ method = 'GET', url = 'http://bank.test/a', httpVersion = '1.1', headers = [] }: Given) {
  const rawHeaders = httpVersion === '1.0' ? [...headers] : ['Host', 'bank.test', ...headers]
  return readPlainHead({ method, url, httpVersion, rawHeaders })
}

t.test('what goes on', (t) => {
  const rows: [name: string, given: Given, path: string, maxForwards?: number][] = [
    ['a path', {}, '/a'],
    ['no path', { url: 'http://bank.test' }, '/'],
    ['HTTP/1.0 without Host', { httpVersion: '1.0' }, '/a'],
    ['OPTIONS about a path', { method: 'OPTIONS' }, '/a'],
    ['OPTIONS about the target', { method: 'OPTIONS', url: 'HTTP://bank.test:80' }, '*'],
    ['OPTIONS with a query only', { method: 'OPTIONS', url: 'http://bank.test?a' }, '/?a'],
    ['OPTIONS of the root', { method: 'OPTIONS', url: 'http://bank.test/' }, '/'],
    ['Max-Forwards', { method: 'OPTIONS', headers: ['Max-Forwards', '5'] }, '/a', 5],
    ['Max-Forwards at its end', { method: 'OPTIONS', headers: ['max-forwards', ' 0 '] }, '/a', 0],
    ['Max-Forwards of another method, which says nothing', { headers: ['Max-Forwards', 'x'] }, '/a'],
    ['100-continue', { headers: ['Expect', '100-Continue'] }, '/a'],
    ['any expectation in HTTP/1.0', { httpVersion: '1.0', headers: ['Expect', 'tea'] }, '/a'],
  ]
  for (const [name, given, path, maxForwards = null] of rows)
    t.strictSame(read(given), { target: { host: 'bank.test', port: 80 }, path, maxForwards }, name)
  t.end()
})

t.test('what does not', (t) => {
  const rows: [name: string, given: Given, status: number][] = [
    ['another expectation', { headers: ['Expect', 'tea'] }, 417],
    ['another one beside it', { headers: ['Expect', '100-continue, tea'] }, 417],
    ['another one on a line of its own', { headers: ['Expect', '100-continue', 'expect', 'tea'] }, 417],
    ['something like it', { headers: ['Expect', 'x 100-continue'] }, 417],
    ['an empty one', { headers: ['Expect', ''] }, 417],
    ...['', 'abc', '-1', '+1', '1.0', '0x1', '1 1', '1,1', '1000000000', '100000000000000000000'].map(
      (value): [string, Given, number] => [
        `Max-Forwards: ${value}`,
        { method: 'OPTIONS', headers: ['Max-Forwards', value] },
        400,
      ],
    ),
    ['two of them', { method: 'OPTIONS', headers: ['Max-Forwards', '1', 'max-forwards', '1'] }, 400],
  ]
  for (const [name, given, status] of rows) t.throws(() => read(given), { code: 'bad_request', status }, name)
  t.end()
})

t.test('Host is a host, though what it says counts for nothing', (t) => {
  const readHost = (...rawHeaders: string[]) =>
    readPlainHead({ method: 'GET', url: 'http://bank.test/', httpVersion: '1.1', rawHeaders })
  for (const host of [
    'bank.test',
    'other.test:8080',
    '[::1]',
    '[::1]:80',
    '',
    '127.0.0.1:',
    'a_b',
    'B%C3%BC',
  ])
    t.equal(readHost('Host', host).target.host, 'bank.test', host)
  t.throws(() => readHost(), { code: 'bad_request' }, 'none')
  for (const host of [
    'a b',
    'a@b',
    'http://a',
    'a/b',
    'a\\b',
    'a?b',
    'a:b',
    'a:1:2',
    '[a',
    'a]',
    '\xfc',
    'a\tb',
  ])
    t.throws(() => readHost('Host', host), { code: 'bad_request' }, host)
  t.end()
})

t.test('who waits for a 100', (t) => {
  const rawHeaders = ['expect', '100-continue']
  t.ok(expectsContinue({ httpVersion: '1.1', rawHeaders }))
  t.notOk(expectsContinue({ httpVersion: '1.0', rawHeaders }))
  t.notOk(expectsContinue({ httpVersion: '1.1', rawHeaders: [] }))
  t.end()
})

t.test('the authority in Host has no port that http has anyway', (t) => {
  t.equal(httpAuthority({ host: 'bank.test', port: 80 }), 'bank.test')
  t.equal(httpAuthority({ host: 'bank.test', port: 8080 }), 'bank.test:8080')
  t.equal(httpAuthority({ host: '::1', port: 80 }), '[::1]')
  t.end()
})
