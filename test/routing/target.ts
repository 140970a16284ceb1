import fc from 'fast-check'
import t from 'tap'
import { isGatewayError } from '../../src/errors.ts'
import { formatTarget, parseAuthority, parseHttpUrl } from '../../src/routing/target.ts'
import type { Target } from '../../src/types.ts'

const refusal = { code: 'bad_request', status: 400, token: 'http_request_error' }
const tooLong = { code: 'bad_request', status: 414, token: 'http_request_error' }

t.test('targets of a CONNECT', async (t) => {
  const rows: [name: string, text: string, host: string, port: number][] = [
    ['a name', 'bank.example:443', 'bank.example', 443],
    ['upper case and a dot at the end', 'Bank.Example.:443', 'bank.example', 443],
    ['the lowest port', 'bank.example:1', 'bank.example', 1],
    ['the highest port', 'bank.example:65535', 'bank.example', 65_535],
    ['IPv4', '192.0.2.1:80', '192.0.2.1', 80],
    ['IPv6', '[2001:DB8::0:1]:443', '2001:db8::1', 443],
    ['IPv6 with IPv4 in it', '[::ffff:192.0.2.1]:443', '::ffff:c000:201', 443],
  ]
  for (const [name, text, host, port] of rows) t.same(parseAuthority(text), { host, port }, name)
})

t.test('targets of a CONNECT that are refused', async (t) => {
  const numbers =
    '0 00 65536 84979 99999 100000 -1 +443 0x1BB 443abc 0443 1e3 443.0 443:443 11111111111111111111'
  const ports = [...numbers.split(' '), '', ' 443', '443 ', '4 43', '443\n', '\u0664\u0664\u0663']
  const rows: [name: string, text: string][] = [
    ['nothing', ''],
    ['a colon', ':'],
    ['no port', 'bank.example'],
    ['no host', ':443'],
    ...ports.map((port): [string, string] => [`port ${JSON.stringify(port)}`, `bank.example:${port}`]),
    ['a user', 'user@bank.example:443'],
    ['a user with a password', 'u:p@bank.example:443'],
    ['a target in the user part', 'bank.example:443@169.254.169.254:80'],
    ['two users', 'a@b@bank.example:443'],
    ['an empty user', '@bank.example:443'],
    ['a path', 'bank.example:443/x'],
    ['a slash', 'bank.example:443/'],
    ['a query', 'bank.example:443?x'],
    ['a fragment', 'bank.example:443#x'],
    ['a URL', 'http://bank.example:443'],
    ['an https URL', 'https://bank.example'],
    ['slashes in front', '//bank.example:443'],
    ['a path alone', '/'],
    ['a star', '*'],
    ['IPv6 without brackets', '::1:443'],
    ['an opening bracket alone', '[::1'],
    ['an opening bracket and a port', '[::1:443'],
    ['a closing bracket alone', '::1]:443'],
    ['brackets in brackets', '[[::1]]:443'],
    ['no colon behind the bracket', '[::1]443'],
    ['no port behind the bracket', '[::1]'],
    ['text behind the bracket', '[::1]x:443'],
    ['text before the bracket', 'x[::1]:443'],
    ['a zone', '[::1%lo]:443'],
    ['an escaped colon', 'bank.example%3A443'],
    ['a space in front', ' bank.example:443'],
    ['two targets', 'bank.example:443,other.example:443'],
    ['an octal address', '0177.0.0.1:443'],
    ['300 bytes', `${'a.'.repeat(147)}aa:443`],
  ]
  for (const [name, text] of rows) t.throws(() => parseAuthority(text), refusal, name)
  t.throws(
    () => parseAuthority('https://bank.example:443'),
    { message: /host:port, not a URL/ },
    'with a hint',
  )
  t.throws(() => parseAuthority(`${'a.'.repeat(147)}aaa:443`), tooLong, '301 bytes')
  t.throws(() => parseAuthority('x'.repeat(20_000)), tooLong, '20 KB')
})

