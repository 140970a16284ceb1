import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { ConfigError, loadConfig, settingKeys, type Config, type Environment } from '../src/config.ts'

const read = (path: string) => readFileSync(new URL(path, import.meta.url), 'utf8')
const defaultsText = read('../config/default.yaml')
const variables = [...read('../src/config.ts').matchAll(/setting\(\s*'([A-Z_]+)'/g)].map((match) => match[1]!)

function problemsOf(env: Environment): readonly string[] {
  try {
    loadConfig(env)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  return []
}

/** One file at a time: the next one takes its place. */
function fileWith(t: Test, text: string): { LANEKEEPER_CONFIG: string } {
  return { LANEKEEPER_CONFIG: join(t.testdir({ 'lanekeeper.yaml': text }), 'lanekeeper.yaml') }
}

t.test('with no configuration at all it starts, on loopback, with everything embedded', async (t) => {
  t.match(loadConfig({}), {
    role: 'all',
    'gateway.host': '127.0.0.1',
    'gateway.port': 3128,
    'admin.host': '127.0.0.1',
    'admin.port': 3129,
    'redis.url': null,
    provider: 'local',
    'targets.ports': [443, 80],
    'targets.allowPrivate': false,
    'pins.idleMs': 600_000,
  })
})

t.test('config/default.yaml holds every setting, and nothing else', async (t) => {
  const keys: string[] = []
  const collect = (table: object, prefix: string) => {
    for (const [name, value] of Object.entries(table)) {
      const key = prefix + name
      if (settingKeys.includes(key as never) || value === null || typeof value !== 'object') keys.push(key)
      else collect(value, `${key}.`)
    }
  }
  collect(parse(defaultsText), '')
  t.same(keys.sort(), [...settingKeys].sort())
})

t.test('config/default.yaml explains every key, and names its variable', async (t) => {
  for (const line of defaultsText.split('\n')) {
    if (/^\s*(#.*)?$/.test(line) || /^\w+:$/.test(line)) continue
    t.match(line, /\S #|^\w+: \[\]$/, line)
  }
  for (const variable of variables) t.match(defaultsText, new RegExp(`# .*\\b${variable}\\b`), variable)
})

t.test('the result is frozen', async (t) => {
  const config = loadConfig({})
  t.ok(Object.isFrozen(config))
  t.throws(() => Object.assign(config, { role: 'gateway' }), { name: 'TypeError' })
})

type Row = { name: string; value: string; key: keyof Config; read: unknown; besides?: Environment }

t.test('each environment variable is obeyed', async (t) => {
  const besides = { REDIS_URL: 'redis://h:6379' }
  const rows: Row[] = [
    { name: 'ROLE', value: 'gateway', key: 'role', read: 'gateway', besides },
    { name: 'GATEWAY_HOST', value: '0.0.0.0', key: 'gateway.host', read: '0.0.0.0' },
    { name: 'GATEWAY_PORT', value: '0', key: 'gateway.port', read: 0 },
    { name: 'GATEWAY_WORKERS', value: '1', key: 'gateway.workers', read: 1 },
    {
      name: 'GATEWAY_TOKENS',
      value: 'old,statements:new',
      key: 'gateway.tokens',
      read: [
        { name: 'token-1', token: 'old' },
        { name: 'statements', token: 'new' },
      ],
    },
    {
      name: 'GATEWAY_TOKEN_KEYS',
      value: `k1:${'s'.repeat(32)}`,
      key: 'gateway.tokenKeys',
      read: [{ id: 'k1', secret: 's'.repeat(32) }],
    },
    {
      name: 'ADMIN_READ_TOKEN',
      value: 's3cret',
      key: 'admin.readToken',
      read: 's3cret',
      besides: { ADMIN_TOKEN: 'x' },
    },
    { name: 'ADMIN_HOST', value: '::1', key: 'admin.host', read: '::1' },
    { name: 'ADMIN_PORT', value: '9000', key: 'admin.port', read: 9000 },
    { name: 'ADMIN_TOKEN', value: 's3cret', key: 'admin.token', read: 's3cret' },
    { name: 'REDIS_URL', value: 'redis://h:6379/2', key: 'redis.url', read: 'redis://h:6379/2' },
    { name: 'DATABASE_URL', value: 'postgres://h/db', key: 'database.url', read: 'postgres://h/db' },
    { name: 'ADMIN_URL', value: 'http://control:3129/', key: 'admin.url', read: 'http://control:3129' },
    { name: 'FLEET', value: 'blue-2', key: 'fleet', read: 'blue-2' },
    {
      name: 'PROVIDER',
      value: 'static',
      key: 'provider',
      read: 'static',
      besides: { STATIC_UPSTREAMS: '10.0.0.5:8888' },
    },
    { name: 'LOCAL_UPSTREAMS', value: '7', key: 'local.upstreams', read: 7 },
    { name: 'ALLOW_PRIVATE_TARGETS', value: 'true', key: 'targets.allowPrivate', read: true },
    { name: 'TARGET_PORTS', value: '*', key: 'targets.ports', read: 'any' },
    { name: 'DRAIN_DEADLINE_MS', value: '60000', key: 'drains.deadlineMs', read: 60_000 },
    { name: 'PIN_IDLE_MS', value: '2000', key: 'pins.idleMs', read: 2000 },
    { name: 'REDIS_DOWN', value: 'reject', key: 'redis.down', read: 'reject' },
    { name: 'LOG_LEVEL', value: 'silent', key: 'log.level', read: 'silent' },
    { name: 'DATA_DIR', value: '/var/lib/lk', key: 'dataDir', read: '/var/lib/lk' },
  ]
  for (const { name, value, key, read, besides } of rows)
    t.strictSame(loadConfig({ ...besides, [name]: value })[key], read, name)
  t.match(loadConfig({ STATIC_UPSTREAMS: '10.0.0.5:8888,[::1]:80' })['static.upstreams'], [
    { host: '10.0.0.5', port: 8888 },
    { host: '::1', port: 80 },
  ])
  const tested = [...rows.map(({ name }) => name), 'STATIC_UPSTREAMS']
  t.same(
    variables.filter((name) => !tested.includes(name)),
    [],
    'no variable is left out here',
  )
})

t.test('of file and environment the environment wins; what neither says is the default', async (t) => {
  const file = fileWith(t, 'gateway:\n  port: 1000\n  maxTunnels: 5\nadmin: { port: 2000 }\n')
  t.match(loadConfig({ ...file, GATEWAY_PORT: '3000' }), {
    'gateway.port': 3000,
    'gateway.maxTunnels': 5,
    'admin.port': 2000,
    'gateway.headLines': 100,
  })
})

t.test('a file may be empty, or have groups without a setting', async (t) => {
  for (const text of ['', '# nothing\n', 'gateway:\n  # port: 1\nadmin: {}\n'])
    t.equal(loadConfig(fileWith(t, text))['gateway.port'], 3128, JSON.stringify(text))
})

t.test('a file can say all that a list of upstreams and rules needs', async (t) => {
  const config = loadConfig(
    fileWith(
      t,
      `
provider: static
static:
  upstreams:
    - { id: up-a, host: 10.0.0.5, port: 8888, egressIp: 203.0.113.7, labels: { pool: payments }, credentials: vm }
    - { host: 10.0.0.6, port: 8888 }
credentials: { vm: "user:s3cret" }
restrictions:
  - { id: r1, kind: exclusive, type: payment, upstreams: { labels: { pool: payments } } }
targets: { family: 4, ports: 443 }
`,
    ),
  )
  t.match(config['static.upstreams'], [{ id: 'up-a', credentials: 'vm' }, { host: '10.0.0.6' }])
  t.strictSame(config.credentials, { vm: 'user:s3cret' })
  t.match(config.restrictions, [{ id: 'r1', institution: '*' }])
  t.match(config, { 'targets.family': '4', 'targets.ports': [443] })
})

t.test('all problems are told at once, each with its key and where it stands', async (t) => {
  const file = fileWith(t, 'gateway: { port: 99999, prot: 5 }\nlog: { level: loud }\n')
  const problems = problemsOf({ ...file, ADMIN_PORT: 'x', FLEET: 'No!' })
  t.equal(problems.length, 5)
  for (const expected of [
    /^gateway\.port \(.*lanekeeper\.yaml\): .*found 99999/,
    /lanekeeper\.yaml: unknown setting "gateway\.prot"/,
    /^log\.level \(.*lanekeeper\.yaml\): must be trace or .*found "loud"/,
    /^admin\.port \(ADMIN_PORT\): .*found "x"/,
    /^fleet \(FLEET\): /,
  ])
    t.ok(
      problems.some((problem) => expected.test(problem)),
      String(expected),
    )
  t.throws(() => loadConfig({ ADMIN_PORT: 'x' }), { name: 'ConfigError', message: /a problem$/ })
  t.throws(() => loadConfig({ ADMIN_PORT: 'x', FLEET: '' }), { message: /2 problems$/ })
})

t.test('what no file can be', async (t) => {
  const rows: [name: string, text: string, problem: RegExp][] = [
    ['no YAML', 'gateway: [', /lanekeeper\.yaml: /],
    ['a list', '- gateway\n', /lanekeeper\.yaml: .*table/],
    ['a text', 'gateway\n', /lanekeeper\.yaml: .*table/],
    [
      'what is wrong, and where',
      'gateway:\n  port: [1\n',
      /lanekeeper\.yaml: Flow sequence .* at line \d+, column \d+$/,
    ],
    ['a key twice', 'fleet: a\nfleet: b\n', /lanekeeper\.yaml: .*unique/],
    ['a group that is a value', 'gateway: 5\nprot: 1\n', /"gateway" must be a table/],
    ['and what comes after it', 'gateway: 5\nprot: 1\n', /unknown setting "prot"/],
    ['a group that is a list', 'gateway: [5]\n', /table/],
    [
      'a key of every object',
      'constructor: 5\n__proto__: { polluted: 1 }\ntoString: 5\n',
      /unknown setting "constructor"/,
    ],
    ['a dotted key that nobody knows', 'gateway.prot: 5\n', /unknown setting "gateway\.prot"/],
  ]
  for (const [name, text, problem] of rows) {
    const problems = problemsOf(fileWith(t, text))
    t.ok(
      problems.some((line) => problem.test(line)),
      `${name}: ${problems.join(' / ')}`,
    )
  }
  t.match(problemsOf({ LANEKEEPER_CONFIG: '/no/such/file.yaml' }), [/\/no\/such\/file\.yaml.*ENOENT/])
  t.equal(({} as { polluted?: unknown }).polluted, undefined)
})

t.test('settings that contradict each other', async (t) => {
  const rows: [name: string, env: Environment, problem: RegExp][] = [
    [
      'a gateway alone, without Redis',
      { ROLE: 'gateway' },
      /ROLE.*"gateway" needs redis\.url.*REDIS_URL.*one process/,
    ],
    ['control alone, without Redis', { ROLE: 'control' }, /ROLE.*"control" needs redis\.url/],
    ['more than one worker', { GATEWAY_WORKERS: '2' }, /GATEWAY_WORKERS.*more gateways on one Redis/],
    ['static without a list', { PROVIDER: 'static' }, /STATIC_UPSTREAMS.*at least one/],
    ['one port for both', { GATEWAY_PORT: '3129' }, /ADMIN_PORT.*3129/],
    ['an admin API for everybody', { ADMIN_HOST: '0.0.0.0' }, /ADMIN_HOST.*"0\.0\.0\.0".*ADMIN_TOKEN/],
    ['an idle time longer than the longest life', { PIN_IDLE_MS: '100000000' }, /pins\.idleMs.*longer/],
    ['tokens to look with, and none to change', { ADMIN_READ_TOKEN: 'x' }, /ADMIN_READ_TOKEN.*ADMIN_TOKEN/],
    ['a way round the upstreams', { FORCE_FETCH_PATH: 'true' }, /FORCE_FETCH_PATH.*past their upstreams/],
    ['one token for both', { ADMIN_TOKEN: 'x', ADMIN_READ_TOKEN: 'x' }, /ADMIN_READ_TOKEN.*same/],
    ['one token under two names', { GATEWAY_TOKENS: 'a:1,b:1' }, /"a" and "b" are the same token/],
    ['a token that looks signed', { GATEWAY_TOKENS: 'a:lk1.x' }, /"a" begins with lk1\./],
    ['two tokens of one name', { GATEWAY_TOKENS: 'a:1,a:2' }, /gateway\.tokens.*"a".*twice/],
    ['an upstream twice', { STATIC_UPSTREAMS: '10.0.0.5:1,10.0.0.5:1' }, /twice/],
  ]
  for (const [name, env, problem] of rows) {
    const problems = problemsOf(env)
    t.equal(problems.length, 1, name)
    t.match(problems[0], problem, name)
  }
  t.match(problemsOf({ PROVIDER: 'gce' }), [
    /gce\.project.*needs it/,
    /gce\.template.*needs it/,
    /gce\.zones.*at least one, such as \[europe-west1-b\]/,
  ])
  t.same(
    problemsOf({ PROVIDER: 'gce', ROLE: 'gateway', REDIS_URL: 'redis://h' }),
    [],
    'gateways know no cloud',
  )
  for (const ADMIN_HOST of ['127.0.0.1', '127.1.2.3', '::1', 'localhost'])
    t.same(problemsOf({ ADMIN_HOST }), [], ADMIN_HOST)
  for (const ADMIN_HOST of ['::', '::ffff:127.0.0.1', '127.1', '2130706433', '0', 'localhost.evil.example'])
    t.match(problemsOf({ ADMIN_HOST }), [/ADMIN_HOST/], ADMIN_HOST)
  t.same(problemsOf({ ADMIN_HOST: '0.0.0.0', ADMIN_TOKEN: 's3cret' }), [], 'with a token')
  t.same(
    problemsOf({ ADMIN_HOST: '0.0.0.0', ROLE: 'gateway', REDIS_URL: 'redis://h' }),
    [],
    'nothing to change there',
  )
  t.same(problemsOf({ GATEWAY_PORT: '0', ADMIN_PORT: '0' }), [], 'two free ports differ')
  t.same(
    problemsOf({ ROLE: 'gateway', REDIS_URL: 'redis://h', PROVIDER: 'static' }),
    [],
    "a gateway's provider is not asked",
  )
})

t.test('names that lists of a file give twice, or do not give', async (t) => {
  const rows: [text: string, problem: RegExp][] = [
    [
      'restrictions: [{id: r, kind: deny, upstreams: {ids: [a]}}, {id: r, kind: deny, upstreams: {ids: [b]}}]',
      /restrictions: .*"r".*twice/,
    ],
    [
      'static: {upstreams: [{id: a, host: h, port: 1}, {id: a, host: g, port: 1}]}',
      /static\.upstreams: .*"a".*twice/,
    ],
    ['{redis: {down: hash}, drains: {silentMs: 129999}}', /drains\.silentMs.*130000.*hash/],
    ['{redis: {downByType: {payment: hash}}, drains: {silentMs: 1000}}', /drains\.silentMs/],
    ['gateway: {tls: {certificate: a.pem}}', /gateway\.tls.*go together/],
    ['gateway: {tls: {clientCa: a.pem}}', /clientCa: needs/],
    ['gateway: {maxConnections: 10, maxTunnels: 11}', /maxConnections: is less than/],
    ['static: {upstreams: [{id: a, host: h, port: 1, credentials: vm}]}', /"a" names credentials "vm"/],
    [
      'static: {upstreams: [{id: a, host: h, port: 1, credentials: toString}]}',
      /"a" names credentials "toString"/,
    ],
  ]
  for (const [text, problem] of rows) t.match(problemsOf(fileWith(t, text)), [problem], text)
})

t.test('no problem repeats a secret', async (t) => {
  const rows: (Environment | string)[] = [
    { GATEWAY_TOKENS: 'fine,s3cret\x01' },
    { GATEWAY_TOKENS: 'name:s3cret\x01' },
    { GATEWAY_TOKEN_KEYS: 'k1:s3cret' },
    { GATEWAY_TOKEN_KEYS: 's3cret' },
    { ADMIN_TOKEN: 's3cret two' },
    { REDIS_URL: 'http://user:s3cret@h' },
    { REDIS_URL: 'user:s3cret@h:6379' },
    { DATABASE_URL: 'user:s3cret@h:5432' },
    { ADMIN_URL: 'http://user:s3cret@h' },
    { STATIC_UPSTREAMS: 'user:s3cret@10.0.0.5:8888' },
    { STATIC_UPSTREAMS: 'http://user:s3cret@10.0.0.5:8888' },
    'static: {upstreams: [{host: h, port: 1, credentials: "user:s3cret"}]}',
    'gce: {credentials: "user:s3cret"}',
    'gateway: { tokens: { a: s3cret } }',
    'gateway: { tokens: [{ a: s3cret }] }',
    'gateway: { tokens: 53333333 }',
    'admin: { token: [s3cret] }',
    'admin: { token: 53333333 }',
    'redis: { url: [redis://u:s3cret@h] }',
    'credentials: user:s3cret',
    'credentials: [user:s3cret]',
    'credentials: { vm: s3cret }',
    'credentials: { vm: { user: s3cret } }',
    'static: { upstreams: ["user:s3cret@10.0.0.5:8888"] }\nprovider: 5',
    'credentials: { vm: "user:s3cret"\n',
    'credentials:\n  vm: user:s3cret: x: [\n',
    // YAML has words of its own for what begins like these.
    'admin: { token: *s3cret }',
    'admin: { token: !s3cret }',
    'admin: { token: !!int s3cret }',
    'admin:\n  token: |s3cret\n   x\n',
    'admin:\n  token: @s3cret\n',
    'admin:\n  token: "s3cret\\q"\n',
    'admin:\n  token: "\\Us3cret12"\n',
    '%s3cret\n---\nadmin: {}\n',
  ]
  for (const row of rows) {
    const problems = problemsOf(typeof row === 'string' ? fileWith(t, row) : row)
    t.ok(problems.length > 0, JSON.stringify(row))
    t.notMatch(problems.join('\n'), /s3cret|53333333/)
  }
})
