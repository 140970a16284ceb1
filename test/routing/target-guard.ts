import fc from 'fast-check'
import t from 'tap'
import { isGatewayError } from '../../src/errors.ts'
import { makeTargetGuard } from '../../src/routing/target-guard.ts'
import { parseAuthority } from '../../src/routing/target.ts'
import type { Target } from '../../src/types.ts'

type Options = Parameters<typeof makeTargetGuard>[0]

const listeners = [
  { host: '127.0.0.1', port: 3128 },
  { host: '0.0.0.0', port: 3129 },
]
const upstreams: readonly (Target & { readonly egressIp?: string | null })[] = [
  { host: '10.0.0.5', port: 8888, egressIp: '198.51.100.5' },
  { host: '2001:db8::5', port: 8889 },
  { host: 'Proxy.bank.example', port: 8890 },
]

const makeGuard = (more: Partial<Options> = {}) =>
  makeTargetGuard({
    ports: 'any',
    deny: [],
    allowPrivate: true,
    ownListeners: () => listeners,
    localAddresses: () => ['127.0.0.1', '::1', '192.168.7.1', 'fe80::1%eth0', '2001:db8:7::1'],
    gateways: () => [
      { host: '10.0.1.2', port: 3128 },
      { host: '2600::2', port: 3129 },
    ],
    fleet: () => upstreams,
    ...more,
  })

const byName = { code: 'target_denied', status: 403, token: 'http_request_denied' }
const looping = { code: 'target_denied', status: 403, token: 'proxy_loop_detected' }
const byAddress = { code: 'target_denied', status: 403, token: 'destination_ip_prohibited' }

t.test('ports', async (t) => {
  const some = makeGuard({ ports: [443, 80], allowPrivate: false })
  for (const port of [443, 80])
    t.doesNotThrow(() => some.checkName({ host: 'bank.example', port }), `${port}`)
  for (const port of [1, 22, 25, 444, 5432, 6379, 8080, 65_535]) {
    t.throws(() => some.checkName({ host: 'bank.example', port }), byName, `${port}`)
  }
  t.throws(() => some.checkName({ host: '192.0.2.1', port: 22 }), byName, 'of an address')
  t.throws(
    () => some.checkName({ host: 'bank.example', port: 22 }),
    { message: /Port 22 .*443, 80.*targets\.ports.*TARGET_PORTS/ },
    'says what is allowed, and where that is set',
  )
  t.doesNotThrow(() => makeGuard().checkName({ host: 'bank.example', port: 22 }), 'any')
  t.throws(
    () => makeGuard({ ports: [], allowPrivate: true }).checkName({ host: 'bank.example', port: 443 }),
    byName,
    'none',
  )
})

