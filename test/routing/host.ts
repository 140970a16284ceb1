import fc from 'fast-check'
import t from 'tap'
import { canonicalIPv6, parseHost } from '../../src/routing/host.ts'

const refusal = { code: 'bad_request', status: 400, token: 'http_request_error' }

t.test('hosts, each in its one spelling', async (t) => {
  const long = Array(4).fill('a'.repeat(62)).join('.')
  const rows: [name: string, text: string, host: string][] = [
    ['a name', 'bank.example', 'bank.example'],
    ['upper case', 'Bank.EXAMPLE', 'bank.example'],
    ['a single label', 'bank', 'bank'],
    ['a dot at the end', 'bank.example.', 'bank.example'],
    ['underscores', '_dmarc.my_bank.example', '_dmarc.my_bank.example'],
    ['an underscore at either end', '_a_.example', '_a_.example'],
    ['a label of digits in front', '127.0.0.example', '127.0.0.example'],
    ['a last label that only begins with digits', 'bank.1a', 'bank.1a'],
    ['a last label that only looks like hex', 'bank.0xg', 'bank.0xg'],
    ['dashes where punycode has them', 'r3---sn-4g5e.bank.example', 'r3---sn-4g5e.bank.example'],
    ['punycode', 'xn--mnchen-3ya.example', 'xn--mnchen-3ya.example'],
    ['punycode in upper case', 'XN--MNCHEN-3YA.example', 'xn--mnchen-3ya.example'],
    ['punycode as the last label', 'a.xn--fiqs8s', 'a.xn--fiqs8s'],
    ['punycode from right to left', 'xn--lgbbat1ad8j', 'xn--lgbbat1ad8j'],
    ['a label of 63', `${'a'.repeat(63)}.example`, `${'a'.repeat(63)}.example`],
    ['a name of 253', `${long}.a`, `${long}.a`],
    ['a name of 253 and a dot', `${long}.a.`, `${long}.a`],
    ['a name of a part of every object', 'constructor', 'constructor'],
    ['IPv4', '192.0.2.1', '192.0.2.1'],
    ['IPv4 and a dot at the end', '127.0.0.1.', '127.0.0.1'],
    ['IPv6', '[::1]', '::1'],
    ['IPv6 unspecified', '[::]', '::'],
    ['IPv6 in upper case with zeros', '[2001:0DB8:0:0:0:0:0:0001]', '2001:db8::1'],
    ['IPv6, the longer run of zeros is cut', '[1:0:0:2:0:0:0:3]', '1:0:0:2::3'],
    ['IPv6, the first of equal runs is cut', '[1:0:0:2:0:0:3:4]', '1::2:0:0:3:4'],
    ['IPv6, a single zero is not cut', '[1:2:3:4:0:6:7:8]', '1:2:3:4:0:6:7:8'],
    ['IPv6 with IPv4 in it', '[::ffff:127.0.0.1]', '::ffff:7f00:1'],
    ['the same in hex', '[::FFFF:7F00:1]', '::ffff:7f00:1'],
  ]
  t.equal(long.length + 2, 253)
  for (const [name, text, host] of rows) t.equal(parseHost(text), host, name)
})

t.test('hosts that are refused', async (t) => {
  const long = Array(4).fill('a'.repeat(62)).join('.')
  const rows: [name: string, text: string][] = [
    ['nothing', ''],
    ['a dot', '.'],
    ['two dots', '..'],
    ['two dots at the end', 'bank.example..'],
    ['a dot in front', '.bank.example'],
    ['an empty label', 'bank..example'],
    ['a label of 64', `${'a'.repeat(64)}.example`],
    ['a name of 254', `${long}.aa`],
    ['a dash in front', '-bank.example'],
    ['a dash at the end of a label', 'bank-.example'],
    ['a dash alone', '-'],
    ['a star', '*.example'],
    ['a space', 'bank .example'],
    ['an escape', '127.0.0.%31'],
    ['an escaped NUL', 'bank%00.example'],
    ['an escaped line end', 'bank%0d%0aX:1'],
    ['a backslash', 'bank\\.example'],
    ['a user', 'user@bank.example'],
    ['a slash', 'bank/example'],
    ['a line end behind', 'bank.example\n'],
    ['UTF-8', 'b\u00e4nk.example'],
    ['UTF-8, as node gives it', 'b\u00c3\u00a4nk.example'],
    ['fullwidth digits', '\uff11\uff12\uff17.0.0.1'],
    ['circled digits', '\u2460\u2461\u2466.0.0.1'],
    ['an ideographic full stop', 'bank\u3002example'],
    ['the Kelvin sign, a k in lower case', 'ban\u212a.example'],
    ['a dotted capital I', '\u0130.example'],
    ['a soft hyphen', 'ba\u00adnk.example'],
    ['punycode of nothing', 'xn--.example'],
    ['punycode that does not decode', 'xn--a.example'],
    ['punycode beyond Unicode', 'xn--99999999.example'],
    ['punycode of plain ASCII', 'xn--bank-.example'],
    ['punycode with an underscore', 'xn--my_bank.example'],
    ['an address as one number', '2130706433'],
    ['as one hex number', '0x7f000001'],
    ['with octal parts', '0177.0.0.1'],
    ['with two parts', '127.1'],
    ['with three parts', '127.0.1'],
    ['with five parts', '127.0.0.0.1'],
    ['zero', '0'],
    ['hex parts', '0x7f.1'],
    ['a hex last part', '127.0.0.0x1'],
    ['hex without digits', 'bank.0x'],
    ['a part over 255', '127.0.0.256'],
    ['a leading zero', '127.0.0.01'],
    ['a name that ends in a number', 'bank.example.1'],
    ['a number and a dot at the end', '127.1.'],
    ['IPv6 without brackets', '::1'],
    ['an opening bracket alone', '[::1'],
    ['a closing bracket alone', '::1]'],
    ['brackets in brackets', '[[::1]]'],
    ['empty brackets', '[]'],
    ['IPv4 in brackets', '[127.0.0.1]'],
    ['a name in brackets', '[bank.example]'],
    ['a zone', '[fe80::1%lo]'],
    ['an escaped zone', '[fe80::1%25eth0]'],
    ['an empty zone', '[fe80::1%]'],
    ['a future address', '[v1.x]'],
    ['two cuts', '[1::2::3]'],
    ['nine groups', '[1:2:3:4:5:6:7:8:9]'],
    ['seven groups', '[1:2:3:4:5:6:7]'],
    ['a group of five digits', '[00001::]'],
    ['octal in the IPv4 part', '[::ffff:0177.0.0.1]'],
    ['a space in brackets', '[ ::1]'],
    ['a length', '[::1/128]'],
  ]
  for (const [name, text] of rows) t.throws(() => parseHost(text), refusal, name)
})

t.test('every spelling of an IPv6 address gives the same text', async () => {
  fc.assert(
    fc.property(fc.ipV6(), (address) => {
      const canonical = canonicalIPv6(address)
      const groups = expand(canonical)
      const spelled = groups.map((group) => group.toString(16).padStart(4, '0').toUpperCase()).join(':')
      return parseHost(`[${address}]`) === canonical && canonicalIPv6(spelled) === canonical
    }),
  )
})

function expand(address: string): number[] {
  const [head = '', tail] = address.split('::')
  const numbers = (part: string) =>
    part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16))
  if (tail === undefined) return numbers(head)
  const [first, last] = [numbers(head), numbers(tail)]
  return [...first, ...Array<number>(8 - first.length - last.length).fill(0), ...last]
}
