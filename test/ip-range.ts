import { BlockList } from 'node:net'
import t from 'tap'
import { addRange, isLoopback, isWithin, readAddress, readRange } from '../src/ip-range.ts'

t.test('an address, and a CIDR of either family', (t) => {
  const list = new BlockList()
  for (const range of ['10.0.0.0/8', '192.0.2.1', 'fc00::/7', '::1']) addRange(list, range)
  for (const inside of ['10.255.255.255', '192.0.2.1']) t.ok(list.check(inside, 'ipv4'), inside)
  for (const outside of ['11.0.0.0', '192.0.2.2']) t.notOk(list.check(outside, 'ipv4'), outside)
  for (const inside of ['fd00::1', '::1', '::ffff:10.1.2.3']) t.ok(list.check(inside, 'ipv6'), inside)
  t.notOk(list.check('fe00::1', 'ipv6'))
  t.end()
})

t.test('anything else throws', (t) => {
  for (const range of ['', 'localhost', '10.0.0.0/33', '10.0.0.0/', '10.0.0.0/a', '10.0.0/8', 'fc00::/129'])
    t.throws(() => addRange(new BlockList(), range), range)
  t.end()
})

t.test('loopback is 127.0.0.0/8 and ::1', (t) => {
  for (const address of ['127.0.0.1', '127.255.255.254', '::1']) t.ok(isLoopback(address), address)
  for (const address of ['0.0.0.0', '::', '10.0.0.1', '127.bank.example', 'localhost', '127.0.0.256'])
    t.notOk(isLoopback(address), address)
  t.end()
})

t.test('an address in any spelling is four numbers, and IPv4 is what maps it', (t) => {
  const ipv4 = [0, 0, 0xffff, 0xc0a8_01fe]
  const rows: [spelling: string, address: readonly number[] | null][] = [
    ['192.168.1.254', ipv4],
    ['::ffff:192.168.1.254', ipv4],
    ['::FFFF:C0A8:1FE', ipv4],
    ['0:0:0:0:0:ffff:c0a8:01fe', ipv4],
    ['255.255.255.255', [0, 0, 0xffff, 0xffff_ffff]],
    ['::', [0, 0, 0, 0]],
    ['::1', [0, 0, 0, 1]],
    ['::1.2.3.4', [0, 0, 0, 0x0102_0304]],
    ['1::', [0x1_0000, 0, 0, 0]],
    ['1:2:3:4:5:6:7:8', [0x1_0002, 0x3_0004, 0x5_0006, 0x7_0008]],
    ['1:2:3:4:5:6:7::', [0x1_0002, 0x3_0004, 0x5_0006, 0x7_0000]],
    ['::2:3:4:5:6:7:8', [2, 0x3_0004, 0x5_0006, 0x7_0008]],
    ['ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', Array(4).fill(0xffff_ffff)],
    ['fe80::1%eth0', [0xfe80_0000, 0, 0, 1]],
    ...[
      '',
      'bank.example',
      '127.1',
      '1.2.3.256',
      '01.2.3.4',
      '1.2.3.4 ',
      '[::1]',
      '::1%',
      '1::2::3',
      ':::',
    ].map((text): [string, null] => [text, null]),
  ]
  for (const [spelling, address] of rows) t.same(readAddress(spelling), address, spelling)
  t.end()
})

t.test('what is within a range', (t) => {
  const rows: [range: string, inside: string[], outside: string[]][] = [
    [
      '10.0.0.0/8',
      ['10.0.0.0', '10.255.255.255', '::ffff:10.1.2.3'],
      ['9.255.255.255', '11.0.0.0', '::10.1.2.3'],
    ],
    ['10.9.9.9/8', ['10.0.0.1'], ['11.9.9.9']],
    ['192.0.2.1', ['192.0.2.1', '::ffff:c000:201'], ['192.0.2.0', '192.0.2.2']],
    ['192.0.2.0/31', ['192.0.2.0', '192.0.2.1'], ['192.0.2.2']],
    ['0.0.0.0/0', ['255.255.255.255', '::ffff:1.2.3.4'], ['::1', '2600::1']],
    ['::ffff:10.0.0.0/104', ['10.1.2.3'], ['11.1.2.3']],
    ['::/0', ['1.2.3.4', '::1', 'ffff::'], []],
    ['fc00::/7', ['fc00::', 'fdff::1'], ['fbff::1', 'fe00::']],
    ['2001:db8::/33', ['2001:db8:7fff::'], ['2001:db8:8000::']],
    ['2001:db8::1/128', ['2001:db8::1'], ['2001:db8::2']],
  ]
  for (const [text, inside, outside] of rows) {
    const isInside = (address: string) => isWithin(readAddress(address)!, readRange(text))
    for (const address of inside) t.ok(isInside(address), `${text} has ${address}`)
    for (const address of outside) t.notOk(isInside(address), `${text} has not ${address}`)
  }
  for (const range of [
    '',
    'bank.example',
    '10.0.0.0/33',
    '10.0.0.0/',
    '10.0.0.0/a',
    '10.0.0/8',
    '::/129',
    '::/1/2',
  ])
    t.throws(() => readRange(range), range)
  t.end()
})
