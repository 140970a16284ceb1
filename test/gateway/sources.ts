import t from 'tap'
import { makeSources } from '../../src/gateway/sources.ts'

t.test('with neither tokens nor a list, loopback and private ranges are served', async (t) => {
  const { allows, summary } = makeSources({ allow: [], tokenRequired: false })
  const rows: [string, boolean][] = [
    ['127.0.0.1', true],
    ['127.255.255.255', true],
    ['10.0.0.1', true],
    ['9.255.255.255', false],
    ['11.0.0.0', false],
    ['172.15.255.255', false],
    ['172.16.0.0', true],
    ['172.31.255.255', true],
    ['172.32.0.0', false],
    ['192.167.255.255', false],
    ['192.168.0.1', true],
    ['100.63.255.255', false],
    ['100.64.0.1', true],
    ['100.128.0.0', false],
    ['169.254.1.1', true],
    ['203.0.113.1', false],
    ['8.8.8.8', false],
    ['::1', true],
    ['::2', false],
    ['fc00::1', true],
    ['fdff::1', true],
    ['fe80::1', true],
    ['2001:db8::1', false],
    ['::ffff:10.1.2.3', true],
    ['::ffff:127.0.0.1', true],
    ['::ffff:8.8.8.8', false],
  ]
  for (const [address, allowed] of rows) t.equal(allows(address), allowed, address)
  t.match(summary, /private/)
})

t.test('a socket that has gone already has no address, and is not served', async (t) => {
  t.notOk(makeSources({ allow: [], tokenRequired: false }).allows(undefined))
})

t.test('with tokens everybody may connect, and must show one', async (t) => {
  const { allows, summary } = makeSources({ allow: [], tokenRequired: true })
  for (const address of ['8.8.8.8', '2001:db8::1', '127.0.0.1']) t.ok(allows(address), address)
  t.match(summary, /with a token/)
})

t.test('so may everybody who must show a certificate', async (t) => {
  for (const [tokenRequired, said] of [
    [false, 'any source, with a client certificate'],
    [true, 'any source, with a token and a client certificate'],
  ] as const) {
    const { allows, summary } = makeSources({ allow: [], tokenRequired, clientCertificates: true })
    t.ok(allows('8.8.8.8'))
    t.equal(summary, said)
  }
})

t.test('a list counts alone, with tokens and without', async (t) => {
  for (const tokenRequired of [false, true]) {
    const { allows, summary } = makeSources({ allow: ['203.0.113.0/24', '2001:db8::5'], tokenRequired })
    t.ok(allows('203.0.113.77'))
    t.ok(allows('::ffff:203.0.113.77'))
    t.ok(allows('2001:db8::5'))
    t.notOk(allows('203.0.114.1'))
    t.notOk(allows('127.0.0.1'), 'not even loopback')
    t.match(summary, /203\.0\.113\.0\/24/)
  }
})

t.test('rules that change hold from then on', async (t) => {
  const rules = { allow: [] as string[], tokenRequired: false }
  const sources = makeSources(rules)
  t.notOk(sources.allows('203.0.113.1'))
  rules.tokenRequired = true
  t.ok(sources.allows('203.0.113.1'))
  t.match(sources.summary, /any source, with a token/)
  rules.allow = ['203.0.113.0/24']
  t.ok(sources.allows('203.0.113.1'))
  t.notOk(sources.allows('198.51.100.1'))
  Object.assign(rules, { allow: [], tokenRequired: false })
  t.notOk(sources.allows('203.0.113.1'))
})
