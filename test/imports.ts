// The shape of the program, read from its import lines: who may know whom, no circles,
// and a test beside every file.

import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import t from 'tap'

const root = join(import.meta.dirname, '..')
const sources = globSync('src/**/*.{ts,cjs}', { cwd: root }).sort()
const tests = globSync('test/**/*.ts', { cwd: root }).sort()

type Import = {
  readonly from: string
  /** A file such as `src/types.ts`, a package, or `node:net`. */
  readonly of: string
  /** `import type`: gone when the program runs. */
  readonly isType: boolean
  /** `import()`: only what is asked for is loaded. */
  readonly isCall: boolean
}

const imports = sources.flatMap(importsOf)

function importsOf(from: string): Import[] {
  const text = readFileSync(join(root, from), 'utf8').replace(/\/\*[\s\S]*?\*\//g, '')
  const statements = text.matchAll(/^\s*(?:import|export)\s+(type\s)?(?:[^'";]*?\sfrom\s+)?'([^']+)'/gm)
  const calls = text.matchAll(/\b(?:import|require)\((\s*)'([^']+)'\s*\)/g)
  const importOf = ([, type, name]: RegExpExecArray, isCall: boolean) => ({
    from,
    of: resolve(from, name!),
    isType: type?.trim() === 'type',
    isCall,
  })
  return [
    ...[...statements].map((match) => importOf(match, false)),
    ...[...calls].map((match) => importOf(match, true)),
  ]
}

function resolve(from: string, name: string): string {
  return name.startsWith('.') ? normalize(join(dirname(from), name)) : name
}

function isIn(file: string, place: string): boolean {
  return place.endsWith('/') ? file.startsWith(place) : file === place
}

/** What a part may import beside itself, node's own modules and, as types, the contracts of stores and clouds. */
const mayImport: { readonly [part: string]: readonly string[] } = {
  'src/types.ts': [],
  'src/errors.ts': [],
  'src/ip-range.ts': [],
  'src/canonical-json.ts': [],
  'src/target-pattern.ts': ['src/ip-range.ts'],
  'src/lane.ts': ['src/types.ts'],
  // The codes with which a call may end.
  'src/events.ts': ['src/types.ts', 'src/errors.ts', 'src/provider/provider.ts'],
  'src/loop.ts': ['src/events.ts'],
  'src/deadline.ts': [],
  'src/redis-url.ts': [],
  'src/presence.ts': ['src/errors.ts', 'src/events.ts'],
  // A target in a log line is written as everywhere else.
  'src/log.ts': ['src/types.ts', 'src/events.ts', 'src/routing/target.ts'],
  'src/metrics.ts': ['src/types.ts', 'src/events.ts'],
  'src/config-checks.ts': ['src/types.ts', 'src/ip-range.ts', 'src/target-pattern.ts', 'src/redis-url.ts'],
  // A list of upstreams is a setting, and reads the same there and in the provider.
  'src/config.ts': ['src/config-checks.ts', 'src/ip-range.ts', 'src/provider/static.ts'],
  // What a running program takes in of another configuration, and the fact that tells of it.
  'src/reload.ts': ['src/config.ts', 'src/events.ts'],
  'src/routing/': [
    'src/types.ts',
    'src/errors.ts',
    'src/events.ts',
    'src/lane.ts',
    'src/ip-range.ts',
    'src/target-pattern.ts',
  ],
  'src/gateway/': [
    'src/types.ts',
    'src/errors.ts',
    'src/events.ts',
    'src/lane.ts',
    'src/loop.ts',
    'src/ip-range.ts',
    'src/presence.ts',
    'src/deadline.ts',
    'src/routing/',
  ],
  'src/control/': [
    'src/types.ts',
    'src/canonical-json.ts',
    'src/errors.ts',
    'src/events.ts',
    'src/lane.ts',
    'src/loop.ts',
    'src/presence.ts',
    // Probes are not bad for our own lag.
    'src/deadline.ts',
    // What a change of the rules does to lanes and pins is decided there.
    'src/routing/restrictions.ts',
    // Its typed errors.
    'src/provider/provider.ts',
    // What a new record says of its life.
    'src/store/records.ts',
  ],
  'src/store/': [
    'src/types.ts',
    'src/errors.ts',
    'src/deadline.ts', // A URL reads the same there and in the settings.
    'src/redis-url.ts',
    'src/lane.ts',
    'src/canonical-json.ts',
  ],
  'src/provider/': ['src/types.ts', 'src/errors.ts', 'src/events.ts', 'src/config-checks.ts'],
  'src/admin/': [
    'src/types.ts',
    'src/errors.ts',
    'src/events.ts',
    'src/lane.ts',
    'src/routing/',
    'src/canonical-json.ts',
    // A rule's targets read the same as in a settings file.
    'src/target-pattern.ts',
    // Who asks from this machine.
    'src/ip-range.ts',
  ],
  'src/cli/': ['src/config.ts'],
  'src/cli/commands/start.ts': ['src/config.ts', 'src/main.ts'],
  // Works on the database itself, where no program runs yet.
  'src/cli/commands/migrate.ts': ['src/config.ts', 'src/main.ts'],
  'src/demo/': [],
  'src/main.ts': ['src/'],
  'src/build.ts': ['src/'],
}
const contracts = ['src/store/store.ts', 'src/store/records.ts', 'src/provider/provider.ts']
/** Parts that know the contracts at all. */
const knowContracts = ['src/routing/', 'src/gateway/', 'src/control/', 'src/admin/']

/** Packages, and the only places that may know them. */
const packages: { readonly [name: string]: readonly string[] } = {
  ioredis: ['src/store/redis/'],
  pg: ['src/store/postgres/'],
  '@electric-sql/pglite': ['src/store/postgres/'],
  // Only where it is needed: importing it costs a second and 60 MB.
  '@google-cloud/compute': ['src/provider/gce-clients.ts'],
  // Comes with it: the client that sends no credentials, for a test's endpoint.
  'google-auth-library': ['src/provider/gce-clients.ts'],
  'http-proxy': ['src/gateway/forward.ts'],
  fastify: ['src/admin/'],
  typebox: ['src/admin/'],
  '@fastify/swagger': ['src/admin/'],
  pino: ['src/log.ts'],
  'prom-client': ['src/metrics.ts', 'src/admin/server.ts'],
  yaml: ['src/config.ts'],
  undici: ['src/control/probe.ts', 'src/cli/'],
}

/** The most exact row: a file's own, else its folder's. */
function ruleFor(file: string): readonly string[] | undefined {
  const rows = Object.keys(mayImport).filter((part) => isIn(file, part))
  const closest = rows.sort((a, b) => b.length - a.length)[0]
  return closest === undefined ? undefined : [...mayImport[closest]!, partOf(file)]
}

function partOf(file: string): string {
  const [src, folder, rest] = file.split('/')
  return rest === undefined ? file : `${src}/${folder}/`
}

t.test('every file has a row', async (t) => {
  t.ok(sources.length > 50 && imports.length > sources.length, 'they were found at all')
  for (const file of sources) t.ok(ruleFor(file), file)
})

t.test('every import leads to a file', async (t) => {
  for (const { from, of } of imports)
    if (of.startsWith('src/'))
      t.ok(sources.includes(of) || /\.(json|lua|sql|html)$/.test(of), `${from}: ${of}`)
})

t.test('each part imports only what it may know', async (t) => {
  for (const { from, of, isType } of imports) {
    if (!of.startsWith('src/')) continue
    const asContract = isType && contracts.includes(of) && knowContracts.some((part) => isIn(from, part))
    const allowed = ruleFor(from)?.some((place) => isIn(of, place)) ?? false
    t.ok(allowed || asContract, `${from} imports ${of}${isType ? ' (types)' : ''}`)
  }
})

t.test('each package is known in one place', async (t) => {
  for (const { from, of } of imports) {
    if (/^(src|test)\/|^node:/.test(of)) continue
    const name = of
      .split('/')
      .slice(0, of.startsWith('@') ? 2 : 1)
      .join('/')
    t.ok(
      packages[name]?.some((place) => isIn(from, place)),
      `${from} imports ${of}`,
    )
  }
})

t.test('the rules that matter most, said once more', async (t) => {
  const none = (what: string, wrong: (edge: Import) => boolean) =>
    t.same(
      imports.filter(wrong).map(({ from, of }) => `${from} imports ${of}`),
      [],
      what,
    )
  none('types and errors import nothing', ({ from }) => ['src/types.ts', 'src/errors.ts'].includes(from))
  none('gateway and control meet in the store only', ({ from, of }) => {
    const parts = [partOf(from), partOf(of)]
    return parts.includes('src/gateway/') && parts.includes('src/control/')
  })
  none('decisions have no sockets', ({ from, of }) => {
    return isIn(from, 'src/routing/') && /^node:(http|https|tls|dns|dgram|fs|child_process)/.test(of)
  })
  none('only build knows the adapters', ({ from, of }) => {
    const isAdapter = /^src\/store\/(memory|redis|postgres|open)/.test(of)
    return isAdapter && !isIn(from, 'src/store/') && from !== 'src/build.ts'
  })
  none('only main knows build', ({ from, of }) => of === 'src/build.ts' && from !== 'src/main.ts')
  // `npm run demo -- --fleet` plays on the cloud of the tests, which a checkout has; others may have no tests.
  none('of the tests only the cloud is known, to the demo alone, and loaded when it is asked for', (edge) => {
    const isCloud = edge.from === 'src/demo/cloud.ts' && edge.of === 'test/fixtures/compute-engine.ts'
    return edge.of.startsWith('test/') && !(isCloud && (edge.isType || edge.isCall))
  })
  none('only the commands that need no running program know main', ({ from, of }) => {
    const know = ['src/cli/commands/start.ts', 'src/cli/commands/migrate.ts']
    return of === 'src/main.ts' && !know.includes(from)
  })
})

t.test('the environment is read in one place', async (t) => {
  const readers = sources.filter((file) => readFileSync(join(root, file), 'utf8').includes('process.env'))
  const allowed = readers.filter((file) =>
    // The launcher runs before any of this can; the demo starts the program as a user would.
    ['src/config.ts', 'src/cli/launch.cjs', 'src/demo/'].some((place) => isIn(file, place)),
  )
  t.same(readers, allowed)
  t.ok(readers.includes('src/config.ts'))
})

t.test('there is no circle', async (t) => {
  const next = Map.groupBy(imports, ({ from }) => from)
  const done = new Set<string>()
  const circles: string[] = []
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) return void circles.push([...path.slice(path.indexOf(file)), file].join(' -> '))
    if (done.has(file)) return
    for (const { of } of next.get(file) ?? []) visit(of, [...path, file])
    done.add(file)
  }
  for (const file of sources) visit(file, [])
  t.same(circles, [])
})

/** Files without a test of their own, and what tests them instead. */
const testedBy: { readonly [file: string]: string } = {
  // The roads of a request, through real sockets from end to end.
  'src/gateway/connect.ts': 'test/integration/early-and-resets.ts',
  'src/gateway/forward.ts': 'test/integration/plain-http.ts',
  'src/gateway/tunnel-agent.ts': 'test/integration/plain-http.ts',
  'src/gateway/upgrade.ts': 'test/integration/plain-http.ts',
  'src/gateway/server.ts': 'test/integration/errors.ts',
  'src/gateway/job-api.ts': 'test/integration/job-api.ts',
  // Types only.
  'src/gateway/settings.ts': 'test/gateway/gateway.ts',
  // Parts of pinning, whose races only show with all of them together.
  'src/routing/move.ts': 'test/routing/pin.ts',
  'src/routing/pin-refusals.ts': 'test/routing/pin.ts',
  // What the admin API takes and answers: its document, and each answer of its tests compared with that.
  'src/admin/operation.ts': 'test/admin/openapi.ts',
  'src/admin/shapes.ts': 'test/admin/openapi.ts',
  'src/admin/components.ts': 'test/admin/openapi.ts',
  'src/admin/ledger-shapes.ts': 'test/admin/routes/ledger.ts',
  // Seen through each verb that changes one.
  'src/admin/change-upstream.ts': 'test/admin/routes/upstream-verbs.ts',
  // Types, which the routes are written to.
  'src/admin/control-parts.ts': 'test/admin/routes/upstreams.ts',
  // The parts of control, put together: what they do together is what control does.
  'src/control/passes.ts': 'test/control/control.ts',
  // The half of a sync that writes.
  'src/control/correct.ts': 'test/control/sync.ts',
  // Contracts: types, and the suites that every adapter must pass.
  'src/store/store.ts': 'test/fixtures/pins-contract.ts',
  'src/store/limits.ts': 'test/fixtures/pins-contract.ts',
  'src/store/records.ts': 'test/fixtures/records-contract.ts',
  'src/store/postgres/db.ts': 'test/fixtures/db-contract.ts',
  // What both adapters of `Db` share, and the two sides of PGlite's thread.
  'src/store/postgres/transactions.ts': 'test/fixtures/db-contract.ts',
  'src/store/postgres/pglite-thread.ts': 'test/store/postgres/pglite.ts',
  'src/store/postgres/pglite-worker.ts': 'test/store/postgres/pglite.ts',
  'src/provider/provider.ts': 'test/fixtures/provider-contract.ts',
  // Parts of a store that its contracts exercise whole.
  'src/store/memory/rings.ts': 'test/store/memory/pins.ts',
  'src/store/redis/format.ts': 'test/store/redis/pins.ts',
  'src/store/redis/keys.ts': 'test/store/redis/pins.ts',
  'src/store/redis/primary-connector.ts': 'test/store/redis/client.ts',
  // Parts of the record store, which change a real database only together.
  'src/store/postgres/idempotency.ts': 'test/fixtures/idempotency-contract.ts',
  'src/store/postgres/job-reports.ts': 'test/fixtures/records-contract.ts',
  'src/store/postgres/ledger.ts': 'test/fixtures/ledger-contract.ts',
  'src/store/postgres/read-head.ts': 'test/fixtures/records-contract.ts',
  'src/store/postgres/restrictions.ts': 'test/fixtures/records-contract.ts',
  'src/store/postgres/sync-reports.ts': 'test/fixtures/records-contract.ts',
  'src/store/postgres/upstreams.ts': 'test/fixtures/records-contract.ts',
  // Parts of the local provider, which start and find real processes only together.
  'src/provider/local-fleet.ts': 'test/provider/local.ts',
  'src/provider/local-records.ts': 'test/provider/local.ts',
  'src/provider/local-servers.ts': 'test/provider/local.ts',
  'src/provider/local-tinyproxy.ts': 'test/provider/local.ts',
  // Parts of the provider gce, which reach a Compute Engine for tests only together.
  'src/provider/gce-calls.ts': 'test/provider/gce-errors.ts',
  'src/provider/gce-find.ts': 'test/provider/gce.ts',
  'src/provider/gce-operations.ts': 'test/provider/gce-create.ts',
}
/** Tests of more than one file. */
const testsOfMany = [
  'test/imports.ts',
  // What every store must keep, with many acting at once.
  'test/store/mutants.ts',
  'test/store/pins-properties.ts',
  // What control, gateways, stores and a cloud must keep together.
  'test/control/model.ts',
  'test/control/model-more.ts',
  'test/control/model-mutants.ts',
]
const paired = ['src/routing/', 'src/gateway/', 'src/store/', 'src/provider/', 'src/control/', 'src/admin/']

t.test('every file of the main parts has its test at the same path', async (t) => {
  for (const file of sources.filter((file) => paired.some((part) => isIn(file, part)))) {
    const own = file.replace(/^src/, 'test')
    const instead = testedBy[file]
    if (instead === undefined) t.ok(tests.includes(own), `${own} tests ${file}`)
    else t.ok(tests.includes(instead) && !tests.includes(own), `${instead} tests ${file}`)
  }
  t.same(
    Object.keys(testedBy).filter((file) => !sources.includes(file)),
    [],
    'nothing is excused that is not there',
  )
})

t.test('every test has its file at the same path', async (t) => {
  const apart = [
    'test/bench/',
    'test/integration/',
    'test/fixtures/',
    'test/run/',
    'test/fuzz/',
    'test/faults/',
    'test/checker/',
    'test/soak/',
    'test/run.ts',
  ]
  for (const test of tests.filter((test) => !apart.some((place) => isIn(test, place)))) {
    const file = test.replace(/^test/, 'src')
    const isPaired = sources.includes(file) || sources.includes(file.replace(/\.ts$/, '.cjs'))
    t.ok(isPaired || testsOfMany.includes(test), `${test} tests ${file}`)
  }
})