t.test('targets by what was asked for', async (t) => {
  const rows: [name: string, target: string, refusal: typeof byName | null][] = [
    ['a bank', 'bank.example:443', null],
    ['an address', '198.51.100.7:443', null],
    ['an IPv6 address', '[2001:db8::7]:443', null],
    ['the metadata server', 'metadata.google.internal:80', byAddress],
    ['in upper case with a dot', 'Metadata.Google.Internal.:80', byAddress],
    ['in short', 'metadata:80', byAddress],
    ['on another port', 'metadata.google.internal:443', byAddress],
    ['by its address', '169.254.169.254:80', byAddress],
    ['by its IPv6 address', '[fd20:ce::254]:80', byAddress],
    ['the same in full', '[fd20:00ce:0:0:0:0:0:0254]:80', byAddress],
    ['by its address within IPv6', '[::ffff:169.254.169.254]:80', byAddress],
    ['the same in hex', '[::ffff:a9fe:a9fe]:80', byAddress],
    ['by its address within 6to4', '[2002:a9fe:a9fe::1]:80', byAddress],
    ['by its address behind a translator', '[64:ff9b::a9fe:a9fe]:80', byAddress],
    ['by its address behind an ISATAP router', '[2600::5efe:169.254.169.254]:80', byAddress],
    ['its neighbour', '169.254.169.253:80', null],
    ['Azure\u2019s wire server', '168.63.129.16:80', byAddress],
    ['Alibaba\u2019s metadata server', '100.100.100.200:80', byAddress],
    ['AWS\u2019s by IPv6', '[fd00:ec2::254]:80', byAddress],
    ['AWS\u2019s for a container', '169.254.170.2:80', byAddress],
    ['Oracle\u2019s', '192.0.0.192:80', byAddress],
    ['a name that ends like it', 'notmetadata.google.internal:80', null],
    ['a name below it', 'metadata.google.internal.bank.example:80', null],
    ['the upstream\u2019s own page', 'tinyproxy.stats:80', byName],

    ['our gateway', '127.0.0.1:3128', looping],
    ['by another loopback address', '127.255.0.9:3128', looping],
    ['by IPv6', '[::1]:3128', looping],
    ['by the unspecified address', '0.0.0.0:3128', looping],
    ['by the unspecified IPv6 address', '[::]:3128', looping],
    ['by loopback within IPv6', '[::ffff:127.0.0.1]:3128', looping],
    ['by the unspecified address within IPv6', '[::ffff:0.0.0.0]:3128', looping],
    ['by an interface', '192.168.7.1:3128', looping],
    ['by an interface within IPv6', '[::ffff:192.168.7.1]:3128', looping],
    ['by an interface\u2019s IPv6 address', '[2001:db8:7:0::1]:3128', looping],
    ['by loopback behind a translator', '[64:ff9b::7f00:1]:3128', looping],
    ['by a link-local address', '[fe80::1]:3128', looping],
    ['by name', 'localhost:3128', looping],
    ['by a name below it', 'LocalHost.localhost.:3128', looping],
    ['our admin port', '127.0.0.1:3129', looping],
    ['another gateway', '10.0.1.2:3128', looping],
    ['another gateway within IPv6', '[::ffff:10.0.1.2]:3128', looping],
    ['the admin port of another gateway', '[2600:0::2]:3129', looping],
    ['another port of another gateway', '10.0.1.2:443', null],
    ['another port of this machine', '127.0.0.1:4433', null],
    ['another port of an interface', '192.168.7.1:443', null],
    ['our port on another machine', '192.168.7.2:3128', null],
    ['our port at a bank', 'bank.example:3128', null],
    ['an address that only begins like loopback', '12.7.0.1:3128', null],

    ['an upstream', '10.0.0.5:8888', byAddress],
    ['an upstream within IPv6', '[::ffff:10.0.0.5]:8888', byAddress],
    ['an upstream by IPv6', '[2001:db8:0::5]:8889', byAddress],
    ['an upstream by name', 'proxy.bank.example:8890', byAddress],
    ['an upstream by the address that targets see', '198.51.100.5:8888', byAddress],
    ['another port of that', '198.51.100.5:443', null],
    ['another port of an upstream', '10.0.0.5:443', null],
    ['the port of another upstream', '10.0.0.5:8889', null],
    ['an upstream\u2019s port on another machine', '10.0.0.6:8888', null],
    ['an upstream\u2019s port on the upstream itself', '127.0.0.1:8888', byAddress],
    ['and by name', 'localhost:8889', byAddress],
  ]
  const guard = makeGuard()
  for (const [name, target, refusal] of rows) {
    const check = () => guard.checkName(parseAuthority(target))
    if (refusal) t.throws(check, refusal, name)
    else t.doesNotThrow(check, name)
  }
})

t.test('targets by where their name leads', async (t) => {
  const rows: [name: string, address: string, port: number, refusal: typeof byName | null][] = [
    ['anywhere', '198.51.100.7', 443, null],
    ['the metadata server', '169.254.169.254', 443, byAddress],
    ['the metadata server within IPv6', '::ffff:169.254.169.254', 443, byAddress],
    ['the metadata server in hex and upper case', '::FFFF:A9FE:A9FE', 443, byAddress],
    ['the metadata server by IPv6, in full', 'fd20:00ce::0254', 443, byAddress],
    ['our gateway', '127.0.0.1', 3128, looping],
    ['our gateway, elsewhere on loopback', '127.8.8.8', 3128, looping],
    ['our gateway by an interface', '192.168.7.1', 3128, looping],
    ['our gateway with a zone', 'fe80::1%lo', 3128, looping],
    ['our gateway by the unspecified address', '0.0.0.0', 3128, looping],
    ['another port of this machine', '192.168.7.1', 443, null],
    ['an upstream', '10.0.0.5', 8888, byAddress],
    ['an upstream within IPv6', '::ffff:a00:5', 8888, byAddress],
    ['an upstream by IPv6, in full', '2001:0DB8:0:0:0:0:0:5', 8889, byAddress],
    ['another port of an upstream', '10.0.0.5', 443, null],
    ['what is no address', 'bank.example', 443, byAddress],
    ['a short form', '127.1', 443, byAddress],
  ]
  const guard = makeGuard()
  for (const [name, address, port, refusal] of rows) {
    const check = () => guard.checkAddress(address, { host: 'bank.example', port })
    if (refusal) t.throws(check, refusal, name)
    else t.doesNotThrow(check, name)
  }
})

