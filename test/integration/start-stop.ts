// Starting with nothing, and stopping: what a person and an orchestrator see of the process.

import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, symlinkSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { startLanekeeper } from '../fixtures/processes.ts'
import { connectThrough, requestOver } from '../fixtures/raw-client.ts'
import { readBytes, readToEnd } from '../fixtures/raw-answer.ts'
import { adminGet } from '../fixtures/readings.ts'
import { startTarget } from '../fixtures/target.ts'
import { startEchoTarget } from '../fixtures/tcp-target.ts'
import { until } from '../fixtures/until.ts'

const cli = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const demo = fileURLToPath(new URL('../../src/demo/main.ts', import.meta.url))
const loopback = { ALLOW_PRIVATE_TARGETS: 'true', TARGET_PORTS: '*', LOG_LEVEL: 'silent' }

/** A PATH with nothing on it but node. */
async function barePath(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'lanekeeper-path-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  mkdirSync(join(folder, 'bin'))
  symlinkSync(process.execPath, join(folder, 'bin/node'))
  return join(folder, 'bin')
}

t.test('with no configuration and no server installed it carries a job', async (t) => {
  const target = await startTarget()
  t.teardown(target.close)
  const lanekeeper = await startLanekeeper({ ...loopback, DATABASE_URL: '', PATH: await barePath(t) })
  t.teardown(() => lanekeeper.stop())
  t.match(
    lanekeeper.output(),
    /HTTPS_PROXY=http:\/\/job=demo-1:x@127\.0\.0\.1:\d+ curl/,
    'it prints a line to paste',
  )
  const upstreams = new Set<string>()
  for (const job of ['a', 'b', 'c', 'a', 'b', 'c']) {
    const answer = await connectThrough({
      gatewayPort: lanekeeper.gatewayPort!,
      target: `127.0.0.1:${target.port}`,
      userinfo: `${job}:x`,
    })
    t.equal((await requestOver(answer.socket)).status, 200)
    upstreams.add(answer.headers['x-upstream-id']!)
    answer.socket.destroy()
  }
  t.equal(upstreams.size, 3, 'three jobs, three upstreams')
  t.equal((await adminGet(lanekeeper, '/healthz')).status, 200)
  t.match(JSON.parse((await adminGet(lanekeeper, '/readyz')).body), { ready: true, missing: [] })
  t.equal(await lanekeeper.stop(), 0)
})

t.test('the demo passes, with Tinyproxy and without', async (t) => {
  for (const PATH of [process.env.PATH, await barePath(t)]) {
    const { status, stdout, stderr } = spawnSync(process.execPath, [demo], {
      encoding: 'utf8',
      env: { ...process.env, PATH },
    })
    t.equal(status, 0, stdout + stderr)
    t.equal(stdout.match(/^ok /gm)?.length, 3, 'three checks')
    t.equal(stdout.match(/^(payment|statement)-/gm)?.length, 24, 'and a line for each job')
  }
})

t.test('SIGTERM: no new work, open tunnels may end, then exit 0 and nothing left', async (t) => {
  const target = await startEchoTarget()
  t.teardown(target.stop)
  const lanekeeper = await startLanekeeper(loopback)
  t.teardown(() => lanekeeper.stop())
  const gatewayPort = lanekeeper.gatewayPort!
  const open = () => connectThrough({ gatewayPort, target: `127.0.0.1:${target.port}`, userinfo: 'job-1:x' })
  const { socket } = await open()
  t.teardown(() => socket.destroy())
  const stopped = lanekeeper.stop()
  await until(
    'it says that it is not ready',
    async () => (await adminGet(lanekeeper, '/readyz')).status === 503,
  )
  await until('it takes no new work', async () => {
    const refused = await open().then(
      (answer) => answer.status === 503,
      () => true,
    )
    return refused
  })
  socket.write('last words')
  t.equal((await readBytes(socket, 10)).toString(), 'last words', 'an open tunnel goes on')
  socket.end()
  t.equal(await stopped, 0)
  t.strictSame(processesNaming(lanekeeper.dataDir), [], 'its upstreams have ended with it')
})

