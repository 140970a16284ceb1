import t from 'tap'
import { Problem } from '../../src/config-checks.ts'
import { makeStaticProvider, parseStaticUpstreams, staticUpstream } from '../../src/provider/static.ts'
import { deletionOf, drafting, orderOf, providerLists, rejectsWith } from '../fixtures/provider-contract.ts'

const entries = [
  { host: '10.0.0.5', port: 8888, labels: { pool: 'payments' }, egressIp: '203.0.113.5' },
  { id: 'second', name: 'Second', host: 'Proxy.Internal', port: 3128, credentials: 'proxies' },
]

providerLists(t, 'static', () => makeStaticProvider(() => entries))

const unknown = { zone: null, incarnation: null, status: 'running', createdAtMs: null } as const

t.test('entries are listed as they stand, with what was left out', async (t) => {
  const { instances, problems } = await makeStaticProvider(() => entries).list()
  t.strictSame(problems, [])
  t.strictSame(instances, [
    {
      id: 'static-7ad35ad3c26a',
      name: '10.0.0.5:8888',
      host: '10.0.0.5',
      port: 8888,
      egressIp: '203.0.113.5',
      labels: { pool: 'payments' },
      credentials: null,
      ...unknown,
    },
    {
      id: 'second',
      name: 'Second',
      host: 'proxy.internal',
      port: 3128,
      egressIp: null,
      labels: {},
      credentials: 'proxies',
      ...unknown,
    },
  ])
})

t.test('what is listed is read by its id; it has no incarnations', async (t) => {
  const provider = makeStaticProvider(() => entries)
  const second = { id: 'second', zone: null, incarnation: null }
  t.strictSame(await provider.read(second), (await provider.list()).instances[1])
  t.equal(await provider.read({ ...second, incarnation: '1' }), null)
})

t.test('after a reload its list is another', async (t) => {
  let list = entries
  const provider = makeStaticProvider(() => list)
  const second = { id: 'second', zone: null, incarnation: null }
  list = [entries[0]!]
  t.equal((await provider.list()).instances.length, 1)
  t.equal(await provider.read(second), null)
  list = entries
  t.match(await provider.read(second), { name: 'Second' })
})

t.test('what it makes of an entry of the configuration is the same', async (t) => {
  const [first] = entries
  const { instances } = await makeStaticProvider(() => [staticUpstream(first)]).list()
  t.strictSame(instances, (await makeStaticProvider(() => [first!]).list()).instances)
})

t.test('draft and create say where machines come from instead', async (t) => {
  const provider = makeStaticProvider(() => entries)
  t.throws(() => provider.draft(drafting()), { code: 'no_capacity', message: /STATIC_UPSTREAMS/ })
  const third = { id: 'third-1', name: 'third', zone: null, labels: {}, credentials: null }
  await rejectsWith(t, provider.create(orderOf(third)), 'no_capacity', /third.*STATIC_UPSTREAMS/)
})

t.test('delete says who deletes instead', async (t) => {
  const provider = makeStaticProvider(() => entries)
  const second = { id: 'second', zone: null, incarnation: null }
  await rejectsWith(t, provider.delete(deletionOf(second)), 'refused', /second.*STATIC_UPSTREAMS/)
  await t.resolves(provider.delete(deletionOf({ ...second, incarnation: '1' })), 'another is not meant')
})

t.test('every process derives the same id, and no two machines share one', async (t) => {
  const long = `${'a'.repeat(60)}.${'b'.repeat(60)}`
  const cases: [text: string, id: string][] = [
    ['10.0.0.5:8888', 'static-7ad35ad3c26a'],
    ['10.0.0.5:8889', 'static-fdfb95279623'],
    ['PROXY.internal:8888', 'static-8d7e109dbe24'],
    ['proxy.internal:8888', 'static-8d7e109dbe24'],
    ['[::1]:8888', 'static-30986a9b2f43'],
    ['[0:0:0:0:0:0:0:1]:8888', 'static-30986a9b2f43'],
    ['[2001:DB8::5]:8888', 'static-c9543d300d6c'],
    [`${long}.one:8888`, 'static-a6c3836beb63'],
    [`${long}.two:8888`, 'static-55723d60f1fc'],
  ]
  for (const [text, id] of cases) {
    const [entry] = parseStaticUpstreams(text).entries
    t.equal(entry?.id, id, text)
  }
  t.equal(new Set(cases.map(([, id]) => id)).size, 7)
})

