// SIGHUP reads the configuration again: what is taken in and when, what stays, and that nobody who is connected notices
// (hostile inputs 55).

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { postgresFor } from '../fixtures/postgres.ts'
import { startLanekeeper, type Lanekeeper } from '../fixtures/processes.ts'
import { readBytes } from '../fixtures/raw-answer.ts'
import { connectThrough, getThrough, requestOver } from '../fixtures/raw-client.ts'
import { adminGet, metric } from '../fixtures/readings.ts'
import { writeSettings } from '../fixtures/settings-file.ts'
import { startTarget } from '../fixtures/target.ts'
import { startEchoTarget } from '../fixtures/tcp-target.ts'
import { startTinyproxy } from '../fixtures/tinyproxy.ts'
import { until } from '../fixtures/until.ts'

/** In all tokens and passwords of this file: no line may say it. */
const secret = 's3cret'
const launcher = fileURLToPath(new URL('../../src/cli/launch.cjs', import.meta.url))

type Settings = { readonly [key: string]: unknown }

const target = await startTarget()
t.teardown(target.close)
const first = await startTinyproxy({ bind: '127.0.1.1' })
t.teardown(first.stop)
const second = await startTinyproxy({ bind: '127.0.1.2', basicAuth: { user: 'lk', password: secret } })
t.teardown(second.stop)

const upstreamOf = (id: string, { host, port }: { host: string; port: number }, more: object = {}) => {
  return { id, host, port, ...more }
}
const targets = { ports: '*', allowPrivate: true }
const base = {
  provider: 'static',
  static: { upstreams: [upstreamOf('up-1', first)] },
  targets,
  gateway: { tokens: [`a:${secret}-a`] },
}

async function start(t: Test, settings: Settings) {
  const path = await writeSettings(t, settings)
  const lanekeeper = await startLanekeeper({ LANEKEEPER_CONFIG: path })
  t.teardown(() => lanekeeper.stop())
  const count = (outcome: string) =>
    metric(lanekeeper, `lanekeeper_config_reloads_total{outcome="${outcome}"}`)

  /** @param next  a text as it stands; null: there is no file any more */
  async function reload(next: Settings | string | null): Promise<'taken' | 'refused'> {
    const [taken, refused] = [await count('taken'), await count('refused')]
    if (next === null) await rm(path)
    else await writeFile(path, typeof next === 'string' ? next : JSON.stringify(next))
    lanekeeper.child.kill('SIGHUP')
    return until('it has read them', async () => {
      if ((await count('taken')) > taken) return 'taken'
      return (await count('refused')) > refused ? 'refused' : null
    })
  }
  return { lanekeeper, reload, count, path, ...clientsOf(lanekeeper) }
}

function clientsOf({ gatewayPort }: Lanekeeper) {
  const ask = (userinfo: string, port = target.port) =>
    connectThrough({ gatewayPort: gatewayPort!, target: `127.0.0.1:${port}`, userinfo })

  /** The status of the gateway's answer; where that is 200, of the target's. */
  async function statusOf(userinfo: string): Promise<number> {
    const answer = await ask(userinfo)
    try {
      return answer.status === 200 ? (await requestOver(answer.socket)).status : answer.status
    } finally {
      answer.socket.destroy()
    }
  }
  return { ask, statusOf }
}

/** Jobs that ask again and again, one request after the other. @returns what was not served */
function startLoad({ statusOf }: { statusOf: (userinfo: string) => Promise<number> }, token: () => string) {
  const failures: unknown[] = []
  let isOver = false
  let served = 0
  async function work(job: string): Promise<void> {
    while (!isOver) {
      const status = await statusOf(`job=${job}:${token()}`).catch((error: unknown) => error)
      if (status === 200) served += 1
      else failures.push(status)
    }
  }
  const workers = [1, 2, 3, 4].map((worker) => work(`load-${worker}`))
  return {
    failures,
    served: () => served,
    /** Resolves when each has been served since. */
    async goesOn(): Promise<void> {
      const before = served
      await until('the load goes on', () => served >= before + 2 * workers.length || failures.length > 0)
    },
    async stop(): Promise<void> {
      isOver = true
      await Promise.all(workers)
    },
  }
}

