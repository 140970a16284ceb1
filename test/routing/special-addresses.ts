import { isIP } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import { readAddress } from '../../src/ip-range.ts'
import { embeddedIPv4, prohibitedRange } from '../../src/routing/special-addresses.ts'

/** The whole space as stretches: where each begins, and its name (null: ordinary and public). */
type Stretches = readonly (readonly [first: string, name: string | null])[]

const ipv4: Stretches = [
  ['0.0.0.0', 'this network'],
  ['1.0.0.0', null],
  ['10.0.0.0', 'private use'],
  ['11.0.0.0', null],
  ['100.64.0.0', 'shared address space'],
  ['100.128.0.0', null],
  ['127.0.0.0', 'loopback'],
  ['128.0.0.0', null],
  ['169.254.0.0', 'link-local'],
  ['169.255.0.0', null],
  ['172.16.0.0', 'private use'],
  ['172.32.0.0', null],
  ['192.0.0.0', 'IETF protocol assignments'],
  ['192.0.1.0', null],
  ['192.0.2.0', 'documentation'],
  ['192.0.3.0', null],
  ['192.88.99.0', '6to4 relay anycast'],
  ['192.88.100.0', null],
  ['192.168.0.0', 'private use'],
  ['192.169.0.0', null],
  ['198.18.0.0', 'benchmarking'],
  ['198.20.0.0', null],
  ['198.51.100.0', 'documentation'],
  ['198.51.101.0', null],
  ['203.0.113.0', 'documentation'],
  ['203.0.114.0', null],
  ['224.0.0.0', 'multicast'],
  ['240.0.0.0', 'reserved'],
  ['255.255.255.255', 'limited broadcast'],
]

const other = 'not global unicast'
const ipv6: Stretches = [
  ['::', 'unspecified'],
  ['::1', 'loopback'],
  ['::2', 'IPv4-compatible'],
  ['::1:0:0', other],
  ...ipv4.map(([first, name]) => [`::ffff:${first}`, name] as const),
  ['::1:0:0:0', other],
  ['::ffff:0:0:0', 'IPv4-translated'],
  ['::ffff:1:0:0', other],
  ['64:ff9b::', 'IPv4/IPv6 translation'],
  ['64:ff9b::1:0:0', other],
  ['64:ff9b:1::', 'IPv4/IPv6 translation'],
  ['64:ff9b:2::', other],
  ['100::', 'discard only'],
  ['100:0:0:1::', 'dummy prefix'],
  ['100:0:0:2::', other],
  ['2000::', null],
  ['2001::', 'Teredo'],
  ['2001:1::', 'IETF protocol assignments'],
  ['2001:200::', null],
  ['2001:db8::', 'documentation'],
  ['2001:db9::', null],
  ['2002::', '6to4'],
  ['2003::', null],
  ['3fff::', 'documentation'],
  ['3fff:1000::', null],
  ['4000::', other],
  ['5f00::', 'segment routing'],
  ['5f01::', other],
  ['fc00::', 'unique local'],
  ['fe00::', other],
  ['fe80::', 'link-local'],
  ['fec0::', 'site-local'],
  ['ff00::', 'multicast'],
]

t.test('every edge of every range, from either side', async (t) => {
  for (const [version, stretches] of [[4, ipv4] as const, [6, ipv6] as const]) {
    for (const [index, [first, name]] of stretches.entries()) {
      t.equal(prohibitedRange(first), name, `from ${first}`)
      const before = stretches[index - 1]
      if (!before) continue
      const last = oneBefore(first, version)
      t.equal(prohibitedRange(last), before[1], `up to ${last}`)
    }
  }
  t.equal(prohibitedRange('ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'), 'multicast', 'the last of all')
})

function oneBefore(address: string, version: 4 | 6): string {
  const number = readAddress(address)!.reduce<bigint>((sum, word) => (sum << 32n) | BigInt(word), 0n) - 1n
  const part = (bits: bigint, at: number) => (number >> (bits * BigInt(at))) & ((1n << bits) - 1n)
  if (version === 4) return [3, 2, 1, 0].map((at) => part(8n, at)).join('.')
  return [7, 6, 5, 4, 3, 2, 1, 0].map((at) => part(16n, at).toString(16)).join(':')
}

