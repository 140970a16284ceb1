// Every setting: its key, environment variable and check. The only reader of process.env and config/.
// Defaults stand in config/default.yaml; LANEKEEPER_CONFIG is laid over it; the environment beats both.

import { readFileSync } from 'node:fs'
import { parseDocument, type Document, type YAMLError } from 'yaml'
import * as check from './config-checks.ts'
import type { Check } from './config-checks.ts'
import { isLoopback } from './ip-range.ts'
import { parseStaticUpstreams, staticUpstream } from './provider/static.ts'

const hour = 3_600_000
const day = 24 * hour

const upstreamsFromVariable: Check<ReturnType<typeof staticUpstream>[]> = (value) => {
  if (typeof value !== 'string') return [...check.listOf(staticUpstream)(value)]
  const { entries, problems } = parseStaticUpstreams(value)
  if (problems.length > 0) throw new check.Problem(problems.join('; '))
  return entries
}

const oneWorker: Check<1> = (value) => {
  if (value === 1 || value === '1') return 1
  throw new check.Problem('must be 1 for now; for more cores run more gateways on one Redis (REDIS_URL)')
}

/** `live`: a reload takes it in (SIGHUP); `setting`: what it says needs a restart. */
const settings = {
  role: setting('ROLE', check.oneOf('all', 'gateway', 'control')),
  'gateway.host': setting('GATEWAY_HOST', check.text),
  'gateway.port': setting('GATEWAY_PORT', check.port),
  'gateway.workers': setting('GATEWAY_WORKERS', oneWorker),
  'gateway.tokens': live('GATEWAY_TOKENS', check.tokens),
  'gateway.tokenKeys': live('GATEWAY_TOKEN_KEYS', check.tokenKeys),
  'gateway.allowSources': live(null, check.listOf(check.sourceRange)),
  'gateway.maxTunnels': live(null, check.wholeNumber({ min: 1, max: 1_000_000 })),
  'gateway.tunnelsPerJob': live(null, check.orNull(check.wholeNumber({ min: 1, max: 1_000_000 }))),
  'gateway.tunnelsPerToken': live(null, check.orNull(check.wholeNumber({ min: 1, max: 1_000_000 }))),
  'gateway.maxConnections': live(null, check.wholeNumber({ min: 1, max: 2_000_000 })),
  'gateway.connectionsPerSource': live(null, check.wholeNumber({ min: 1, max: 2_000_000 })),
  'gateway.headsPerSource': live(null, check.wholeNumber({ min: 1, max: 2_000_000 })),
  'gateway.tls.certificate': setting(null, check.orNull(check.text)),
  'gateway.tls.key': setting(null, check.orNull(check.text)),
  'gateway.tls.clientCa': setting(null, check.orNull(check.text)),
  'gateway.via': setting(
    null,
    check.orNull(check.word(/^[A-Za-z0-9][A-Za-z0-9.-]{0,63}$/, 'a name of letters, digits, . and -')),
  ),
  'gateway.headTimeoutMs': setting(null, check.milliseconds(100, 300_000)),
  'gateway.headBytes': setting(null, check.wholeNumber({ min: 1024, max: 1_048_576, unit: 'bytes' })),
  'gateway.headLines': live(null, check.wholeNumber({ min: 10, max: 900 })),
  'gateway.keepAliveMs': setting(null, check.milliseconds(1000, hour)),
  'gateway.maxLagMs': live(null, check.milliseconds(10, 60_000)),
  'gateway.maxHeapPercent': live(null, check.wholeNumber({ min: 10, max: 100 })),
  'gateway.stopGraceMs': live(null, check.milliseconds(0, hour)),
  'gateway.stopDeadlineMs': live(null, check.milliseconds(0, day)),
  'admin.host': setting('ADMIN_HOST', check.text),
  'admin.port': setting('ADMIN_PORT', check.port),
  'admin.token': live('ADMIN_TOKEN', check.orNull(check.secret)),
  'admin.readToken': live('ADMIN_READ_TOKEN', check.orNull(check.secret)),
  'admin.url': live('ADMIN_URL', check.orNull(check.httpUrl)),
  'redis.url': setting('REDIS_URL', check.orNull(check.redisUrl)),
  'redis.commandTimeoutMs': setting(null, check.milliseconds(10, 60_000)),
  'redis.sentinelPassword': setting(null, check.orNull(check.secret)),
  'redis.waitReplicas': setting(null, check.wholeNumber({ min: 0, max: 10 })),
  'redis.down': live('REDIS_DOWN', check.oneOf('reject', 'hash')),
  'redis.downByType': live(null, check.tableOf(check.oneOf('reject', 'hash'))),
  'database.url': setting('DATABASE_URL', check.orNull(check.postgresUrl)),
  'database.poolSize': setting(null, check.wholeNumber({ min: 2, max: 1000 })),
  'database.connectTimeoutMs': setting(null, check.milliseconds(10, 60_000)),
  'database.statementTimeoutMs': setting(null, check.milliseconds(10, 300_000)),
  'database.lockTimeoutMs': setting(null, check.milliseconds(10, 60_000)),
  fleet: setting('FLEET', check.word(/^[a-z0-9-]{1,32}$/, '1 to 32 of a-z, 0-9 and -')),
  dataDir: setting('DATA_DIR', check.text),
  provider: setting('PROVIDER', check.oneOf('local', 'static', 'gce')),
  'local.upstreams': live('LOCAL_UPSTREAMS', check.wholeNumber({ min: 0, max: 200 })),
  'local.tinyproxy': setting(null, check.oneOf('auto', 'never')),
  'local.maxClients': setting(null, check.wholeNumber({ min: 1, max: 10_000 })),
  'local.sourceAddresses': setting(null, check.yesOrNo),
  'local.labels': setting(null, check.listOf(check.labels)),
  'static.upstreams': live('STATIC_UPSTREAMS', upstreamsFromVariable),
  'gce.project': setting(null, check.orNull(check.text)),
  'gce.zones': setting(
    null,
    check.listOf(check.word(/^[a-z][a-z0-9-]{1,62}$/, 'a zone, such as europe-west1-b')),
  ),
  'gce.template': setting(null, check.orNull(check.text)),
  'gce.namePrefix': setting(null, check.word(/^[a-z][a-z0-9-]{0,19}$/, '1 to 20 of a-z, 0-9 and -')),
  'gce.port': setting(null, check.wholeNumber({ min: 1, max: 65_535 })),
  'gce.address': setting(null, check.oneOf('internal', 'external')),
  'gce.labels': setting(null, check.labels),
  'gce.credentials': setting(null, check.orNull(check.credentialsName)),
  'gce.upstreams': live(null, check.orNull(check.wholeNumber({ min: 0, max: 10_000 }))),
  'gce.operationTimeoutMs': setting(null, check.milliseconds(1000, hour)),
  'gce.endpoint': setting(null, check.orNull(check.httpUrl)),
  'launches.timeoutMs': live(null, check.milliseconds(1000, day)),
  'drains.deadlineMs': live('DRAIN_DEADLINE_MS', check.milliseconds(0, 7 * day)),
  'drains.silentMs': live(null, check.milliseconds(1000, hour)),
  'probes.everyMs': live(null, check.milliseconds(0, hour)),
  'probes.timeoutMs': live(null, check.milliseconds(10, 60_000)),
  'probes.url': live(null, check.orNull(check.httpUrl)),
  'probes.good': live(null, check.wholeNumber({ min: 1, max: 100 })),
  'probes.bad': live(null, check.wholeNumber({ min: 1, max: 100 })),
  'probes.ejectMs': live(null, check.milliseconds(100, day)),
  'probes.ejectMaxMs': live(null, check.milliseconds(100, day)),
  'sync.everyMs': live(null, check.milliseconds(100, day)),
  'sync.absences': live(null, check.wholeNumber({ min: 1, max: 100 })),
  'sync.graceMs': live(null, check.milliseconds(0, day)),
  credentials: live(null, check.credentials),
  restrictions: live(null, check.listOf(check.restriction)),
  'targets.ports': live('TARGET_PORTS', check.targetPorts),
  'targets.resolve': setting(null, check.oneOf('gateway', 'upstream')),
  'targets.family': setting(null, (value) => check.oneOf('4', '6', 'any')(String(value))),
  'targets.resolveTimeoutMs': setting(null, check.milliseconds(10, 60_000)),
  'targets.deny': live(null, check.listOf(check.targetPattern)),
  'targets.allowPrivate': live('ALLOW_PRIVATE_TARGETS', check.yesOrNo),
  'upstreams.connectTimeoutMs': live(null, check.milliseconds(10, 60_000)),
  'upstreams.replyTimeoutMs': live(null, check.milliseconds(10, 300_000)),
  'upstreams.maxTunnels': live(null, check.wholeNumber({ min: 1, max: 1_000_000 })),
  'upstreams.failedConnects': live(null, check.wholeNumber({ min: 1, max: 1000 })),
  'upstreams.refuseMs': live(null, check.milliseconds(0, hour)),
  'tunnels.idleMs': setting(null, check.milliseconds(100, day)),
  'tunnels.maxLifeMs': setting(null, check.milliseconds(1000, 30 * day)),
  'tunnels.earlyBytes': setting(null, check.wholeNumber({ min: 0, max: 16_777_216, unit: 'bytes' })),
  'pins.idleMs': setting('PIN_IDLE_MS', check.milliseconds(1000, 7 * day)),
  'pins.maxLifeMs': setting(null, check.milliseconds(1000, 7 * day)),
  'pins.max': setting(null, check.wholeNumber({ min: 1, max: 100_000_000 })),
  'pins.known': setting(null, check.wholeNumber({ min: 1, max: 10_000_000 })),
  'pins.flexTypes': live(null, check.listOf(check.text)),
  'pins.maxLanes': setting(null, check.wholeNumber({ min: 1, max: 1_000_000 })),
  'log.level': live('LOG_LEVEL', check.oneOf('trace', 'debug', 'info', 'warn', 'error', 'silent')),
} as const