/** Held while the configuration is read: a tunnel, and a connection that has had one answer. */
async function standing(t: Test, { gatewayPort }: Lanekeeper, userinfo: string) {
  const echo = await startEchoTarget()
  t.teardown(echo.stop)
  const gateway = { gatewayPort: gatewayPort!, userinfo }
  const tunnel = await connectThrough({ ...gateway, target: `127.0.0.1:${echo.port}` })
  t.equal(tunnel.status, 200)
  t.teardown(() => tunnel.socket.destroy())
  const plain = { ...gateway, url: `http://127.0.0.1:${target.port}/` }
  const { socket } = await getThrough(plain)
  t.teardown(() => socket.destroy())
  let words = 0
  return {
    async stands(t: Test): Promise<void> {
      const said = `word ${(words += 1)}`
      tunnel.socket.write(said)
      t.equal((await readBytes(tunnel.socket, said.length)).toString(), said, 'an open tunnel goes on')
    },
    /** On the connection that was there before. */
    again: async () => (await getThrough({ ...plain, socket })).status,
  }
}

const linesOf = ({ output }: Lanekeeper, level: number) =>
  output()
    .split('\n')
    .filter((line) => line.startsWith(`{"level":${level}`))
    .map((line) => JSON.parse(line) as { msg: string; settings?: string[]; problems?: string[] })

t.test('a file that cannot be used changes nothing, and nobody who is connected notices', async (t) => {
  const { lanekeeper, reload, count, ...clients } = await start(t, base)
  const held = await standing(t, lanekeeper, `job=held:${secret}-a`)
  const load = startLoad(clients, () => `${secret}-a`)
  const before = linesOf(lanekeeper, 50).length
  const bad: readonly (Settings | string | null)[] = [
    `gateway: { tokens: [a:${secret}`,
    `gateway: { tokens: [a:*${secret}] }`,
    `admin: { token: *${secret} }`,
    { ...base, gateway: { tokens: [`b:${secret}-b`], maxTunnels: 'many', tunnelsPerJob: -1 } },
    { ...base, gateway: { tokens: [`b:${secret}-b`], maxConnections: 5 } },
    // Nobody may have so many files open.
    { ...base, gateway: { tokens: [`b:${secret}-b`], maxConnections: 2_000_000 } },
    { ...base, static: { upstreams: [upstreamOf('up-2', second, { credentials: 'nobody' })] } },
    '- a list',
    null,
  ]
  for (const next of bad) {
    t.equal(await reload(next), 'refused', JSON.stringify(next))
    await held.stands(t)
  }
  await load.goesOn()
  await load.stop()
  t.strictSame(load.failures, [], `none of ${load.served()} requests failed`)
  t.equal(await held.again(), 200, 'a kept connection goes on')
  t.equal(await clients.statusOf(`job=new:${secret}-b`), 407, 'nothing of it was taken')
  const errors = linesOf(lanekeeper, 50).slice(before)
  t.equal(errors.length, await count('refused'), 'each is one line')
  t.match(errors[3], { problems: [/gateway\.maxTunnels/, /gateway\.tunnelsPerJob/] }, 'that has all problems')
  t.notMatch(lanekeeper.output(), secret)
})

t.test('a token is replaced under load, and none of its clients notices', async (t) => {
  const { lanekeeper, reload, ...clients } = await start(t, base)
  const [old, fresh] = [`${secret}-a`, `${secret}-b`]
  const withTokens = (...tokens: string[]) => ({ ...base, gateway: { tokens } })
  const held = await standing(t, lanekeeper, `job=held:${old}`)
  let turn = 0
  let tokens = [old]
  const load = startLoad(clients, () => tokens[(turn += 1) % tokens.length]!)
  await load.goesOn()
  t.equal(await reload(withTokens(`a:${old}`, `b:${fresh}`)), 'taken')
  tokens = [old, fresh]
  await load.goesOn()
  tokens = [fresh]
  await load.goesOn()
  // Whoever still asks with the old one has had its answer by now.
  t.equal(await reload(withTokens(`b:${fresh}`)), 'taken')
  await load.goesOn()
  await load.stop()
  t.strictSame(load.failures, [], `none of ${load.served()} requests failed`)
  await held.stands(t)
  t.equal(await clients.statusOf(`job=late:${old}`), 407, 'the old one is over')
  t.equal(await held.again(), 407, 'also for new requests on an old connection')
  t.notMatch(lanekeeper.output(), secret)
})

