import { BlockList } from 'node:net'
import t from 'tap'
import { addRange, isLoopback } from '../src/ip-range.ts'

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