t.test('absolute URLs', async (t) => {
  const bank = { host: 'bank.example', port: 80 }
  const rows: [name: string, text: string, target: Target, path: string][] = [
    ['host and path', 'http://bank.example/a/b', bank, '/a/b'],
    ['no path', 'http://bank.example', bank, '/'],
    ['a query without a path', 'http://bank.example?x=1', bank, '/?x=1'],
    ['a path with a query', 'http://bank.example/a?x=1&y=/', bank, '/a?x=1&y=/'],
    ['an empty query', 'http://bank.example/?', bank, '/?'],
    ['upper case', 'HTTP://BANK.example/A', bank, '/A'],
    ['a port', 'http://bank.example:8080/', { ...bank, port: 8080 }, '/'],
    ['a port without a path', 'http://bank.example:8080', { ...bank, port: 8080 }, '/'],
    ['a port and a query', 'http://bank.example:8080?x', { ...bank, port: 8080 }, '/?x'],
    ['IPv6', 'http://[::1]/', { host: '::1', port: 80 }, '/'],
    ['IPv6 and a port', 'http://[::1]:81/', { host: '::1', port: 81 }, '/'],
    ['escapes stay', 'http://bank.example/%2e%2E/%00', bank, '/%2e%2E/%00'],
    ['dots stay', 'http://bank.example/../a/./b', bank, '/../a/./b'],
    ['two slashes stay', 'http://bank.example//a', bank, '//a'],
    ['an @ in the path', 'http://bank.example/@x', bank, '/@x'],
    ['an @ in the query', 'http://bank.example?u=a@b:1', bank, '/?u=a@b:1'],
    ['a URL in the path', 'http://bank.example/http://other.example/', bank, '/http://other.example/'],
    ['8 KiB', `http://bank.example/${'a'.repeat(8172)}`, bank, `/${'a'.repeat(8172)}`],
  ]
  for (const [name, text, target, path] of rows) t.same(parseHttpUrl(text), { target, path }, name)
})

t.test('URLs that are refused', async (t) => {
  const rows: [name: string, text: string][] = [
    ['nothing', ''],
    ['a path', '/a'],
    ['a star', '*'],
    ['host and port', 'bank.example:80'],
    ['https', 'https://bank.example/'],
    ['ftp', 'ftp://bank.example/'],
    ['gopher', 'gopher://bank.example/'],
    ['file', 'file:///etc/passwd'],
    ['ws', 'ws://bank.example/'],
    ['a scheme of a part of every object', '__proto__://bank.example/'],
    ['no scheme', '//bank.example/'],
    ['one slash', 'http:/bank.example/'],
    ['no slash', 'http:bank.example'],
    ['no host', 'http:///x'],
    ['nothing behind the scheme', 'http://'],
    ['a query alone', 'http://?x'],
    ['a port alone', 'http://:80/'],
    ['an empty port', 'http://bank.example:/'],
    ['port 0', 'http://bank.example:0/'],
    ['port 65536', 'http://bank.example:65536/'],
    ['a leading zero', 'http://bank.example:080/'],
    ['a user', 'http://user@bank.example/'],
    ['a user with a password', 'http://u:p@bank.example/'],
    ['a backslash before an @', 'http://bank.example\\@other.example'],
    ['a backslash before the path', 'http://bank.example\\x'],
    ['a fragment', 'http://bank.example/#x'],
    ['an empty fragment', 'http://bank.example/#'],
    ['a fragment without a path', 'http://bank.example#x'],
    ['a space', 'http://bank.example/a b'],
    ['a space in front', ' http://bank.example/'],
    ['a tab', 'http://bank.example/a\tb'],
    ['a line end', 'http://bank.example/a\r\nX: y'],
    ['a line end behind', 'http://bank.example/\n'],
    ['DEL', 'http://bank.example/\x7f'],
    ['UTF-8, as node gives it', 'http://bank.example/\u00c3\u00bc'],
    ['an octal address', 'http://0177.0.0.1/'],
    ['an escaped host', 'http://bank%2eexample/'],
    ['a zone', 'http://[fe80::1%25lo]/'],
  ]
  for (const [name, text] of rows) t.throws(() => parseHttpUrl(text), refusal, name)
  t.throws(() => parseHttpUrl(`http://bank.example/${'a'.repeat(8173)}`), tooLong, '8 KiB and one byte')
  t.throws(() => parseHttpUrl('https://bank.example/'), { message: /"https".*CONNECT/ }, 'with a hint')
})