t.test('a second signal ends at once, and resets what is open', async (t) => {
  const target = await startEchoTarget()
  t.teardown(target.stop)
  const lanekeeper = await startLanekeeper(loopback)
  t.teardown(() => lanekeeper.stop())
  const { socket } = await connectThrough({
    gatewayPort: lanekeeper.gatewayPort!,
    target: `127.0.0.1:${target.port}`,
    userinfo: 'job-1:x',
  })
  const cut = t.rejects(readToEnd(socket), { code: 'ECONNRESET' })
  const first = lanekeeper.stop('SIGINT')
  await until(
    'it says that it is not ready',
    async () => (await adminGet(lanekeeper, '/readyz')).status === 503,
  )
  await Promise.all([first, lanekeeper.stop('SIGINT')])
  await cut
  t.ok(lanekeeper.child.exitCode !== null, 'it exited by itself')
  t.strictSame(processesNaming(lanekeeper.dataDir), [])
})

t.test('what a crash left on this machine is cleaned up by the next start', async (t) => {
  const crashed = await startLanekeeper({ ...loopback, DATABASE_URL: '' })
  await crashed.child.kill('SIGKILL')
  const next = await startLanekeeper({ ...loopback, DATA_DIR: crashed.dataDir })
  t.teardown(() => next.stop())
  await next.stop()
  t.strictSame(processesNaming(crashed.dataDir), [], 'neither its own upstreams nor the old ones are left')
  await rm(crashed.dataDir, { recursive: true, force: true })
})

t.test('check-config reports all problems at once, and no secret', (t) => {
  const env = {
    PATH: process.env.PATH,
    GATEWAY_PORT: 'http',
    ROLE: 'gateway',
    REDIS_URL: 'https://:s3cret@redis',
    TARGET_PORTS: '443,x',
  }
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, 'check-config'], {
    encoding: 'utf8',
    env,
  })
  t.equal(status, 2)
  for (const variable of ['GATEWAY_PORT', 'REDIS_URL', 'TARGET_PORTS']) t.match(stderr, variable)
  t.notMatch(stdout + stderr, 's3cret')
  const sound = spawnSync(process.execPath, [cli, 'check-config'], {
    encoding: 'utf8',
    env: { PATH: process.env.PATH },
  })
  t.equal(sound.status, 0, sound.stderr)
  t.end()
})

t.test(
  'a port that is taken, a role that needs Redis, a command that is not there: said in words',
  async (t) => {
    const lanekeeper = await startLanekeeper(loopback)
    t.teardown(() => lanekeeper.stop())
    const run = (args: string[], env: { [name: string]: string }) =>
      spawnSync(process.execPath, [cli, ...args], {
        encoding: 'utf8',
        env: { PATH: process.env.PATH, ADMIN_PORT: '0', ...env },
        timeout: 20_000,
      })
    const taken = run(['start'], {
      GATEWAY_PORT: String(lanekeeper.gatewayPort),
      DATA_DIR: t.testdir(),
    })
    t.equal(taken.status, 1)
    t.match(taken.stderr, /EADDRINUSE.*GATEWAY_PORT/)
    const alone = run(['start'], { ROLE: 'gateway' })
    t.equal(alone.status, 2)
    t.match(alone.stderr, /needs redis\.url \(REDIS_URL\)/)
    t.equal(run(['strat'], {}).status, 2)
    t.equal(run(['--help'], {}).status, 0)
  },
)

t.test('bound beyond loopback without tokens it says whom it serves', async (t) => {
  const open = await startLanekeeper({ ...loopback, GATEWAY_HOST: '0.0.0.0' })
  t.teardown(() => open.stop())
  t.match(open.output(), /gateway takes loopback and private sources only/)
  t.match(open.output(), /@127\.0\.0\.1:/, 'the line to paste names an address that one can connect to')
  const guarded = await startLanekeeper({ ...loopback, GATEWAY_HOST: '0.0.0.0', GATEWAY_TOKENS: 's3cret' })
  t.teardown(() => guarded.stop())
  t.match(guarded.output(), /gateway takes any source, with a token/)
  t.notMatch(guarded.output(), 's3cret')
})

function processesNaming(folder: string): string[] {
  const commands = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(commandLine)
  return commands.filter((command) => command.includes(folder))
}

function commandLine(pid: string): string {
  const { stdout } = spawnSync('cat', [`/proc/${pid}/cmdline`], { encoding: 'utf8' })
  return stdout.replaceAll('\0', ' ')
}
