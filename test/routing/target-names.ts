import t from 'tap'
import { readAddress } from '../../src/ip-range.ts'
import {
  isLoopbackName,
  isMetadataName,
  makeTargetPatterns,
  privateName,
} from '../../src/routing/target-names.ts'

t.test('names of private networks', async (t) => {
  const rows: [name: string, why: string | null][] = [
    ['bank', 'a single label'],
    ['localhost', 'a single label'],
    ['com', 'a single label'],
    ['a.localhost', '*.localhost'],
    ['printer.local', '*.local'],
    ['redis.payments.svc.cluster.local', '*.local'],
    ['vm-1.c.project.internal', '*.internal'],
    ['localhost.localdomain', '*.localdomain'],
    ['home.arpa', '*.home.arpa'],
    ['nas.home.arpa', '*.home.arpa'],
    ['nas.lan', '*.lan'],
    ['wiki.intranet', '*.intranet'],
    ['ad.corp', '*.corp'],
    ['nas.home', '*.home'],
    ['db.private', '*.private'],
    ['facebookcorewwwi.onion', '*.onion'],
    ['bank.example', null],
    ['local.bank.example', null],
    ['localhost.bank.example', null],
    ['notlocal.xlocal', null],
    ['my.xn--fiqs8s', null],
    ['1.0.0.127.in-addr.arpa', null],
    ['nothome.arpa', null],
  ]
  for (const [name, why] of rows) t.equal(privateName(name), why, name)
})

t.test('names of this machine', async (t) => {
  for (const name of ['localhost', 'a.localhost', 'a.b.localhost']) t.ok(isLoopbackName(name), name)
  for (const name of ['localhost.a', 'alocalhost', 'local']) t.notOk(isLoopbackName(name), name)
})

t.test('names of metadata servers', async (t) => {
  for (const name of ['metadata', 'metadata.google.internal', 'metadata.goog', 'instance-data'])
    t.ok(isMetadataName(name), name)
  for (const name of ['metadata.bank.example', 'xmetadata.google.internal', 'google.internal'])
    t.notOk(isMetadataName(name), name)
})

t.test('patterns', async (t) => {
  const patterns = [
    'Bank.example',
    'dot.example.',
    '*.Wide.example',
    '10.0.0.0/8',
    '192.0.2.7',
    '2001:DB8:0::/48',
    '::ffff:172.16.0.0/108',
  ]
  const { hasName, hasAddress } = makeTargetPatterns(patterns)
  const names: [name: string, found: boolean][] = [
    ['bank.example', true],
    ['dot.example', true],
    ['www.bank.example', false],
    ['example', false],
    ['bank.example.org', false],
    ['a.wide.example', true],
    ['a.b.wide.example', true],
    ['wide.example', false],
    ['awide.example', false],
    ['10.0.0.0', false],
  ]
  for (const [name, found] of names) t.equal(hasName(name), found, name)
  const addresses: [address: string, found: boolean][] = [
    ['10.255.0.1', true],
    ['::ffff:10.255.0.1', true],
    ['11.0.0.1', false],
    ['192.0.2.7', true],
    ['::ffff:c000:207', true],
    ['192.0.2.8', false],
    ['2001:db8:0:1::', true],
    ['2001:db8:1::', false],
    ['172.31.0.1', true],
    ['172.32.0.1', false],
  ]
  for (const [address, found] of addresses) t.equal(hasAddress(readAddress(address)!), found, address)
  const ofSix = makeTargetPatterns(['::/0'])
  t.ok(ofSix.hasAddress(readAddress('2600::1')!), 'all of IPv6')
  t.notOk(ofSix.hasAddress(readAddress('8.8.8.8')!), 'which is not IPv4')
  const none = makeTargetPatterns([])
  t.notOk(none.hasName('bank.example') || none.hasAddress(readAddress('10.0.0.1')!), 'none of them')
  t.throws(() => makeTargetPatterns(['10.0.0.0/33']))
})
