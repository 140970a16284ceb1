import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { askToConnect } from '../../src/control/probe-tunnel.ts'
import { startFullListener } from '../fixtures/full-listener.ts'
import { closedPort } from '../fixtures/listen.ts'
import { readBytes } from '../fixtures/raw-answer.ts'
import {
  closing,
  establishing,
  refuse,
  resetting,
  saying,
  sayingSlowly,
  startReadingUpstream,
  stayingSilent,
  type Script,
} from '../fixtures/scripted-upstream.ts'
import { until } from '../fixtures/until.ts'

const asked = { host: '127.0.0.1', authority: '192.0.2.1:443', credentials: null }
const never = new AbortController().signal

async function setUp(t: Test, script: Script) {
  const scripted = await startReadingUpstream(script)
  t.teardown(scripted.stop)
  const ask = (more: { credentials?: string; signal?: AbortSignal } = {}) =>
    askToConnect({ ...asked, port: scripted.port, ...more }, more.signal ?? never)
  return {
    scripted,
    ask,
    allClosed: () => until('no connection is left', () => scripted.connections().open === 0),
  }
}

t.test('it asks as a gateway does, with credentials where there are any', async (t) => {
  const { scripted, ask } = await setUp(t, refuse(500))
  for (const more of [{}, { credentials: 'lane:keeper' }]) (await ask(more)).socket.destroy()
  const head = 'CONNECT 192.0.2.1:443 HTTP/1.1\r\nHost: 192.0.2.1:443\r\n'
  t.strictSame(scripted.heads, [
    `${head}\r\n`,
    `${head}Proxy-Authorization: Basic ${Buffer.from('lane:keeper').toString('base64')}\r\n\r\n`,
  ])
})

const answers: { name: string; script: Script; status: number }[] = [
  { name: 'a tunnel', script: establishing(), status: 200 },
  { name: 'a refusal', script: refuse(403), status: 403 },
  { name: 'a failure', script: refuse(500), status: 500 },
  { name: 'no reason phrase', script: saying('HTTP/1.1 502\r\n\r\n'), status: 502 },
  { name: 'interim answers before it', script: saying('HTTP/1.1 100 C\r\n\r\n'.repeat(3)), status: 204 },
  { name: 'byte by byte', script: sayingSlowly('HTTP/1.1 500 Unable\r\nA: b\r\n\r\n'), status: 500 },
]

t.test('what the upstream answers is told', async (t) => {
  for (const { name, script, status } of answers) {
    const { ask, allClosed } = await setUp(t, (connection) => {
      void script(connection)
      if (status === 204) connection.socket.write('HTTP/1.1 204 None\r\n\r\n')
    })
    const answer = await ask()
    t.equal(answer.status, status, name)
    answer.socket.destroy()
    await allClosed()
  }
})

t.test('bytes glued to the answer are on the socket', async (t) => {
  const { ask } = await setUp(t, establishing({ glued: 'banner' }))
  const { socket } = await ask()
  t.teardown(() => socket.destroy())
  t.equal((await readBytes(socket, 6)).toString(), 'banner')
})

const bad: { name: string; script: Script; problem: string }[] = [
  { name: 'closes at once', script: closing, problem: 'connection closed before an answer' },
  {
    name: 'closes within its head',
    script: ({ socket }) => void socket.end('HTTP/1.1 200 OK\r\n'),
    problem: 'connection closed before an answer',
  },
  { name: 'resets', script: resetting, problem: 'connection lost before an answer (ECONNRESET)' },
  { name: 'speaks SSH', script: saying('SSH-2.0-OpenSSH_9.2\r\n'), problem: 'its answer is not HTTP' },
  {
    name: 'speaks another HTTP',
    script: saying('HTTP/2.0 200 OK\r\n\r\n'),
    problem: 'its answer is not HTTP',
  },
  { name: 'has no status', script: saying('HTTP/1.1 OK\r\n\r\n'), problem: 'its answer is not HTTP' },
  { name: 'has status 600', script: saying('HTTP/1.1 600 No\r\n\r\n'), problem: 'its answer is not HTTP' },
  {
    name: 'sends headers without end',
    script: saying(`HTTP/1.1 200 OK\r\n${'A: b\r\n'.repeat(4000)}`),
    problem: 'its answer has no end',
  },
  {
    name: 'sends a head that is too long',
    script: saying(`HTTP/1.1 200 OK\r\n${'A: b\r\n'.repeat(4000)}\r\n`),
    problem: 'its answer has no end',
  },
]

t.test('what is no answer is told in words of ours, and its socket is closed', async (t) => {
  for (const { name, script, problem } of bad) {
    const { ask, allClosed } = await setUp(t, script)
    await t.rejects(ask(), { message: problem, isOurs: false }, name)
    await allClosed()
  }
})

t.test('a port that nobody listens on', async (t) => {
  await t.rejects(askToConnect({ ...asked, port: await closedPort() }, never), {
    message: 'connection refused',
    isOurs: false,
  })
})

t.test('that this process has no socket left says nothing of the upstream', async (t) => {
  const program = `
    import { openSync } from 'node:fs'
    import { askToConnect } from ${JSON.stringify(import.meta.resolve('../../src/control/probe-tunnel.ts'))}
    const asking = { host: '127.0.0.1', port: 9, authority: 'a:1', credentials: null }
    // Once, so that whatever node opens for itself is open.
    await askToConnect(asking, new AbortController().signal).catch(() => {})
    try {
      for (;;) openSync('/dev/null')
    } catch {}
    const { message, isOurs } = await askToConnect(asking, new AbortController().signal).catch((error) => error)
    console.log(JSON.stringify({ message, isOurs }))`
  const limited = ['-c', 'ulimit -n 100; exec "$0" --input-type=module -e "$1"', process.execPath, program]
  const { stdout } = await promisify(execFile)('sh', limited)
  t.strictSame(JSON.parse(stdout), { message: 'this process has no socket left (EMFILE)', isOurs: true })
})

t.test('an abort ends it, wherever it stands', async (t) => {
  t.test('connecting', async (t) => {
    const full = await startFullListener()
    t.teardown(full.close)
    const over = new AbortController()
    const asking = askToConnect({ ...asked, port: full.port }, over.signal)
    over.abort()
    await t.rejects(asking, { message: 'it takes no connection in time' })
  })

  t.test('waiting for the answer', async (t) => {
    const over = new AbortController()
    const { ask, allClosed } = await setUp(t, (connection) => {
      void stayingSilent(connection)
      over.abort()
    })
    await t.rejects(ask({ signal: over.signal }), { message: 'no answer in time' })
    await allClosed()
  })

  t.test('after the answer: the socket is destroyed', async (t) => {
    const over = new AbortController()
    const { ask, allClosed } = await setUp(t, establishing())
    const { socket } = await ask({ signal: over.signal })
    over.abort()
    t.ok(socket.destroyed)
    await allClosed()
  })
})