t.test('an id tells jobs no address of ours; people see the address as name', async (t) => {
  const [entry] = parseStaticUpstreams('[2001:DB8::5]:8888').entries
  t.match(entry, { id: /^static-[0-9a-f]{12}$/, name: '[2001:db8::5]:8888' })
  t.match(staticUpstream({ id: 'a', host: '10.0.0.5', port: 1 }), { id: 'a', name: 'a' })
})

t.test('an IPv6 address loses its brackets, since it is dialled without', async (t) => {
  t.match(parseStaticUpstreams('[::1]:8888').entries, [{ host: '::1', port: 8888 }])
})

t.test('spaces and empty items do no harm', async (t) => {
  const { entries, problems } = parseStaticUpstreams(' 10.0.0.5:8888 ,, a.b:1,')
  t.strictSame(problems, [])
  t.match(entries, [{ host: '10.0.0.5' }, { host: 'a.b', port: 1 }])
  t.strictSame(parseStaticUpstreams(''), { entries: [], problems: [] })
})

t.test('every bad item is reported, with what is wrong about it', async (t) => {
  const cases: [item: string, problem: RegExp][] = [
    ['10.0.0.5', /"10\.0\.0\.5" has no port/],
    ['10.0.0.5:', /no port from 1 to 65535/],
    ['10.0.0.5:0', /no port from 1 to 65535/],
    ['10.0.0.5:65536', /no port from 1 to 65535/],
    ['10.0.0.5:http', /cannot be read/],
    ['10.0.0.256:8888', /no valid host/],
    ['10.0.5:8888', /no valid host/],
    [':8888', /no valid host/],
    ['a b:8888', /no valid host/],
    ['::1', /without a port or brackets/],
    ['::1:8888', /without a port or brackets/],
    ['[::1]', /give host:port/],
    ['[10.0.0.5]:8888', /no valid host/],
    ['[fe80::1%eth0]:8888', /no valid host/],
    ['http://10.0.0.5:8888', /is a URL/],
  ]
  const { entries, problems } = parseStaticUpstreams(['good:1', ...cases.map(([item]) => item)].join(','))
  t.match(entries, [{ host: 'good' }])
  t.equal(problems.length, cases.length)
  for (const [index, [item, problem]] of cases.entries()) t.match(problems[index], problem, item)
})

t.test('an address that stands there twice is reported, however it is written', async (t) => {
  const { entries, problems } = parseStaticUpstreams('[::1]:1,[0::1]:1')
  t.equal(entries.length, 1)
  t.match(problems, [/"\[0::1\]:1" stands there twice/])
})

t.test('a password that does not belong there is not repeated', async (t) => {
  const { problems } = parseStaticUpstreams('user:s3cret@10.0.0.5:8888')
  t.match(problems, [/@10\.0\.0\.5:8888.*credentials/])
  t.notMatch(problems[0], /s3cret|user:/)
})

t.test('an entry of a file is checked key by key', async (t) => {
  t.match(staticUpstream({ host: '2001:DB8::5', port: 8888, egressIp: '203.0.113.9' }), {
    name: '[2001:db8::5]:8888',
    host: '2001:db8::5',
    egressIp: '203.0.113.9',
  })
  const cases: [entry: unknown, problem: RegExp][] = [
    ['10.0.0.5:8888', /must be a table/],
    [{ port: 1 }, /^host: must be a name or an address/],
    [{ host: 'a' }, /^port: must be a whole number/],
    [{ host: 'a', port: 0 }, /^port: /],
    [{ host: 'a', port: 1, id: 'no spaces' }, /^id: /],
    [{ host: 'a', port: 1, name: '' }, /^name: /],
    [{ host: 'a', port: 1, egressIp: 'b' }, /^egressIp: must be an IP address/],
    [{ host: 'a', port: 1, labels: { pool: 1 } }, /^labels: .*"pool"/],
    [{ host: 'a', port: 1, password: 'x' }, /unknown key "password"/],
  ]
  for (const [entry, problem] of cases) {
    t.throws(() => staticUpstream(entry), { constructor: Problem, message: problem }, JSON.stringify(entry))
  }
})
