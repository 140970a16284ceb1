// A process with few files to open (hostile inputs 0.10, fault 41): it does not start where its limits could need more of
// them, and where it starts every connection too many is answered; none is reset without a word.

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { readAnswer, readToEnd } from '../fixtures/raw-answer.ts'
import { connectThrough, openSocket } from '../fixtures/raw-client.ts'
import { establishing, startScriptedUpstream } from '../fixtures/scripted-upstream.ts'
import { writeSettings } from '../fixtures/settings-file.ts'
import { until } from '../fixtures/until.ts'

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const maxFiles = 360

type Limited = { readonly child: ChildProcess; readonly output: () => string }

/** Lanekeeper in a process that may open so many files, and no more. */
async function startLimited(
  t: Test,
  words: readonly string[],
  env: { readonly [name: string]: string } = {},
): Promise<Limited> {
  const dataDir = await mkdtemp(join(tmpdir(), 'lanekeeper-data-'))
  t.teardown(() => rm(dataDir, { recursive: true, force: true }))
  const { PATH, HOME, NODE_V8_COVERAGE, LANEKEEPER_TEST_RUN } = process.env
  const outer = { PATH, HOME, NODE_V8_COVERAGE, LANEKEEPER_TEST_RUN }
  const child = spawn(
    'sh',
    ['-c', `ulimit -n ${maxFiles}; exec "$0" "$@"`, process.execPath, main, ...words],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...outer, GATEWAY_PORT: '0', ADMIN_PORT: '0', DATA_DIR: dataDir, LOG_LEVEL: 'warn', ...env },
    },
  )
  const closed = once(child, 'close')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await closed
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += String(chunk)))
  return { child, output: () => output }
}

t.test('a gateway that could run out of files does not start, and says what to do', async (t) => {
  const { child, output } = await startLimited(t, ['start'])
  const [code] = await once(child, 'exit')
  t.equal(code, 1)
  t.match(
    output(),
    /^Lanekeeper failed: this process may have 360 files open, and needs \d+:.*ulimit -n \d+.*\n$/,
  )
})

t.test('its configuration is no less good for that', async (t) => {
  const { child, output } = await startLimited(t, ['check-config'])
  const [code] = await once(child, 'exit')
  t.equal(code, 0, output())
})

t.test('a full one answers everybody, has files left, and serves again', async (t) => {
  const upstream = await startScriptedUpstream(establishing())
  t.teardown(upstream.stop)
  const { child, output } = await startLimited(t, ['start'], {
    PROVIDER: 'static',
    STATIC_UPSTREAMS: `127.0.0.1:${upstream.port}`,
    ALLOW_PRIVATE_TARGETS: 'true',
    LANEKEEPER_CONFIG: await writeSettings(t, {
      gateway: { maxConnections: 60, maxTunnels: 40 },
      probes: { everyMs: 0 },
    }),
  })
  await until('it is ready', () => /^ready$/m.test(output()), { withinMs: 60_000 })
  const gatewayPort = Number(/^gateway listening on http:\/\/.*:(\d+)/m.exec(output())![1])
  const tunnel = async (job: string) => {
    const answer = await connectThrough({ gatewayPort, target: '127.0.0.1:443', userinfo: `${job}:x` })
    t.teardown(() => answer.socket.destroy())
    return answer
  }
  const open = async () => {
    const socket = await openSocket({ gatewayPort })
    t.teardown(() => socket.destroy())
    return socket
  }
  const extra = async (index: number) => {
    const socket = await open()
    // Half of them say what they want at once.
    if (index % 2 === 0) socket.write('CONNECT 127.0.0.1:443 HTTP/1.1\r\nX-Job-Id: extra\r\n\r\n')
    const { status } = await readAnswer(socket, 'GET')
    // In good order, not reset.
    await readToEnd(socket)
    socket.destroy()
    return status
  }

  const tunnels = await Promise.all(Array.from({ length: 40 }, (_, n) => tunnel(`job-${n}`)))
  t.same(new Set(tunnels.map(({ status }) => status)), new Set([200]))
  const idle = await Promise.all(Array.from({ length: 20 }, open))
  const answers = await Promise.all(Array.from({ length: 300 }, (_, n) => extra(n)))
  t.same(
    answers,
    Array.from({ length: 300 }, () => 503),
  )
  for (const socket of [...idle, ...tunnels.map(({ socket }) => socket)]) socket.destroy()
  await until('it serves again', async () => {
    const { status, socket } = await tunnel('job-again')
    socket.destroy()
    return status === 200
  })
  t.equal(child.exitCode, null)
  t.notMatch(output(), /EMFILE|ENFILE/)
})