type Settings = typeof settings
export type Config = { readonly [Key in keyof Settings]: ReturnType<Settings[Key]['check']> }
export type Environment = { readonly [name: string]: string | undefined }

export const settingKeys = Object.keys(settings) as (keyof Settings)[]
export const liveKeys = settingKeys.filter((key) => settings[key].isLive)

/** All that is wrong, one line each, ready to print. */
export class ConfigError extends Error {
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(`the configuration has ${problems.length === 1 ? 'a problem' : `${problems.length} problems`}`)
    this.name = 'ConfigError'
    this.problems = problems
  }
}

/**
 * Reads and checks all settings.
 * @returns a frozen table by key, such as `config['gateway.port']`
 * @throws ConfigError with every problem, not only the first
 */
export function loadConfig(env: Environment = process.env): Config {
  const problems: string[] = []
  // http-proxy-3 reads it, and then fetches for itself: from the gateway's own address.
  if (env.FORCE_FETCH_PATH === 'true')
    problems.push('FORCE_FETCH_PATH: would send plain requests past their upstreams; unset it')
  const defaults = readDefaults(problems)
  const file = env.LANEKEEPER_CONFIG ? readYaml(env.LANEKEEPER_CONFIG, problems) : new Map<string, unknown>()
  const config: { [key: string]: unknown } = {}
  for (const key of settingKeys) {
    const { value, source } = findValue(key, env, file, defaults)
    try {
      config[key] = settings[key].check(value)
    } catch (error) {
      if (!(error instanceof check.Problem)) throw error
      problems.push(`${source}: ${error.message}`)
    }
  }
  if (problems.length === 0) problems.push(...contradictionsIn(config as Config))
  if (problems.length > 0) throw new ConfigError(problems)
  return Object.freeze(config) as Config
}