t.test('the one spelling of a target', async (t) => {
  t.equal(formatTarget({ host: 'bank.example', port: 443 }), 'bank.example:443')
  t.equal(formatTarget({ host: '192.0.2.1', port: 80 }), '192.0.2.1:80')
  t.equal(formatTarget({ host: '2001:db8::1', port: 443 }), '[2001:db8::1]:443')
})

t.test('a user part is never repeated', async (t) => {
  const rows = ['u:hush@bank.example:443', 'hush@', 'bank.example:443@hush:1', 'a@[::1]:hush']
  for (const text of rows) {
    for (const parse of [() => parseAuthority(text), () => parseHttpUrl(`http://${text}/`)]) {
      const error = t.throws(parse) as Error
      t.notMatch(error.message, 'hush', text)
    }
  }
})

/** Pieces that parsers have stumbled over, and whatever fast-check thinks of. */
const words =
  'bank example . : [ ] :: ::1 @ / % %31 0x7f 127 1 0 443 xn-- xn--a xn--mnchen-3ya - _ * ? # fe80 ffff'
const pieces = fc.constantFrom(...words.split(' '), '\\', ' ', '\n', '\u212a', '\uff11')
const likely = fc.array(pieces, { maxLength: 8 }).map((found) => found.join(''))
const text = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  likely,
  likely.map((found) => `${found}:443`),
)
const host = fc.oneof(
  fc.domain(),
  fc.ipV4(),
  fc.ipV6().map((address) => `[${address}]`),
)

const isCanonical = ({ host, port }: Target) =>
  (/^(?!-)[a-z0-9_.-]+$/.test(host) || /^(?=.*:)[0-9a-f:]+$/.test(host)) &&
  !host.endsWith('.') &&
  Number.isInteger(port) &&
  port >= 1 &&
  port <= 65_535

function isSame(a: Target, b: Target): boolean {
  return a.host === b.host && a.port === b.port
}

/** True where it parsed. */
function holds(parse: () => Target): boolean {
  let target
  try {
    target = parse()
  } catch (error) {
    if (isGatewayError(error, 'bad_request')) return false
    throw error
  }
  if (!isCanonical(target)) throw new Error(`not canonical: ${JSON.stringify(target)}`)
  if (!isSame(parseAuthority(formatTarget(target)), target))
    throw new Error(`reads back otherwise: ${target.host}`)
  return true
}

t.test('what may be a password is not shown, with or without the @ behind it', async (t) => {
  const spellings = ['hunter@bank', 'hun/ter@bank', 'hun?ter@bank', 'hunter%40bank', '1234567/hunter@bank']
  for (const spelling of spellings)
    for (const text of [`http://user:${spelling}`, `https://user:${spelling}`, `user:${spelling}`])
      for (const parse of [parseHttpUrl, parseAuthority]) {
        const error = refusalOf(() => parse(text))
        t.match(error, { code: 'bad_request' }, text)
        t.notMatch(error?.message, /hun|ter@|1234567/, text)
      }
  t.match(refusalOf(() => parseAuthority('bank.test:065536'))?.message, /The port "065536" is not/)
})

function refusalOf(parse: () => unknown): Error | null {
  try {
    parse()
    return null
  } catch (error) {
    return error as Error
  }
}

t.test('any text is refused, or gives a canonical target that reads back the same', async (t) => {
  let parsed = 0
  fc.assert(
    fc.property(text, (text) => {
      if (holds(() => parseAuthority(text))) parsed += 1
      if (holds(() => parseHttpUrl(`http://${text}`).target)) parsed += 1
      holds(() => parseHttpUrl(text).target)
    }),
    { numRuns: 20_000 },
  )
  t.ok(parsed > 100, `of which ${parsed} parsed`)
})

t.test('every name, IPv4 and IPv6 address is taken, with any port', async () => {
  fc.assert(
    fc.property(host, fc.integer({ min: 1, max: 65_535 }), (host, port) => {
      const target = parseAuthority(`${host}:${port}`)
      const url = parseHttpUrl(`http://${host}:${port}?x`)
      return target.port === port && holds(() => target) && isSame(target, url.target) && url.path === '/?x'
    }),
    { numRuns: 2000 },
  )
})
