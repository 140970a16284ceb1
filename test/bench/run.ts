// The command itself, as far as it can be told without measuring for long.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { until } from '../fixtures/until.ts'

const program = fileURLToPath(new URL('../../bench/run.ts', import.meta.url))

function start(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const child = spawn(process.execPath, [program, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  })
  let out = ''
  let err = ''
  child.stdout.on('data', (chunk) => (out += String(chunk)))
  child.stderr.on('data', (chunk) => (err += String(chunk)))
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, out, err }))
  return { child, ended, out: () => out }
}

t.test('help and list say what there is', async (t) => {
  const help = await start(['--help']).ended
  t.match(help, { code: 0, err: '', out: /--compare <file>[\s\S]*Examples:/ })
  const list = await start(['--list']).ended
  t.match(list, { code: 0, err: '', out: /^plain-http +What .*\?$[\s\S]*^pins +How .*\?$/m })
})

t.test('a wrong command line ends with 2, before anything is started', async (t) => {
  const cases = [
    { args: ['--fast'], says: /'--fast'/ },
    { args: ['--case', 'nothing'], says: /no case "nothing"/ },
    { args: ['--case', 'pins', '--compare', 'no-such-file.json'], says: /no-such-file\.json cannot be read/ },
    { args: ['--case', 'pins', '--compare', program], says: /no saved result/ },
  ]
  for (const { args, says } of cases)
    t.match(await start(args).ended, { code: 2, out: '', err: says }, args.join(' '))
})

t.test('a case that fails ends with 1, says why, and keeps nothing', async (t) => {
  const empty = await mkdtemp(join(tmpdir(), 'lanekeeper-bench-'))
  t.teardown(() => rm(empty, { recursive: true, force: true }))
  const { code, out, err } = await start(['--case', 'pins', '--quick', '--save'], { PATH: empty }).ended
  t.equal(code, 1)
  t.match(err, /^pins failed: redis-server cannot be started/)
  t.notMatch(out, /kept as/)
})

t.test('interrupted, it ends all that it started, and with 130', async (t) => {
  const { child, ended, out } = start(['--case', 'exchanges'])
  t.teardown(() => child.kill('SIGKILL'))
  await until('the case has begun', () => out().includes('exchanges:'))
  child.kill('SIGINT')
  const { code, err } = await ended
  t.equal(code, 130)
  t.match(err, /exchanges failed: interrupted by SIGINT/)
})