t.test('special addresses and private names, unless the setting lifts them', async (t) => {
  const rows: [name: string, target: string][] = [
    ['private use', '10.1.2.3:443'],
    ['the same within IPv6', '[::ffff:10.1.2.3]:443'],
    ['the same in hex and upper case', '[::FFFF:A01:203]:443'],
    ['shared address space', '100.64.0.1:443'],
    ['this machine', '127.0.0.1:443'],
    ['this machine by IPv6', '[::1]:443'],
    ['the unspecified address', '0.0.0.0:443'],
    ['link-local', '169.254.1.1:443'],
    ['unique local', '[fd12::1]:443'],
    ['6to4 of a public address', '[2002:808:808::1]:443'],
    ['a translated public address', '[64:ff9b::808:808]:443'],
    ['localhost', 'localhost:443'],
    ['in upper case with a dot', 'LOCALHOST.:443'],
    ['a name below it', 'a.localhost:443'],
    ['a single label', 'redis:443'],
    ['a printer', 'Printer.Local.:443'],
    ['a name within a cloud', 'vm-1.c.project.internal:443'],
    ['a name at home', 'nas.home.arpa:443'],
  ]
  const closed = makeGuard({ allowPrivate: false })
  const open = makeGuard({ allowPrivate: true })
  for (const [name, target] of rows) {
    t.throws(() => closed.checkName(parseAuthority(target)), byAddress, name)
    t.doesNotThrow(() => open.checkName(parseAuthority(target)), `${name}, lifted`)
  }
  for (const target of [
    'bank.example:443',
    '8.8.8.8:443',
    '[2600::1]:443',
    '100.63.255.254:443',
    '[::ffff:8.8.8.8]:80',
  ])
    t.doesNotThrow(() => closed.checkName(parseAuthority(target)), target)
  t.doesNotThrow(() => closed.checkAddress('8.8.8.8', { host: 'bank.example', port: 443 }))
  const check = () => closed.checkAddress('10.1.2.3', { host: 'bank.example', port: 443 })
  t.throws(
    check,
    { ...byAddress, message: /"bank\.example" .*\(private use\).*targets\.allowPrivate/ },
    'by name',
  )
  t.throws(() => closed.checkName(parseAuthority('localhost:3128')), looping, 'a loop is called a loop')
})

t.test('what targets.deny names', async (t) => {
  const deny = ['front.bank.example', '*.Closed.example', '203.0.113.0/24', '2600:9::/32', '9.9.9.9']
  const rows: [name: string, target: string, refusal: typeof byName | null][] = [
    ['a name', 'front.bank.example:443', byName],
    ['in upper case with a dot', 'Front.Bank.Example.:443', byName],
    ['a name below it', 'www.front.bank.example:443', null],
    ['a name below a star', 'www.closed.example:443', byName],
    ['the name itself', 'closed.example:443', null],
    ['an address', '9.9.9.9:443', byAddress],
    ['the same within IPv6', '[::ffff:909:909]:443', byAddress],
    ['the same behind a translator', '[64:ff9b::9.9.9.9]:443', byAddress],
    ['its neighbour', '9.9.9.10:443', null],
    ['an address of a range', '203.0.113.77:443', byAddress],
    ['an IPv6 address of a range', '[2600:9:0:0::77]:443', byAddress],
  ]
  const guard = makeGuard({ deny })
  for (const [name, target, refusal] of rows) {
    const check = () => guard.checkName(parseAuthority(target))
    if (refusal) t.throws(check, { ...refusal, message: /targets\.deny/ }, name)
    else t.doesNotThrow(check, name)
  }
  t.throws(
    () => guard.checkAddress('9.9.9.9', { host: 'bank.example', port: 443 }),
    byAddress,
    'where a name leads',
  )
})

t.test('ports, deny and allowPrivate as they are now', async (t) => {
  const rules: { ports: number[]; deny: string[]; allowPrivate: boolean } = {
    ports: [443],
    deny: [],
    allowPrivate: false,
  }
  const guard = makeTargetGuard({
    get ports() {
      return rules.ports
    },
    get deny() {
      return rules.deny
    },
    get allowPrivate() {
      return rules.allowPrivate
    },
    ownListeners: () => [],
    localAddresses: () => [],
    fleet: () => [],
  })
  const bank = { host: 'bank.example', port: 8443 }
  t.throws(() => guard.checkName(bank), byName)
  rules.ports = [8443]
  t.doesNotThrow(() => guard.checkName(bank))
  rules.deny = ['bank.example', '192.0.2.0/24']
  t.throws(() => guard.checkName(bank), byName)
  t.throws(() => guard.checkAddress('192.0.2.1', bank), byAddress)
  rules.deny = []
  t.throws(() => guard.checkAddress('10.0.0.1', bank), byAddress)
  rules.allowPrivate = true
  t.doesNotThrow(() => guard.checkAddress('10.0.0.1', bank))
})