function findValue(
  key: keyof Settings,
  env: Environment,
  file: ReadonlyMap<string, unknown>,
  defaults: ReadonlyMap<string, unknown>,
): { value: unknown; source: string } {
  const { variable } = settings[key]
  const fromEnv = variable === null ? undefined : env[variable]
  if (fromEnv !== undefined) return { value: fromEnv, source: `${key} (${variable})` }
  if (file.has(key)) return { value: file.get(key), source: `${key} (${env.LANEKEEPER_CONFIG})` }
  return { value: defaults.get(key), source: key }
}

/** What `redis.down: hash` needs of a drain: it goes on for 120 s (routing/hash.ts), and an answer may be on its way. */
const shortestSilenceMs = 130_000

/** What each setting allows, but not all of them together: one line each. */
export function contradictionsIn(config: Config): string[] {
  const found: string[] = []
  if (config.role !== 'all' && config['redis.url'] === null) {
    found.push(
      `role (ROLE): "${config.role}" needs redis.url (REDIS_URL): without Redis pins live in one process, ` +
        'so a separate gateway and control could never meet. Set REDIS_URL, or use role all',
    )
  }
  if (config.provider === 'static' && config.role !== 'gateway' && config['static.upstreams'].length === 0) {
    found.push(
      'static.upstreams (STATIC_UPSTREAMS): provider static needs at least one, such as 10.0.0.5:8888',
    )
  }
  if (config.provider === 'gce' && config.role !== 'gateway') {
    const needed = { project: config['gce.project'], template: config['gce.template'] }
    for (const [key, value] of Object.entries(needed))
      if (value === null) found.push(`gce.${key}: provider gce needs it`)
    if (config['gce.zones'].length === 0)
      found.push('gce.zones: provider gce needs at least one, such as [europe-west1-b]')
  }
  const { 'redis.down': down, 'redis.downByType': byType, 'drains.silentMs': silentMs } = config
  if ([down, ...Object.values(byType)].includes('hash') && silentMs < shortestSilenceMs)
    found.push(
      `drains.silentMs: must be at least ${shortestSilenceMs} where redis.down is hash: a gateway that is cut off goes on pinning jobs`,
    )
  if (config['probes.ejectMs'] > config['probes.ejectMaxMs'])
    found.push('probes.ejectMs: is longer than probes.ejectMaxMs')
  if (config['gateway.port'] !== 0 && config['gateway.port'] === config['admin.port']) {
    found.push(`admin.port (ADMIN_PORT): ${config['admin.port']} is the gateway's port too; choose another`)
  }
  if (config.role !== 'gateway' && config['admin.token'] === null && !isLoopbackHost(config['admin.host'])) {
    found.push(
      `admin.host (ADMIN_HOST): "${config['admin.host']}" lets others reach the admin API, which can change the fleet: ` +
        'set admin.token (ADMIN_TOKEN), or bind it to 127.0.0.1',
    )
  }
  if (config['pins.idleMs'] > config['pins.maxLifeMs'])
    found.push('pins.idleMs: is longer than pins.maxLifeMs')
  const tls = config['gateway.tls.certificate'] !== null
  if (tls !== (config['gateway.tls.key'] !== null))
    found.push('gateway.tls: certificate and key go together; give both')
  if (!tls && config['gateway.tls.clientCa'] !== null)
    found.push('gateway.tls.clientCa: needs gateway.tls.certificate and key')
  if (config['gateway.maxConnections'] < config['gateway.maxTunnels'])
    found.push('gateway.maxConnections: is less than gateway.maxTunnels, each of which is a connection')
  if (config['admin.readToken'] !== null && config['admin.token'] === null)
    found.push(
      'admin.readToken (ADMIN_READ_TOKEN): without admin.token (ADMIN_TOKEN) everybody could change the fleet; set that too',
    )
  if (config['admin.readToken'] !== null && config['admin.readToken'] === config['admin.token'])
    found.push(
      'admin.readToken (ADMIN_READ_TOKEN): is the same as admin.token (ADMIN_TOKEN), so it could change the fleet',
    )
  const tokens = config['gateway.tokens']
  for (const [index, { name, token }] of tokens.entries()) {
    const same = tokens.slice(0, index).find((other) => other.token === token)
    if (same)
      found.push(
        `gateway.tokens: "${same.name}" and "${name}" are the same token; logs could not tell them apart`,
      )
    if (token.startsWith('lk1.'))
      found.push(`gateway.tokens: "${name}" begins with lk1., as signed tokens do; choose another`)
  }
  const tokenNames = tokens.map(({ name }) => ({ id: name }))
  found.push(
    ...repeated('gateway.tokens', tokenNames),
    ...repeated('gateway.tokenKeys', config['gateway.tokenKeys']),
    ...repeated('restrictions', config.restrictions),
    ...repeated('static.upstreams', config['static.upstreams']),
  )
  const unknown = config['static.upstreams'].filter(
    ({ credentials }) => credentials !== null && !Object.hasOwn(config.credentials, credentials),
  )
  found.push(
    ...unknown.map(
      ({ id, credentials }) =>
        `static.upstreams: "${id}" names credentials "${credentials}", which credentials does not hold`,
    ),
  )
  return found
}