t.test('one by one', async (t) => {
  const rows: [name: string, address: string, range: string | null][] = [
    ['a public resolver', '8.8.8.8', null],
    ['the same by IPv6', '2001:4860:4860::8888', null],
    ['mapped', '::ffff:8.8.8.8', null],
    ['AS112, which anybody may ask', '192.31.196.1', null],
    ['the metadata server', '169.254.169.254', 'link-local'],
    ['Compute Engine\u2019s by IPv6', 'fd20:ce::254', 'unique local'],
    ['loopback, mapped', '::ffff:127.0.0.1', 'loopback'],
    ['the same in hex', '::FFFF:7F00:1', 'loopback'],
    ['loopback, compatible', '::127.0.0.1', 'IPv4-compatible'],
    ['a public address, compatible', '::8.8.8.8', 'IPv4-compatible'],
    ['the metadata server, translated', '64:ff9b::a9fe:a9fe', 'IPv4/IPv6 translation'],
    ['a public address, translated', '64:ff9b::8.8.8.8', 'IPv4/IPv6 translation'],
    ['a public address, translated by SIIT', '::ffff:0:8.8.8.8', 'IPv4-translated'],
    ['loopback by 6to4', '2002:7f00:1::', '6to4'],
    ['a public address by 6to4', '2002:808:808::1', '6to4'],
    ['Teredo', '2001:0:4136:e378:8000:63bf:3fff:fdd2', 'Teredo'],
    ['ORCHID', '2001:20::1', 'IETF protocol assignments'],
    ['ISATAP in a public network', '2600::5efe:10.0.0.1', 'ISATAP'],
    ['ISATAP of a public address', '2600::200:5efe:8.8.8.8', 'ISATAP'],
    ['an interface id that only looks like it', '2600::5eff:a00:1', null],
    ['with a zone', 'fe80::1%eth0', 'link-local'],
    ['a public address with a zone', '2600::1%lo', null],
    ['a name', 'bank.example', 'not an address'],
    ['nothing', '', 'not an address'],
    ['in brackets', '[::1]', 'not an address'],
    ['a short form', '127.1', 'not an address'],
    ['a leading zero', '010.0.0.1', 'not an address'],
    ['a line end behind', '8.8.8.8\n', 'not an address'],
  ]
  for (const [name, address, range] of rows) t.equal(prohibitedRange(address), range, name)
})

t.test('the IPv4 address inside', async (t) => {
  const rows: [address: string, inside: string | null][] = [
    ['::10.1.2.3', '10.1.2.3'],
    ['::ffff:0:10.1.2.3', '10.1.2.3'],
    ['64:ff9b::10.1.2.3', '10.1.2.3'],
    ['64:ff9b:1:2:3:4:10.1.2.3', '10.1.2.3'],
    ['2002:a01:203::9', '10.1.2.3'],
    ['2002:c0a8:1::9', '192.168.0.1'],
    ['2001:0:1:2:3:4:f5fe:fdfc', '10.1.2.3'],
    ['2600::5efe:10.1.2.3', '10.1.2.3'],
    ['fe80::200:5efe:10.1.2.3', '10.1.2.3'],
    ['10.1.2.3', null],
    ['::ffff:10.1.2.3', null],
    ['2600::10.1.2.3', null],
  ]
  for (const [address, inside] of rows)
    t.same(embeddedIPv4(readAddress(address)!), inside === null ? null : readAddress(inside), address)
})

// Property p3 of the hostile inputs.
t.test('no two spellings of one address classify differently', async (t) => {
  const seen = new Set<string | null>()
  fc.assert(
    fc.property(groups(), fc.array(fc.nat(0xffff), { minLength: 8, maxLength: 8 }), (address, choices) => {
      const plain = address.map((group) => group.toString(16)).join(':')
      const range = prohibitedRange(plain)
      seen.add(range)
      return spellings(address, choices).every(
        (spelling) => isIP(spelling) !== 0 && prohibitedRange(spelling) === range,
      )
    }),
    { numRuns: 100_000 },
  )
  t.ok(seen.has(null), 'public ones among them')
  t.ok(seen.size > 20, `${seen.size} different ranges`)
})

