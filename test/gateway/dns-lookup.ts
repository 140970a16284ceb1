import { join } from 'node:path'
import t, { type Test } from 'tap'
import { makeDnsLookup, type Family } from '../../src/gateway/dns-lookup.ts'
import { startNameServer, type DnsAnswer, type DnsType } from '../fixtures/name-server.ts'

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

async function asking(t: Test, answer: (name: string, type: DnsType) => DnsAnswer, family: Family = '4') {
  const server = await startNameServer(answer)
  t.teardown(server.stop)
  const look = makeDnsLookup({
    family,
    hostsPath: join(t.testdir({}), 'none'),
    servers: [server.address],
  })
  return { asked: server.asked, look: (host: string) => look(host, signal) }
}

t.test('what a name server answers', async (t) => {
  const many = Array.from({ length: 512 }, (_, i) => `8.8.${i >> 8}.${i & 255}`)
  const answers: { readonly [name: string]: DnsAnswer } = {
    'one.test': [{ type: 'A', value: '8.8.8.8', ttlS: 30 }],
    'many.test': many.map((value) => ({ type: 'A', value })),
    'alias.test': [
      { type: 'CNAME', value: 'inside.test', ttlS: 5 },
      { type: 'A', name: 'inside.test', value: '10.0.0.1', ttlS: 600 },
    ],
    'empty.test': [],
    'broken.test': 'SERVFAIL',
    'refused.test': 'REFUSED',
  }
  const { look } = await asking(t, (name) => answers[name] ?? 'NXDOMAIN')
  t.same(await look('one.test'), [{ address: '8.8.8.8', ttlMs: 30_000 }])
  t.equal((await look('many.test')).length, 512, '512 addresses, by TCP')
  t.same(
    await look('alias.test'),
    [{ address: '10.0.0.1', ttlMs: 5000 }],
    'behind an alias, for the shorter time',
  )
  await t.rejects(look('empty.test'), { code: 'ENODATA' })
  await t.rejects(look('broken.test'), { code: 'ESERVFAIL' })
  await t.rejects(look('refused.test'), { code: 'EREFUSED' })
  await t.rejects(look('none.test'), { code: 'ENOTFOUND' })
})

t.test('of both families', async (t) => {
  const four = [{ type: 'A', value: '8.8.8.8' }] as const
  const six = [{ type: 'AAAA', value: '2600::8' }] as const
  const rows: { [name: string]: [a: DnsAnswer, aaaa: DnsAnswer] } = {
    'both.test': [four, six],
    'four.test': [four, []],
    'half.test': ['SERVFAIL', six],
  }
  const { look } = await asking(t, (name, type) => rows[name]![type === 'A' ? 0 : 1], 'any')
  const kept = (address: string) => ({ address, ttlMs: 60_000 })
  t.same(await look('both.test'), [kept('8.8.8.8'), kept('2600::8')])
  t.same(await look('four.test'), [kept('8.8.8.8')], 'none of one family is an answer, kept as said')
  t.same(
    await look('half.test'),
    [{ address: '2600::8', ttlMs: 0 }],
    'half an answer is asked for again soon',
  )
})