function isLoopbackHost(host: string): boolean {
  return host === 'localhost' || isLoopback(host)
}

function repeated(key: string, rows: readonly { readonly id: string }[]): string[] {
  const ids = rows.map(({ id }) => id)
  const twice = new Set(ids.filter((id, index) => ids.indexOf(id) !== index))
  return [...twice].map((id) => `${key}: the id "${id}" stands there twice`)
}

let defaults: ReadonlyMap<string, unknown> | null = null

/** Once: a reload is not to find those of a newer program, which may lie there by now. */
function readDefaults(problems: string[]): ReadonlyMap<string, unknown> {
  defaults ??= readYaml(new URL('../config/default.yaml', import.meta.url), problems)
  return defaults
}

/** Leaves by dotted key. A table that is itself one setting (`credentials`) is a leaf. */
function readYaml(path: string | URL, problems: string[]): Map<string, unknown> {
  const leaves = new Map<string, unknown>()
  try {
    const document = parseDocument(readFileSync(path, 'utf8'))
    // Warnings too: behind an unknown tag (`token: !x`) an empty text would stand.
    const faults = [...document.errors, ...document.warnings]
    problems.push(...faults.map((fault) => `${String(path)}: ${withoutText(fault)}`))
    if (faults.length === 0) collect(check.record(tableIn(document)), '', leaves, problems, String(path))
  } catch (error) {
    problems.push(`${String(path)}: ${error instanceof Error ? error.message : String(error)}`)
  }
  return leaves
}