t.test('what a reload takes in, without a restart', async (t) => {
  const quiet = { gateway: {}, log: { level: 'warn' } }
  const { lanekeeper, reload, ask, statusOf } = await start(t, { ...base, ...quiet })
  const upstream = async (job: string) => {
    const { socket, headers } = await ask(`job=${job}:x`)
    socket.destroy()
    return headers['x-upstream-id']
  }
  let jobs = 0
  const newJob = () => `new-${(jobs += 1)}`
  const now = async (settings: Settings) => t.equal(await reload({ ...base, ...quiet, ...settings }), 'taken')

  await now({ targets: { ...targets, ports: [1] } })
  t.equal(await statusOf('job=a:x'), 403, 'targets.ports')
  await now({ targets: { ...targets, deny: ['127.0.0.1'] } })
  t.equal(await statusOf('job=a:x'), 403, 'targets.deny')
  await now({ targets: { ports: '*' } })
  t.equal(await statusOf('job=a:x'), 403, 'targets.allowPrivate')
  await now({})
  t.equal(await statusOf('job=a:x'), 200, 'and back')

  const { socket } = await ask('job=b:x')
  t.teardown(() => socket.destroy())
  await now({ gateway: { tunnelsPerJob: 1 } })
  t.equal(await statusOf('job=b:x'), 429, 'gateway.tunnelsPerJob')
  await now({ upstreams: { maxTunnels: 1 } })
  t.equal(await statusOf('job=b:x'), 503, 'upstreams.maxTunnels')
  await now({ gateway: { allowSources: ['203.0.113.0/24'] } })
  t.equal(await statusOf('job=b:x'), 407, 'gateway.allowSources')

  await now({ admin: { token: `${secret}-admin` } })
  t.equal((await adminGet(lanekeeper, '/v1/restrictions')).status, 401, 'admin.token')
  await now({ restrictions: [{ id: 'none', kind: 'deny', type: 'payment', upstreams: { ids: ['up-1'] } }] })
  await until('restrictions', async () => (await statusOf(`job=${newJob()},type=payment:x`)) === 503)
  await now({
    static: { upstreams: [upstreamOf('up-2', second, { credentials: 'vm' })] },
    credentials: { vm: `lk:${secret}` },
  })
  await until('static.upstreams, with credentials', async () => (await upstream(newJob())) === 'up-2')
  t.equal(await upstream('b'), 'up-1', 'a pinned job stays where it is')
  await now({
    static: { upstreams: [upstreamOf('up-2', second, { credentials: 'vm' })] },
    credentials: { vm: `lk:${secret}-wrong` },
  })
  await until('credentials', async () => (await statusOf(`job=${newJob()}:x`)) === 502)

  await now({ log: { level: 'info' } })
  t.equal(await statusOf('job=b:x'), 200)
  await until('log.level', () => linesOf(lanekeeper, 30).some(({ msg }) => msg === 'tunnel closed'))
  socket.write('GET / HTTP/1.1\r\nHost: target\r\n\r\n')
  t.match(
    (await readBytes(socket, 12)).toString(),
    'HTTP/1.1 200',
    'a tunnel that stood throughout still does',
  )

  await now({ log: { level: 'info' }, gateway: { port: 1, keepAliveMs: 7000 }, fleet: 'other' })
  // Port and admin port are set by variables here, which beat the file.
  t.match(linesOf(lanekeeper, 40).at(-1), {
    msg: /need a restart/,
    settings: ['gateway.keepAliveMs', 'fleet'],
  })
  t.notMatch(lanekeeper.output(), secret)
})

t.test('SIGHUP before it is ready, twice in a row, and while it stops', async (t) => {
  const path = await writeSettings(t, { ...base, gateway: { stopGraceMs: 300 } })
  const database = await (await postgresFor(t)).createDatabase()
  const free = { GATEWAY_PORT: '0', ADMIN_PORT: '0', DATA_DIR: t.testdir(), DATABASE_URL: database }
  // As a user starts it, so from its very first moments on.
  const child = spawn(process.execPath, [launcher, 'start'], {
    env: { ...process.env, ...free, LANEKEEPER_CONFIG: path },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const ended = once(child, 'exit')
  let output = ''
  child.stdout.on('data', (chunk) => (output += String(chunk)))
  child.stderr.on('data', (chunk) => (output += String(chunk)))
  const lines = (msg: string) => output.split('\n').filter((line) => line.includes(`"msg":"${msg}`)).length

  await until('it takes SIGHUP', () => catchesHangUp(child.pid!))
  while (!/^ready$/m.test(output) && child.exitCode === null && child.signalCode === null) {
    child.kill('SIGHUP')
    await delay(200)
  }
  t.match(output, /^ready$/m)
  await until('one that came too early was kept', () => lines('configuration reloaded') > 0)
  const before = lines('configuration reloaded')
  child.kill('SIGHUP')
  child.kill('SIGHUP')
  await until('they were heard', () => lines('configuration reloaded') > before)

  child.kill('SIGTERM')
  await until('it stops', () => lines('stopping') > 0)
  const heard = lines('configuration reloaded')
  child.kill('SIGHUP')
  t.strictSame(await ended, [0, null], 'it ends as if nothing had come')
  t.equal(lines('configuration reloaded'), heard)
})

/** Linux tells which signals a process catches. */
function catchesHangUp(pid: number): boolean {
  const caught = /^SigCgt:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '0'
  return (BigInt(`0x${caught}`) & 1n) === 1n
}
