import { join } from 'node:path'
import t from 'tap'
import { makeDnsLookup, type Family } from '../../src/gateway/dns-lookup.ts'

const signal = new AbortController().signal
const hosts = `
127.0.0.1 localhost
192.0.2.1 bank.test  www.bank.test # 192.0.2.99 bank.test
192.0.2.2\tBANK.test
2001:db8::1 bank.test
#192.0.2.3 bank.test
not-an-address bank.test
2001:db8::2 six.test
`

t.test('names of the hosts file', async (t) => {
  const hostsPath = join(t.testdir({ hosts }), 'hosts')
  const find = async (host: string, family: Family = 'any') => {
    const found = await makeDnsLookup({ family, hostsPath })(host, signal)
    return found.map(({ address }) => address)
  }
  t.same(await find('localhost'), ['127.0.0.1'])
  t.same(await find('www.bank.test'), ['192.0.2.1'], 'a second name of a line')
  t.same(await find('bank.test'), ['192.0.2.1', '192.0.2.2', '2001:db8::1'], 'all lines, whatever their case')
  t.same(await find('bank.test', '4'), ['192.0.2.1', '192.0.2.2'], 'family 4')
  t.same(await find('bank.test', '6'), ['2001:db8::1'], 'family 6')
  t.same(await find('six.test', '6'), ['2001:db8::2'])
})

t.test('are not kept for long, since people edit them', async (t) => {
  const hostsPath = join(t.testdir({ hosts }), 'hosts')
  const [found] = await makeDnsLookup({ family: '4', hostsPath })('bank.test', signal)
  t.ok(found && found.ttlMs > 0 && found.ttlMs <= 60_000)
})

t.test('a look-up ends when it is cut off, also without a hosts file', async (t) => {
  const cut = new AbortController()
  const look = makeDnsLookup({ family: 'any', hostsPath: join(t.testdir({}), 'none') })
  const looking = look('name.invalid', cut.signal)
  cut.abort()
  // Cancelled, or answered before that: an error of DNS either way, and no promise that hangs.
  await t.rejects(looking, { code: /^E/ })
})