t.test('no setting opens what is never a target', async (t) => {
  for (const allowPrivate of [true, false]) {
    for (const ports of ['any', [80, 3128, 8888]] as const) {
      const guard = makeGuard({ allowPrivate, ports, deny: ['no.example'] })
      for (const target of [
        '169.254.169.254:80',
        'metadata:80',
        '127.0.0.1:3128',
        '10.0.0.5:8888',
        '168.63.129.16:80',
        'no.example:80',
      ]) {
        t.throws(
          () => guard.checkName(parseAuthority(target)),
          { code: 'target_denied', status: 403 },
          target,
        )
      }
    }
  }
})

t.test('the answer names what was asked for, not where it leads', async (t) => {
  const rows: [address: string, port: number][] = [
    ['169.254.169.254', 80],
    ['192.168.7.1', 3128],
    ['10.0.0.5', 8888],
  ]
  for (const [address, port] of rows) {
    const error = t.throws(() => makeGuard().checkAddress(address, { host: 'bank.example', port })) as Error
    t.match(error.message, 'bank.example')
    t.notMatch(error.message, address)
  }
})

t.test('listeners, interfaces and fleet as they are now', async (t) => {
  let [own, local, fleet]: [Target[], string[], Target[]] = [[], [], []]
  const guard = makeGuard({ ownListeners: () => own, localAddresses: () => local, fleet: () => fleet })
  const check = (target: string) => () => guard.checkName(parseAuthority(target))
  for (const target of ['127.0.0.1:3128', '192.168.7.9:3128', '10.0.0.9:8888']) t.doesNotThrow(check(target))
  own = [{ host: '127.0.0.1', port: 3128 }]
  t.throws(check('127.0.0.1:3128'), looping, 'a listener that opened')
  t.doesNotThrow(check('192.168.7.9:3128'))
  local = ['192.168.7.9']
  t.throws(check('192.168.7.9:3128'), looping, 'an interface that came up')
  fleet = [{ host: '10.0.0.9', port: 8888 }]
  t.throws(check('10.0.0.9:8888'), byAddress, 'an upstream that was added')
  fleet = []
  t.doesNotThrow(check('10.0.0.9:8888'), 'and deleted')
})

t.test('the fleet is read once while it stays the same', async (t) => {
  let reads = 0
  const counted = Array.from({ length: 1000 }, (_, i) => ({
    get host() {
      reads += 1
      return `10.1.${i >> 8}.${i & 255}`
    },
    port: 8888,
  }))
  const guard = makeGuard({ fleet: () => counted })
  for (let i = 0; i < 10; i++) {
    guard.checkName({ host: 'bank.example', port: 443 })
    guard.checkAddress('198.51.100.7', { host: 'bank.example', port: 443 })
  }
  t.equal(reads, 1000)
})

t.test('an IPv4 address and the IPv6 address that maps it are always one', async (t) => {
  const guard = makeGuard()
  const isRefused = (address: string, port: number) => {
    try {
      guard.checkAddress(address, { host: 'bank.example', port })
      return false
    } catch (error) {
      if (isGatewayError(error, 'target_denied')) return true
      throw error
    }
  }
  const known = fc.constantFrom(
    '127.0.0.1',
    '127.9.9.9',
    '0.0.0.0',
    '10.0.0.5',
    '169.254.169.254',
    '192.168.7.1',
  )
  const port = fc.constantFrom(443, 3128, 8888)
  let refused = 0
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), known), port, (address, port) => {
      const groups = address.split('.').map((part) => Number(part).toString(16).padStart(2, '0'))
      const hex = `::ffff:${groups[0]}${groups[1]}:${groups[2]}${groups[3]}`
      if (isRefused(address, port)) refused += 1
      return [`::ffff:${address}`, hex, hex.toUpperCase()].every(
        (spelling) => isRefused(spelling, port) === isRefused(address, port),
      )
    }),
    { numRuns: 1000 },
  )
  t.ok(refused > 50, `${refused} of them refused`)
})