t.test('it takes for an address exactly what node:net does', async () => {
  const pieces = [
    '0',
    '1',
    '255',
    '256',
    '01',
    'f',
    'ffff',
    '00ff',
    '10000',
    'g',
    '.',
    ':',
    '::',
    '%lo',
    ' ',
    '/',
  ]
  const text = fc.array(fc.constantFrom(...pieces), { maxLength: 16 }).map((pieces) => pieces.join(''))
  fc.assert(
    fc.property(text, (text) => (isIP(text) !== 0) === (prohibitedRange(text) !== 'not an address')),
    { numRuns: 5000 },
  )
})

/** The first groups of a special range, or near one: by chance alone hardly any address would be special. */
const beginnings = [
  '2600',
  '2a00:1:2:3',
  '0',
  '0:0:0:0:0:0',
  '0:0:0:0:0:0:0',
  '0:0:0:0:ffff:0',
  '64:ff9b',
  '64:ff9b:0:0:0:0',
  '64:ff9b:1',
  '100:0:0',
  '2600:1:2:3:0:5efe',
  '2600:1:2:3:200:5efe',
  '2001',
  '2001:0',
  '2001:db8',
  '2002',
  '3fff',
  '5f00',
  'fd20:ce',
  'fe80',
  'fec0',
  'ff02',
  '0:0:0:0:0:ffff',
  // The halves of IPv4 addresses: 10.0, 100.64, 127.0, 169.254, 172.16, 192.0, 192.88, 192.168, 198.18, ...
  ...'a00 6440 7f00 a9fe ac10 c000 c058 c0a8 c612 c633 cb00 e000 f000'
    .split(' ')
    .map((half) => `0:0:0:0:0:ffff:${half}`),
]

/** Eight groups of 16 bits. */
function groups(): fc.Arbitrary<number[]> {
  const group = fc.oneof(fc.constant(0), fc.nat(0xffff))
  return fc
    .tuple(fc.constantFrom(...beginnings), fc.array(group, { minLength: 8, maxLength: 8 }))
    .map(([beginning, rest]) => [...beginning.split(':').map((text) => Number.parseInt(text, 16)), ...rest])
    .map((groups) => groups.slice(0, 8))
}

/** Four spellings, by the dice in `choices`: case, zeros in front, which run of zeros is cut, a dotted tail, a zone. */
function spellings(address: readonly number[], choices: readonly number[]): string[] {
  const texts = address.map((group, index) => {
    const dice = choices[index]!
    const digits = group.toString(16).padStart(1 + (dice & 3), '0')
    return dice & 4 ? digits.toUpperCase() : digits
  })
  const dotted = [address[6]! >> 8, address[6]! & 255, address[7]! >> 8, address[7]! & 255].join('.')
  const tail = choices[0]! & 8 ? [dotted] : texts.slice(6)
  const whole = [...texts.slice(0, 6), ...tail]
  const cut = cutZeros(whole, choices[1]!)
  const isIPv4 = address.slice(0, 6).join() === '0,0,0,0,0,65535'
  return [
    whole.join(':'),
    [...texts.slice(0, 6), dotted].join(':'),
    isIPv4 ? dotted : `${whole.join(':')}%lo`,
    choices[2]! & 8 ? cut : `${cut}%eth0.1`,
  ]
}

/** Any run of zero groups may stand as `::`, also a single one and not the longest (RFC 4291 section 2.2). */
function cutZeros(parts: readonly string[], dice: number): string {
  const isZero = (part: string | undefined) => part !== undefined && /^0+$/.test(part)
  const starts = parts.flatMap((part, index) => (isZero(part) ? [index] : []))
  if (starts.length === 0) return parts.join(':')
  const start = starts[dice % starts.length]!
  let end = start + 1
  while (isZero(parts[end]) && (dice >> 4) % 4 > 0) end += 1
  return `${parts.slice(0, start).join(':')}::${parts.slice(end).join(':')}`
}