function tableIn(document: Document): unknown {
  try {
    return document.toJS() ?? {}
  } catch (error) {
    throw new Error('an alias (*name) leads nowhere; a text that begins with * stands in quotes', {
      cause: error,
    })
  }
}

/** Faults whose words repeat what stands there, which may be a part of a secret. */
const repeating = ['BAD_DIRECTIVE', 'BAD_DQ_ESCAPE', 'BAD_COLLECTION_TYPE', 'TAG_RESOLVE_FAILED']

/** What is wrong, and where. Others repeat it behind a colon. */
function withoutText({ code, message, linePos }: YAMLError): string {
  const [said = ''] = message.split(/ at line \d+, column \d+|: /)
  const what = repeating.includes(code) ? code.toLowerCase().replaceAll('_', ' ') : said
  return linePos ? `${what} at line ${linePos[0].line}, column ${linePos[0].col}` : what
}

function collect(
  table: { readonly [key: string]: unknown },
  prefix: string,
  leaves: Map<string, unknown>,
  problems: string[],
  path: string,
): void {
  for (const [name, value] of Object.entries(table)) {
    const key = prefix + name
    if (Object.hasOwn(settings, key)) leaves.set(key, value)
    else if (!isGroup(key)) problems.push(`${path}: unknown setting "${key}"; config/default.yaml lists all`)
    else if (isTable(value)) collect(value, `${key}.`, leaves, problems, path)
    // A group whose settings are all comments.
    else if (value !== null) problems.push(`${path}: "${key}" must be a table of settings`)
  }
}

function isTable(value: unknown): value is { readonly [key: string]: unknown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isGroup(key: string): boolean {
  return settingKeys.some((setting) => setting.startsWith(`${key}.`))
}

type Setting<T> = { readonly variable: string | null; readonly check: Check<T>; readonly isLive: boolean }

function setting<T>(variable: string | null, check: Check<T>): Setting<T> {
  return { variable, check, isLive: false }
}

function live<T>(variable: string | null, check: Check<T>): Setting<T> {
  return { variable, check, isLive: true }
}
