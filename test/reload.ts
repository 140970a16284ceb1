import { join } from 'node:path'
import t, { type Test } from 'tap'
import { liveKeys, loadConfig, settingKeys, type Config, type Environment } from '../src/config.ts'
import { makeLive, makeReload, planReload } from '../src/reload.ts'
import { recordFacts } from './fixtures/facts.ts'

const s3cret = 's3cret'

function configOf(t: Test, text: string, env: Environment = {}): Config {
  const path = join(t.testdir({ 'lanekeeper.yaml': text }), 'lanekeeper.yaml')
  return loadConfig({ LANEKEEPER_CONFIG: path, ...env })
}

function setUp(t: Test, text: string, env: Environment = {}) {
  const facts = recordFacts()
  const live = makeLive(configOf(t, text, env))
  const told = { taken: 0, failing: null as string | null }
  const reload = makeReload({
    live,
    check: () => {
      if (told.failing !== null) throw new Error(told.failing)
    },
    taken: () => void (told.taken += 1),
    events: facts.events,
  })
  return { facts, live, told, reload: (text: string) => reload(() => configOf(t, text, env)) }
}

t.test('what needs no restart is taken, what does waits; both are told by name', async (t) => {
  const { facts, live, told, reload } = setUp(t, `gateway: { tokens: [a:one] }`)
  const tokens = live.table((config) => ({ tokens: config['gateway.tokens'] }))
  reload(`{ gateway: { tokens: [b:${s3cret}], port: 4000 }, fleet: blue, log: { level: warn } }`)
  t.strictSame(facts.of('config_reloaded'), [{ settings: ['gateway.tokens', 'log.level'] }])
  t.strictSame(facts.of('config_held_back'), [{ settings: ['gateway.port', 'fleet'] }])
  t.match(tokens, { tokens: [{ name: 'b', token: s3cret }] }, 'a table is kept up to date')
  t.match(live.config, { 'gateway.port': 3128, fleet: 'main', 'log.level': 'warn' })
  t.ok(Object.isFrozen(live.config))
  t.equal(told.taken, 1)
  t.notMatch(JSON.stringify(facts.of('config_reloaded')), s3cret)
})

t.test('what was taken counts for the next one; what waits is told each time', async (t) => {
  const { facts, reload } = setUp(t, 'fleet: main')
  const next = '{ fleet: blue, log: { level: warn } }'
  reload(next)
  reload(next)
  t.strictSame(facts.of('config_reloaded'), [{ settings: ['log.level'] }, { settings: [] }])
  t.strictSame(facts.of('config_held_back'), [{ settings: ['fleet'] }, { settings: ['fleet'] }])
})

t.test('with anything wrong all stays as it was, and all that is wrong is told once', async (t) => {
  const rows: [name: string, text: string, problem: RegExp][] = [
    ['no YAML', 'log: { level: warn', /lanekeeper\.yaml: Flow map/],
    [
      'a bad value',
      '{ log: { level: warn }, gateway: { maxTunnels: none } }',
      /gateway\.maxTunnels .*whole number/,
    ],
    [
      'a bad value of what needs a restart',
      '{ log: { level: warn }, gateway: { port: 99999 } }',
      /gateway\.port/,
    ],
    [
      'a contradiction',
      '{ log: { level: warn }, gateway: { maxConnections: 10 } }',
      /maxConnections: is less than/,
    ],
    ['an unknown setting', '{ log: { level: warn, colour: red } }', /unknown setting "log\.colour"/],
    [
      'a token that is no text',
      `{ log: { level: warn }, gateway: { tokens: { a: ${s3cret} } } }`,
      /gateway\.tokens/,
    ],
  ]
  for (const [name, text, problem] of rows) {
    const { facts, live, told, reload } = setUp(t, 'gateway: { tokens: [a:one] }')
    const before = live.config
    const table = live.table((config) => ({ level: config['log.level'] }))
    reload(text)
    t.equal(live.config, before, name)
    t.strictSame(table, { level: 'info' }, name)
    t.equal(told.taken, 0, name)
    t.match(facts.of('config_reload_failed'), [{ problems: [problem] }], name)
    t.strictSame(facts.names(), ['config_reload_failed'], name)
    t.notMatch(JSON.stringify(facts.of('config_reload_failed')), s3cret)
  }
  const { facts, live, told, reload } = setUp(t, '{}')
  told.failing = 'this process may have 1024 files open'
  reload('log: { level: warn }')
  t.equal(live.config['log.level'], 'info')
  t.strictSame(
    facts.of('config_reload_failed'),
    [{ problems: [told.failing] }],
    'what the process cannot keep',
  )
})

t.test('what would only be right after a restart is not taken before it', async (t) => {
  const open = configOf(t, `admin: { host: 0.0.0.0, token: ${s3cret} }`)
  const next = configOf(t, '{ admin: { host: 127.0.0.1, token: null }, log: { level: warn } }')
  t.throws(() => planReload(open, next), {
    name: 'ConfigError',
    problems: [/admin\.host.*set admin\.token.*without a restart; admin\.host stays/],
  })
})

t.test('the environment beats the file, then too', async (t) => {
  const { facts, live, reload } = setUp(t, 'log: { level: info }', { LOG_LEVEL: 'error' })
  reload('log: { level: warn }')
  t.equal(live.config['log.level'], 'error')
  t.strictSame(facts.of('config_reloaded'), [{ settings: [] }])
  t.strictSame(facts.of('config_held_back'), [], 'nothing waits')
})

t.test('settings that need a restart', async (t) => {
  // A new one needs a restart until its part reads it where it is used (`live` in config.ts).
  t.strictSame(
    settingKeys.filter((key) => !liveKeys.includes(key)),
    [
      'role',
      'gateway.host',
      'gateway.port',
      'gateway.workers',
      'gateway.tls.certificate',
      'gateway.tls.key',
      'gateway.tls.clientCa',
      'gateway.via',
      'gateway.headTimeoutMs',
      'gateway.headBytes',
      'gateway.keepAliveMs',
      'admin.host',
      'admin.port',
      'redis.url',
      'redis.commandTimeoutMs',
      'redis.sentinelPassword',
      'redis.waitReplicas',
      'database.url',
      'database.poolSize',
      'database.connectTimeoutMs',
      'database.statementTimeoutMs',
      'database.lockTimeoutMs',
      'fleet',
      'dataDir',
      'provider',
      'local.tinyproxy',
      'local.maxClients',
      'local.sourceAddresses',
      'local.labels',
      'gce.project',
      'gce.zones',
      'gce.template',
      'gce.namePrefix',
      'gce.port',
      'gce.address',
      'gce.labels',
      'gce.credentials',
      'gce.operationTimeoutMs',
      'gce.endpoint',
      'targets.resolve',
      'targets.family',
      'targets.resolveTimeoutMs',
      'tunnels.idleMs',
      'tunnels.maxLifeMs',
      'tunnels.earlyBytes',
      'pins.idleMs',
      'pins.maxLifeMs',
      'pins.max',
      'pins.known',
      'pins.maxLanes',
    ],
  )
})
